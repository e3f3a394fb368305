//! Records of stages that failed, kept until the stage succeeds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Paths, StoreError, disk};
use crate::plan::{Key, StageKind};

/// What kind of failure ended a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The stage returned an error.
    Error,
    /// Data are missing or invalid.
    Data,
    /// The stage panicked: a fault of the program.
    Panic,
    /// Its process ended without a word: killed, crashed.
    Died,
    /// The memory of the machine or of the device did not suffice.
    OutOfMemory,
    /// The disk or the quota is full; every other stage would fail for the same reason.
    Full,
}

impl FailureKind {
    /// This kind, or [`Full`](Self::Full) where `message` says so. What a full disk does to a stage
    /// shows in many places, of which libraries only hand on the words of the system.
    #[must_use]
    pub(crate) fn or_full(self, message: &str) -> Self {
        let codes = [libc::ENOSPC, libc::EDQUOT];
        let by_code = codes
            .iter()
            .any(|code| message.contains(&format!("(os error {code})")));
        if by_code || message.contains(super::error::FULL) {
            Self::Full
        } else {
            self
        }
    }
}

/// The last failure of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Identity of the stage.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// What kind of failure.
    pub failure: FailureKind,
    /// What went wrong; for a panic with the place in the source.
    pub message: String,
    /// The last lines of its log.
    #[serde(default)]
    pub log: Vec<String>,
    /// The whole log.
    #[serde(default)]
    pub log_file: Option<PathBuf>,
    /// The checkpoint from which the next attempt goes on.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// When, in UTC, RFC 3339.
    pub when: String,
    /// The same in seconds since 1970.
    pub when_unix: f64,
    /// On which machine.
    pub host: String,
}

impl Failure {
    /// The failure recorded for `key`; one that cannot be parsed says so in its message, for a
    /// stage must not look as if it had never failed.
    pub(crate) fn read(
        paths: &Paths,
        kind: StageKind,
        key: &Key,
    ) -> Result<Option<Self>, StoreError> {
        let path = paths.failure(key);
        let Some(text) = disk::read_text(&path)? else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_str(&text).unwrap_or_else(|e| Self {
            key: key.clone(),
            kind,
            label: format!("{kind} {}", key.short()),
            failure: FailureKind::Error,
            message: format!("it failed, but '{}' cannot be read: {e}", path.display()),
            log: Vec::new(),
            log_file: None,
            checkpoint: None,
            when: String::new(),
            when_unix: 0.0,
            host: String::new(),
        })))
    }

    /// Writes it to the store.
    pub(crate) fn write(&self, paths: &Paths) -> Result<(), StoreError> {
        disk::create_dir(&paths.failures())?;
        let path = paths.failure(&self.key);
        let text = serde_json::to_vec_pretty(self).map_err(|e| StoreError::Format {
            what: "failure record",
            path: path.clone(),
            reason: e.to_string(),
        })?;
        disk::write_whole(&path, &text)
    }
}
