//! Writing the log of a run.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{Entry, Event, EventSink, Origin, RunFolder};
use crate::engine::EngineError;
use crate::plan::Plan;
use crate::store::{Store, StoreError, rfc3339};

/// The log of a run, which is also the place of its frozen plan.
pub(in crate::engine) struct RunLog {
    folder: RunFolder,
    file: Mutex<File>,
    /// The first error of writing. A full disk must not end the stages that still run.
    broken: Mutex<Option<String>>,
}

impl RunLog {
    /// Makes the folder of a run that begins now, with `plan` frozen in it and how it was started.
    pub(in crate::engine) fn create(
        store: &Store,
        plan: &Plan,
        origin: &Origin,
    ) -> Result<Self, EngineError> {
        store.create()?;
        let runs = store.paths().runs();
        std::fs::create_dir_all(&runs).map_err(StoreError::writing("create folder", &runs))?;
        let start = rfc3339(SystemTime::now()).replace([':', '-'], "");
        let mut folder = RunFolder {
            dir: runs.join(format!("{start}-{}", std::process::id())),
        };
        for n in 2_u32.. {
            match std::fs::create_dir(&folder.dir) {
                Ok(()) => break,
                // A process may start several runs within a second.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    folder.dir = runs.join(format!("{start}-{}-{n}", std::process::id()));
                }
                Err(e) => {
                    return Err(StoreError::writing("create folder", &folder.dir)(e).into());
                }
            }
        }
        let path = folder.plan_file();
        let text = serde_json::to_vec(plan).map_err(|e| EngineError::Plan {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        std::fs::write(&path, text).map_err(StoreError::writing("write", &path))?;
        origin.write(&folder.origin_file())?;
        let path = folder.events_file();
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(StoreError::writing("create", &path))?;
        Ok(Self {
            folder,
            file: Mutex::new(file),
            broken: Mutex::new(None),
        })
    }

    pub(in crate::engine) fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Why the log is not whole, if it is not.
    pub(in crate::engine) fn broken(&self) -> Option<String> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl EventSink for RunLog {
    fn emit(&self, event: &Event) {
        let Some(line) = Entry::line(event) else {
            return;
        };
        let written = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
        if let Err(e) = written {
            let path = self.folder.events_file();
            self.broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| StoreError::writing("write", &path)(e).to_string());
        }
    }
}
