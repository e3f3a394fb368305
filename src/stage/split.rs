//! `split`: folds by patient, and the order in which training patients get labels.

use super::files::{SPLIT, open, write};
use super::index::Indexed;
use crate::data::split::Split;
use crate::engine::{StageContext, StageError};
use crate::plan::SplitSpec;

/// Reads the artifact.
pub(super) fn read(cx: &StageContext<'_>) -> Result<Split, StageError> {
    Ok(Split::read_csv(open(&cx.input("split")?.join(SPLIT))?)?)
}

pub(super) fn run(spec: &SplitSpec, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    let indexed = Indexed::read(cx)?;
    let cases = indexed
        .index
        .cases
        .iter()
        .map(|c| (c.id.as_str(), c.stratum.as_str()));
    let split =
        Split::draw(cases, &spec.split, spec.seed).map_err(|e| StageError::data(e.to_string()))?;
    write(&cx.output().join(SPLIT), |to| {
        split.write_csv(to).map_err(std::io::Error::other)
    })?;
    Ok(())
}
