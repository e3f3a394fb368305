//! `slurm.json` in the folder of a run: what its jobs and a retry need beside the plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::engine::events::RunFolder;
use crate::options::SlurmOptions;
use crate::plan::Key;
use crate::store::{StoreError, disk};

/// What is frozen with the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// What jobs ask for.
    pub options: SlurmOptions,
    /// Further arguments of the worker.
    pub arguments: Vec<String>,
    /// The published numbers, as they were when the plan was frozen; absent for the built-in ones.
    pub ledger: Option<String>,
    /// Folder of the files of each table; a table without one goes to the store only.
    pub results: BTreeMap<Key, PathBuf>,
}

impl Frozen {
    /// Writes it into the folder of a run.
    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), StoreError> {
        let path = Self::file(folder);
        let text = serde_json::to_vec(self).map_err(|e| StoreError::Format {
            what: "record of a run on Slurm",
            path: path.clone(),
            reason: e.to_string(),
        })?;
        disk::write_whole(&path, &text)
    }

    /// Its file in the folder of a run.
    #[must_use]
    pub fn file(folder: &RunFolder) -> PathBuf {
        folder.dir.join("slurm.json")
    }

    /// Reads it from `path`.
    ///
    /// # Errors
    /// The file is not there, or is no such record.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let text = std::fs::read(path).map_err(StoreError::reading(path))?;
        serde_json::from_slice(&text).map_err(|e| {
            let path = path.to_owned();
            StoreError::Format {
                what: "record of a run on Slurm",
                path,
                reason: e.to_string(),
            }
            .into()
        })
    }
}
