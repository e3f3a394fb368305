//! `slurm.jsonl` in the folder of a run: which jobs it means to submit, and which it has. Written
//! line by line as that happens, so that whoever comes after a crash knows as much.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::queue::{JobState, Place, QueuedJob};
use crate::engine::EngineError;
use crate::engine::events::RunFolder;
use crate::plan::Key;
use crate::store::{Store, StoreError};

/// Name of the file.
const FILE: &str = "slurm.jsonl";

/// The stages of a job, or of a task of an array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskKeys {
    /// The task, where it is an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// Stages in the order in which it runs them.
    pub keys: Vec<Key>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// A job that is to be submitted. Its comment in the queue ends with `id`.
    Planned {
        /// Identity.
        id: String,
        /// Name in the queue.
        name: String,
        /// What it runs.
        tasks: Vec<TaskKeys>,
    },
    /// A job that Slurm has taken.
    Submitted {
        /// Identity.
        id: String,
        /// Slurm's number.
        job: u64,
    },
    /// A job of an earlier run that this one waits for.
    Adopted {
        /// Which.
        place: Place,
        /// The stages for which it waits.
        keys: Vec<Key>,
    },
    /// Somebody has asked for the end of the run.
    Cancelled,
}

/// Writes the journal of a run.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal of the run in `folder`.
    pub(super) fn open(folder: &RunFolder) -> Result<Self, StoreError> {
        let path = folder.dir.join(FILE);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(StoreError::writing("create", &path))?;
        Ok(Self { path, file })
    }

    /// Adds a line, at once.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record).map_err(|e| StoreError::Format {
            what: "journal of jobs",
            path: self.path.clone(),
            reason: e.to_string(),
        })?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(StoreError::writing("write", &self.path))
    }
}

/// The journal of the run in `folder`; empty where it has none. What is no record (the end of a
/// line that was never finished) is left out.
///
/// # Errors
/// It cannot be read.
pub fn read(folder: &RunFolder) -> Result<Vec<Record>, EngineError> {
    let path = folder.dir.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::reading(&path)(e).into()),
    };
    Ok(text
        .split(|&b| b == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

/// The stages of `store` that wait or run in some job of `queue`, and in which.
///
/// # Errors
/// The journal of a run cannot be read.
pub fn live(store: &Store, queue: &[QueuedJob]) -> Result<HashMap<Key, Place>, EngineError> {
    let mut planned: HashMap<&str, HashMap<String, Vec<TaskKeys>>> = HashMap::new();
    let mut live = HashMap::new();
    for job in queue.iter().filter(|job| job.state != JobState::Over) {
        if !planned.contains_key(job.run.as_str()) {
            planned.insert(&job.run, plans(&store.paths().runs().join(&job.run))?);
        }
        // A run of another store has no folder here.
        let tasks = planned[job.run.as_str()].get(&job.id);
        for task in tasks.into_iter().flatten() {
            if task.task == job.place.task {
                live.extend(task.keys.iter().map(|key| (key.clone(), job.place.clone())));
            }
        }
    }
    Ok(live)
}

fn plans(folder: &Path) -> Result<HashMap<String, Vec<TaskKeys>>, EngineError> {
    let folder = RunFolder {
        dir: folder.to_owned(),
    };
    Ok(read(&folder)?
        .into_iter()
        .filter_map(|record| match record {
            Record::Planned { id, tasks, .. } => Some((id, tasks)),
            _ => None,
        })
        .collect())
}
