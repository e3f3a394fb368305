//! Making an artifact: claim, temporary folder, publication by rename.
//!
//! A reader sees an artifact whole or not at all, whenever the writer is killed and whoever else
//! writes the same key.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;

use super::claim::{Claim, Claiming};
use super::record::{FILE, FORMAT, FileRecord, Glance, Provenance, StageRecord};
use super::{
    Artifact, Damage, Failure, FailureKind, Holder, Store, StoreError, clock, disk, host_name,
    record,
};
use crate::plan::{Key, Stage, StageKind};

/// What came of wanting to make an artifact.
#[derive(Debug)]
pub enum Begin {
    /// It is to be made, by the caller.
    Attempt(Box<Attempt>),
    /// It is there.
    Cached(Box<Artifact>),
    /// Somebody else is making it.
    Claimed(Holder),
}

/// An artifact in the making. Dropping it without publishing gives the stage back and keeps its
/// work folder.
#[derive(Debug)]
pub struct Attempt {
    store: Store,
    stage: Stage,
    output: PathBuf,
    attempts: u32,
    set_aside: Option<Damage>,
    /// Held until the end; dropping it removes the file.
    claim: Claim,
}

impl Store {
    /// Starts making the artifact of `stage`, unless it is there or somebody else does.
    ///
    /// A damaged artifact in its place is set aside; [`Attempt::set_aside`] tells of it. What a
    /// killed attempt left in the temporary folder is removed.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn begin(&self, stage: &Stage) -> Result<Begin, StoreError> {
        if self.lookup(stage.kind, &stage.key)?.is_cached() {
            return Ok(Begin::Cached(Box::new(
                self.artifact(stage.kind, &stage.key)?,
            )));
        }
        self.create()?;
        let claim = match Claim::take(&self.paths().claim(&stage.key), &self.look())? {
            Claiming::Claimed(claim) => claim,
            Claiming::Held(holder) => return Ok(Begin::Claimed(holder)),
        };
        // It may have been published between the look and the claim.
        let place = self.paths().artifact(stage.kind, &stage.key);
        let set_aside = match record::glance(&place, stage.kind, &stage.key)? {
            Glance::Whole => {
                return Ok(Begin::Cached(Box::new(
                    self.artifact(stage.kind, &stage.key)?,
                )));
            }
            Glance::Absent => None,
            Glance::Broken(reason) => Some(self.set_aside(stage.kind, &stage.key, &reason)?),
        };
        let staging = self.paths().staging();
        for name in disk::names(&staging)? {
            if name.starts_with(stage.key.as_str()) {
                disk::remove_dir(&staging.join(name))?;
            }
        }
        let work = self.paths().work(&stage.key);
        disk::create_dir(&work)?;
        let attempts = count_attempt(&work)?;
        let output = staging.join(format!("{}.{}", stage.key, disk::unique()));
        disk::create_dir(&output)?;
        Ok(Begin::Attempt(Box::new(Attempt {
            store: self.clone(),
            stage: stage.clone(),
            output,
            attempts,
            set_aside,
            claim,
        })))
    }
}

impl Attempt {
    /// The stage.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Folder for the files of the artifact.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Folder for checkpoints; a later attempt finds what this one leaves there.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.store.paths().work(&self.stage.key)
    }

    /// How many attempts there were, with this one.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The damaged artifact that this one replaces.
    #[must_use]
    pub fn set_aside(&self) -> Option<&Damage> {
        self.set_aside.as_ref()
    }

    /// Whether another process has taken the stage over, thinking this one dead (it was suspended,
    /// or its machine was cut off). What it still does is in vain.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.claim.is_lost()
    }

    /// Publishes the files in [`output`](Self::output): digests, fsync, rename. Where somebody
    /// else has published the same key meanwhile theirs is kept and returned.
    ///
    /// # Errors
    /// The store cannot be written, or the stage left something else than files and folders.
    pub fn publish(self, mut provenance: Provenance) -> Result<Artifact, StoreError> {
        let paths = self.store.paths();
        let (kind, key) = (self.stage.kind, &self.stage.key);
        let (files, folders) = list(&self.output)?;
        let files = files
            .par_iter()
            .map(|file| seal(&self.output, file))
            .collect::<Result<Vec<FileRecord>, StoreError>>()?;
        provenance.attempts = self.attempts;
        let record = StageRecord {
            format: FORMAT,
            key: key.clone(),
            kind,
            label: self.stage.label.clone(),
            preimage: self.stage.preimage.clone(),
            inputs: self.stage.inputs.clone(),
            files,
            provenance,
        };
        let path = self.output.join(FILE);
        let text = record.to_text().map_err(|e| StoreError::Format {
            what: "stage record",
            path: path.clone(),
            reason: e.to_string(),
        })?;
        disk::write_whole(&path, &text)?;
        for folder in &folders {
            disk::sync_dir(folder)?;
        }
        let dir = paths.artifact(kind, key);
        let record = if self.store.place(&self.output, kind, key)? {
            record
        } else {
            self.store.artifact(kind, key)?.record
        };
        disk::remove_file(&paths.failure(key))?;
        disk::remove_dir(&self.work())?;
        Ok(Artifact { dir, record })
    }

    /// Records that the attempt failed; its files are dropped, its work folder is kept.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn fail(
        self,
        failure: FailureKind,
        message: impl Into<String>,
        log: Vec<String>,
    ) -> Result<Failure, StoreError> {
        let failure = self.store.failure(&self.stage, failure, message, log);
        self.store.record_failure(&failure)?;
        Ok(failure)
    }
}

impl Store {
    /// Renames a finished artifact at `output` into its place; false where one is there already
    /// that can be used.
    pub(super) fn place(
        &self,
        output: &Path,
        kind: StageKind,
        key: &Key,
    ) -> Result<bool, StoreError> {
        let parent = self.paths().kind(kind);
        disk::create_dir(&parent)?;
        let dir = self.artifact_dir(kind, key);
        let rename = || match fs::rename(output, &dir) {
            Ok(()) => disk::sync_dir(&parent).map(|()| true),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::DirectoryNotEmpty
                        | ErrorKind::AlreadyExists
                        | ErrorKind::NotADirectory
                ) =>
            {
                Ok(false)
            }
            Err(e) => Err(StoreError::writing("publish", &dir)(e)),
        };
        if rename()? {
            return Ok(true);
        }
        match record::glance(&dir, kind, key)? {
            Glance::Whole => return Ok(false),
            Glance::Absent => {}
            Glance::Broken(reason) => {
                self.set_aside(kind, key, &reason)?;
            }
        }
        if rename()? {
            return Ok(true);
        }
        if self.lookup(kind, key)?.is_cached() {
            return Ok(false);
        }
        Err(StoreError::Missing {
            path: dir,
            reason: "something else stands in its place".to_owned(),
        })
    }

    /// A failure of `stage` that happens now, on this machine.
    #[must_use]
    pub fn failure(
        &self,
        stage: &Stage,
        failure: FailureKind,
        message: impl Into<String>,
        log: Vec<String>,
    ) -> Failure {
        let checkpoint = self.paths().checkpoint(&stage.key);
        let message = message.into();
        Failure {
            key: stage.key.clone(),
            kind: stage.kind,
            label: stage.label.clone(),
            failure: failure.or_full(&message),
            message,
            log,
            log_file: None,
            checkpoint: checkpoint.exists().then_some(checkpoint),
            when: clock::rfc3339(SystemTime::now()),
            when_unix: clock::unix_now(),
            host: host_name(),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Gone already when it was published; otherwise the next attempt would remove it.
        let _ = fs::remove_dir_all(&self.output);
    }
}

/// Counts one more attempt in the work folder.
fn count_attempt(work: &Path) -> Result<u32, StoreError> {
    let path = work.join("attempts");
    let before: u32 = disk::read_text(&path)?
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let attempts = before.saturating_add(1);
    fs::write(&path, attempts.to_string()).map_err(StoreError::writing("write", &path))?;
    Ok(attempts)
}

/// Files below `root`, as sorted paths relative to it, and folders with `root`, the innermost
/// first.
fn list(root: &Path) -> Result<(Vec<String>, Vec<PathBuf>), StoreError> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(StoreError::reading(&folder))? {
            let entry = entry.map_err(StoreError::reading(&folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(StoreError::reading(&path))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(StoreError::NotAFile { path });
            };
            let relative = format!("{prefix}{name}");
            if kind.is_dir() {
                open.push((path, format!("{relative}/")));
            } else if kind.is_file() {
                files.push(relative);
            } else {
                return Err(StoreError::NotAFile { path });
            }
        }
        folders.push(folder);
    }
    files.sort_unstable();
    // The record is ours to write.
    files.retain(|file| file != FILE);
    folders.reverse();
    Ok((files, folders))
}

/// Digests a file and makes it durable.
fn seal(root: &Path, relative: &str) -> Result<FileRecord, StoreError> {
    let path = root.join(relative);
    let file = File::open(&path).map_err(StoreError::reading(&path))?;
    let (size, blake3) = digest(&file, &path)?;
    file.sync_all()
        .map_err(StoreError::writing("sync", &path))?;
    Ok(FileRecord {
        path: relative.to_owned(),
        size,
        blake3,
    })
}

/// Size and BLAKE3 of what is left to read of `file`.
pub(super) fn digest(file: &File, path: &Path) -> Result<(u64, String), StoreError> {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .map_err(StoreError::reading(path))?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}
