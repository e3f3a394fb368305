//! `phantom`: synthetic patients in a data set's own layout.

use crate::data::phantom::write_phantoms;
use crate::engine::{StageContext, StageError};
use crate::plan::PhantomSpec;

/// Folder of the patients inside the artifact.
pub(super) const FOLDER: &str = "data";

pub(super) fn run(spec: &PhantomSpec, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    write_phantoms(&spec.options, &cx.output().join(FOLDER))?;
    Ok(())
}
