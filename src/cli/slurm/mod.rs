//! The verbs on runs whose stages are jobs of Slurm.

mod cancel;
mod status;
mod submit;
mod watch;

use crate::cli::exit::CliError;
use crate::engine::EngineError;
use crate::engine::slurm::SlurmError;

pub(super) use cancel::cancel;
pub(super) use status::{lines, queue_for, status};
pub(super) use submit::{retry, run};
pub(super) use watch::watch;

/// The error for a Slurm that is not there, or that refuses.
fn no_slurm(error: SlurmError) -> CliError {
    let is_missing = matches!(error, SlurmError::Missing { .. });
    let error = CliError::internal(EngineError::from(error));
    if is_missing {
        error.hint("run this where jobs are submitted from (a login node), or use --engine local")
    } else {
        error
    }
}
