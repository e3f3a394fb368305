//! Taking the jobs of a run out of the queue.

use std::collections::BTreeSet;
use std::process::Command;

use super::command::{self, Tool};
use super::journal::{self, Journal, Record};
use super::queue::{JobState, Place, QueuedJob};
use crate::engine::EngineError;
use crate::engine::events::RunFolder;

/// Jobs that one call of `scancel` is given at most.
const AT_A_TIME: usize = 500;

/// Cancels what is left of the run in `folder`, those jobs included that it adopted, and returns
/// which. Trainings write their checkpoints first, as far as Slurm gives them time for it.
///
/// # Errors
/// The journal cannot be read, or Slurm refuses.
pub fn cancel(folder: &RunFolder, queue: &[QueuedJob]) -> Result<Vec<Place>, EngineError> {
    let adopted: BTreeSet<Place> = journal::read(folder)?
        .into_iter()
        .filter_map(|record| match record {
            Record::Adopted { place, .. } => Some(place),
            _ => None,
        })
        .collect();
    let run = folder.id();
    let places: Vec<Place> = queue
        .iter()
        .filter(|job| job.state != JobState::Over)
        .filter(|job| job.run == run || adopted.contains(&job.place))
        .map(|job| job.place.clone())
        .collect();
    if !places.is_empty() {
        Journal::open(folder)?.append(&Record::Cancelled)?;
    }
    for part in places.chunks(AT_A_TIME) {
        let mut scancel = Command::new(Tool::Scancel.name());
        scancel.args(part.iter().map(ToString::to_string));
        command::run(Tool::Scancel, scancel)?;
    }
    Ok(places)
}
