//! `schema`: the JSON Schema of manifests.

use super::exit::{CliError, ExitStatus};

pub(super) fn schema() -> Result<ExitStatus, CliError> {
    print!("{}", crate::manifest::schema_text());
    Ok(ExitStatus::Done)
}
