//! Checking artifacts against their records; what fails is set aside, never deleted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{StageRecord, Store, StoreError, disk, publish, record};
use crate::plan::{Key, StageKind};

/// An artifact that failed its check and was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Kind of the stage.
    pub kind: StageKind,
    /// Its key.
    pub key: Key,
    /// What is wrong.
    pub reason: String,
    /// Where the artifact is now; the reason stands beside it with `.txt` added.
    pub moved_to: PathBuf,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} is damaged ({}) and was set aside as '{}'",
            self.kind,
            self.key.short(),
            self.reason,
            self.moved_to.display()
        )
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
    /// their digests. Damaged ones are set aside, so that they count as missing.
    ///
    /// # Errors
    /// The store cannot be read, or a damaged artifact cannot be moved.
    pub fn verify(&self, full: bool) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        for kind in StageKind::ALL {
            let keys = self.keys(kind)?;
            found.checked += keys.len();
            let checks: Vec<Result<u64, String>> = keys
                .par_iter()
                .map(|key| check(&self.paths().artifact(kind, key), kind, key, full))
                .collect();
            for (key, check) in keys.iter().zip(checks) {
                match check {
                    Ok(bytes) => found.bytes += bytes,
                    Err(reason) => found.damaged.push(self.set_aside(kind, key, &reason)?),
                }
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
            moved_to,
        })
    }
}

/// Bytes of the artifact in `dir`, or what is wrong with it.
fn check(dir: &Path, kind: StageKind, key: &Key, full: bool) -> Result<u64, String> {
    match record::glance(dir, kind, key).map_err(|e| e.to_string())? {
        record::Glance::Whole => {}
        record::Glance::Absent => return Err("it is gone".to_owned()),
        record::Glance::Broken(reason) => return Err(reason),
    }
    let Some(record) = StageRecord::read(dir).map_err(|e| e.to_string())? else {
        return Err("it has no record".to_owned());
    };
    if Key::of(&record.preimage) != *key {
        return Err("its pre-image does not hash to its key".to_owned());
    }
    if full {
        for file in &record.files {
            let path = file
                .locate(dir)
                .ok_or_else(|| format!("the record names '{}'", file.path))?;
            let (_, blake3) = File::open(&path)
                .map_err(|e| format!("{}: {e}", file.path))
                .and_then(|f| publish::digest(&f, &path).map_err(|e| e.to_string()))?;
            if blake3 != file.blake3 {
                return Err(format!("{} has another digest than recorded", file.path));
            }
        }
    }
    Ok(record.bytes())
}
