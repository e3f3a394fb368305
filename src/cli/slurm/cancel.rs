//! `cancel` for a run on Slurm.

use crate::cli::chosen::Chosen;
use crate::cli::exit::{CliError, ExitStatus};
use crate::engine::slurm;

pub(in crate::cli) fn cancel(chosen: &Chosen) -> Result<ExitStatus, CliError> {
    let run = chosen.folder.id();
    let queue = slurm::queue().map_err(super::no_slurm)?;
    let cancelled = slurm::cancel(&chosen.folder, &queue).map_err(CliError::internal)?;
    match cancelled.len() {
        0 => println!("run {run} has no job in the queue"),
        1 => println!("cancelled 1 job of run {run}"),
        n => println!("cancelled {n} jobs of run {run}; trainings write checkpoints first"),
    }
    Ok(ExitStatus::Done)
}
