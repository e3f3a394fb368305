//! `run.json`: how a run was started, which is what `cancel` and `retry` go by.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::store::{Holder, StoreError, disk};

/// What runs the stages of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Slots of one machine, under a process that lives as long as the run.
    #[default]
    Local,
    /// Jobs of Slurm. Nobody of ours watches over them.
    Slurm,
}

impl EngineKind {
    /// Name in files and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Slurm => "slurm",
        }
    }
}

/// How a run was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// What runs its stages.
    pub engine: EngineKind,
    /// The process that dispatches it, or that submitted it.
    pub process: Option<Holder>,
    /// The command line, the program first. A retry keeps that of the run that it tries again.
    pub command: Vec<String>,
    /// Where it was typed.
    pub cwd: PathBuf,
    /// Manifests, as typed.
    pub manifests: Vec<PathBuf>,
    /// Root of the project.
    pub project: PathBuf,
    /// Folder of the tables, where another one than the project's was asked for.
    pub results: Option<PathBuf>,
    /// Whether only part of the tables was asked for, so that their files stay as they are.
    pub partial: bool,
    /// Device.
    pub device: String,
    /// Stages at a time; 0 where nobody knows.
    pub slots: usize,
    /// The run whose failures this one tries again.
    pub retry_of: Option<String>,
}

impl Origin {
    /// The origin of a run that this process starts now, by its own command line.
    #[must_use]
    pub fn here() -> Self {
        Self {
            process: Some(Holder::current()),
            command: std::env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            cwd: std::env::current_dir().unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn read(path: &Path) -> Result<Self, EngineError> {
        let Some(text) = disk::read_text(path)? else {
            return Ok(Self::default());
        };
        let origin = serde_json::from_str(&text).map_err(|e| StoreError::Format {
            what: "record of a run",
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(origin)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), EngineError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| StoreError::Format {
            what: "record of a run",
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(disk::write_whole(path, &text)?)
    }
}
