//! Checking artifacts against their records; what fails is set aside, never deleted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::record::{FileRecord, Glance};
use super::{StageRecord, Store, StoreError, disk, publish, record};
use crate::plan::{Key, StageKind};

/// An artifact that failed its check and was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Kind of the stage.
    pub kind: StageKind,
    /// Its key.
    pub key: Key,
    /// What is wrong.
    pub reason: String,
    /// Where the artifact is now; the reason stands beside it with `.txt` added. `None` where it
    /// could not be moved.
    pub moved_to: Option<PathBuf>,
}

impl Damage {
    /// An artifact that could not be set aside.
    fn in_place(kind: StageKind, key: &Key, reason: &str, error: &StoreError) -> Self {
        Self {
            kind,
            key: key.clone(),
            reason: format!("{reason}; {error}"),
            moved_to: None,
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, key, reason) = (self.kind, self.key.short(), &self.reason);
        match &self.moved_to {
            Some(to) => write!(
                f,
                "{kind} {key} is damaged ({reason}) and was set aside as '{}'",
                to.display()
            ),
            None => write!(
                f,
                "{kind} {key} is damaged and stays in its place ({reason})"
            ),
        }
    }
}

/// What a check of the store found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Artifacts that were checked.
    pub checked: usize,
    /// Bytes of those that are whole.
    pub bytes: u64,
    /// Those that are not.
    pub damaged: Vec<Damage>,
}

impl Store {
    /// Checks every artifact: record, key of the pre-image, sizes of the files, and with `full`
    /// their digests. Damaged ones are set aside, so that they count as missing; where the store
    /// is read-only they stay, and their [`Damage`] says so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn verify(&self, full: bool) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        for kind in StageKind::ALL {
            let keys = self.keys(kind)?;
            let checks: Vec<Result<u64, Flaw>> = keys
                .par_iter()
                .map(|key| check(&self.paths().artifact(kind, key), kind, key, full))
                .collect();
            for (key, check) in keys.iter().zip(checks) {
                match check {
                    Ok(bytes) => found.bytes += bytes,
                    Err(Flaw::Gone) => continue,
                    Err(Flaw::Store(error)) => return Err(error),
                    Err(Flaw::Damage(reason)) => found.damaged.push(
                        self.set_aside(kind, key, &reason)
                            .unwrap_or_else(|error| Damage::in_place(kind, key, &reason, &error)),
                    ),
                }
                found.checked += 1;
            }
        }
        Ok(found)
    }

    /// Moves an artifact to the folder of damaged ones, with the reason beside it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn set_aside(
        &self,
        kind: StageKind,
        key: &Key,
        reason: &str,
    ) -> Result<Damage, StoreError> {
        let folder = self.paths().damaged();
        disk::create_dir(&folder)?;
        let name = (0_u32..)
            .map(|n| match n {
                0 => format!("{kind}-{key}"),
                n => format!("{kind}-{key}-{n}"),
            })
            .find(|name| !folder.join(name).exists())
            .unwrap_or_else(disk::unique);
        let moved_to = folder.join(&name);
        let dir = self.paths().artifact(kind, key);
        fs::rename(&dir, &moved_to).map_err(StoreError::writing("set aside", &dir))?;
        disk::write_whole(
            &folder.join(format!("{name}.txt")),
            format!("{reason}\n").as_bytes(),
        )?;
        Ok(Damage {
            kind,
            key: key.clone(),
            reason: reason.to_owned(),
            moved_to: Some(moved_to),
        })
    }
}

/// Bytes of the artifact in `dir`, or what is wrong with it.
fn check(dir: &Path, kind: StageKind, key: &Key, full: bool) -> Result<u64, Flaw> {
    match record::glance(dir, kind, key)? {
        Glance::Whole => {}
        Glance::Absent => return Err(Flaw::Gone),
        Glance::Broken(reason) => return Err(Flaw::Damage(reason)),
    }
    let path = dir.join(record::FILE);
    let Some(text) = disk::read_text(&path)? else {
        return Err(Flaw::Gone);
    };
    let record = StageRecord::check_text(text.as_bytes()).map_err(Flaw::Damage)?;
    if full {
        record
            .files
            .par_iter()
            .try_for_each(|file| check_file(dir, file))
            .map_err(Flaw::Damage)?;
    }
    Ok(record.bytes().saturating_add(text.len() as u64))
}

/// Reads a file of an artifact whole.
fn check_file(dir: &Path, file: &FileRecord) -> Result<(), String> {
    let path = file
        .locate(dir)
        .ok_or_else(|| format!("the record names '{}'", file.path))?;
    let (_, blake3) = File::open(&path)
        .map_err(|e| format!("{}: {e}", file.path))
        .and_then(|f| publish::digest(&f, &path).map_err(|e| e.to_string()))?;
    if blake3 == file.blake3 {
        Ok(())
    } else {
        Err(format!("{} has another digest than recorded", file.path))
    }
}

/// Why an artifact did not pass.
enum Flaw {
    /// Somebody removed it meanwhile.
    Gone,
    /// What is wrong with it.
    Damage(String),
    /// It cannot be looked at.
    Store(StoreError),
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
