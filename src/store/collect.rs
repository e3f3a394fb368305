//! Collection of garbage: artifacts that nothing that matters was made from.
//!
//! Removing races with runs that begin meanwhile. A run registers (its folder with the frozen plan)
//! and then looks which artifacts are there; a collection renames an artifact away and then looks
//! which runs are registered. So either the run sees that the artifact is gone and makes it anew, or
//! the collection sees the run and puts the artifact back.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::{Serialize, Serializer};

use super::{StageRecord, Store, StoreError, clock, disk};
use crate::plan::{Key, Plan, StageKind};

/// Artifacts that are renamed before the runs are looked at again.
const BATCH: usize = 64;

/// An artifact as a collection sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// Kind of the stage.
    pub kind: StageKind,
    /// Its key.
    pub key: Key,
    /// Its name for people.
    pub label: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was made or last read by a stage.
    #[serde(serialize_with = "as_text")]
    pub used: SystemTime,
}

fn as_text<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&clock::rfc3339(*time))
}

/// What a collection would remove, and what it keeps; by kind, then key.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// What nothing that matters was made from.
    pub garbage: Vec<Item>,
    /// The rest.
    pub kept: Vec<Item>,
}

/// What a removal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Artifacts removed.
    pub artifacts: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Artifacts that stay because a run that began meanwhile needs them.
    pub spared: usize,
}

impl Store {
    /// Sorts the artifacts into garbage and the rest. Kept are the artifacts of `roots`, those made
    /// or used within `unused_for`, and all that either was made from. `plans` is asked only where
    /// the artifact of a root, which would name its inputs, is missing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn collect(
        &self,
        roots: &HashSet<Key>,
        unused_for: Duration,
        plans: impl FnOnce() -> Vec<Plan>,
    ) -> Result<Collection, StoreError> {
        let mut items = Vec::new();
        let mut inputs: HashMap<Key, Vec<Key>> = HashMap::new();
        for kind in StageKind::ALL {
            let read: Vec<Option<(Item, Vec<Key>)>> = self
                .keys(kind)?
                .par_iter()
                .map(|key| self.item(kind, key))
                .collect();
            for (item, reads) in read.into_iter().flatten() {
                inputs.insert(item.key.clone(), reads);
                items.push(item);
            }
        }
        let now = SystemTime::now();
        // A time in the future is that of a clock that has jumped back: the artifact counts as new.
        let is_recent =
            |item: &Item| now.duration_since(item.used).unwrap_or_default() < unused_for;
        let mut open: Vec<Key> = roots.iter().cloned().collect();
        open.extend(items.iter().filter(|i| is_recent(i)).map(|i| i.key.clone()));
        let mut live: HashSet<Key> = open.iter().cloned().collect();
        let mut unknown = spread(open, &inputs, &mut live);
        if !unknown.is_empty() {
            for stage in plans().into_iter().flat_map(|plan| plan.stages) {
                inputs
                    .entry(stage.key)
                    .or_insert_with(|| stage.inputs.into_iter().map(|i| i.key).collect());
            }
            unknown = spread(unknown, &inputs, &mut live);
            tracing::debug!("{} roots are in no plan", unknown.len());
        }
        let (kept, garbage) = items.into_iter().partition(|i| live.contains(&i.key));
        Ok(Collection { garbage, kept })
    }

    /// An artifact and what it was made from; `None` where its record cannot be read: that is for
    /// [`verify`](Self::verify), not for us.
    fn item(&self, kind: StageKind, key: &Key) -> Option<(Item, Vec<Key>)> {
        let dir = self.artifact_dir(kind, key);
        let record = StageRecord::read(&dir).ok().flatten()?;
        let used = fs::metadata(&dir).and_then(|meta| meta.modified()).ok()?;
        let item = Item {
            kind,
            key: key.clone(),
            bytes: record.bytes(),
            label: record.label,
            used,
        };
        let inputs = record.inputs.into_iter().map(|input| input.key).collect();
        Some((item, inputs))
    }

    /// Removes what [`collect`](Self::collect) found. `needed` says which keys matter by now, after
    /// a batch has been renamed away and before it is gone for good.
    ///
    /// # Errors
    /// The store cannot be written, or `needed` fails; the batch in hand is put back first.
    pub fn remove_garbage<E: From<StoreError>>(
        &self,
        garbage: &[Item],
        mut needed: impl FnMut() -> Result<HashSet<Key>, E>,
    ) -> Result<Removal, E> {
        let mut removal = Removal::default();
        let mut spared = HashSet::new();
        disk::create_dir(&self.paths().staging())?;
        for batch in garbage.chunks(BATCH) {
            let mut doomed: Vec<(&Item, PathBuf)> = Vec::new();
            for item in batch.iter().filter(|item| !spared.contains(&item.key)) {
                if let Some(away) = self.take_away(item)? {
                    doomed.push((item, away));
                }
            }
            match needed() {
                Ok(keys) => spared.extend(keys),
                Err(error) => {
                    for (item, away) in doomed {
                        self.put_back(item, away)?;
                    }
                    return Err(error);
                }
            }
            for (item, away) in doomed {
                if spared.contains(&item.key) {
                    self.put_back(item, away)?;
                } else {
                    disk::remove_dir(&away)?;
                    removal.artifacts += 1;
                    removal.bytes += item.bytes;
                }
            }
        }
        removal.spared = garbage
            .iter()
            .filter(|item| spared.contains(&item.key))
            .count();
        Ok(removal)
    }

    /// Renames an artifact away; `None` where it is gone already.
    fn take_away(&self, item: &Item) -> Result<Option<PathBuf>, StoreError> {
        let dir = self.artifact_dir(item.kind, &item.key);
        // The time tells a sweep by another process that somebody is at it.
        if let Ok(folder) = File::open(&dir) {
            let _ = folder.set_modified(SystemTime::now());
        }
        let away = self
            .paths()
            .staging()
            .join(format!("removed.{}", disk::unique()));
        match fs::rename(&dir, &away) {
            Ok(()) => Ok(Some(away)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::writing("remove", &dir)(e)),
        }
    }

    /// Undoes [`take_away`](Self::take_away), unless the artifact was made anew meanwhile.
    fn put_back(&self, item: &Item, away: PathBuf) -> Result<(), StoreError> {
        let dir = self.artifact_dir(item.kind, &item.key);
        match fs::rename(&away, &dir) {
            Ok(()) => Ok(()),
            Err(_) if dir.exists() => disk::remove_dir(&away),
            Err(e) => Err(StoreError::writing("put back", &dir)(e)),
        }
    }

    /// Artifacts that were set aside as damaged, with the bytes that they take.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn set_aside_before(&self) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        let folder = self.paths().damaged();
        Ok(disk::names(&folder)?
            .into_iter()
            .map(|name| folder.join(name))
            .map(|path| {
                let bytes = bytes_below(&path);
                (path, bytes)
            })
            .collect())
    }

    /// Removes an artifact that was set aside.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remove_set_aside(&self, path: &std::path::Path) -> Result<(), StoreError> {
        if path.is_dir() {
            disk::remove_dir(path)
        } else {
            disk::remove_file(path)
        }
    }

    /// Stages that living processes make now, as far as their claims tell.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn claimed(&self) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        for name in disk::names(&self.paths().claims())? {
            if let Ok(key) = name.parse::<Key>()
                && self.holder(&key)?.is_some()
            {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// Adds all that `open` was made from to `live`; returns those of which nothing is known.
fn spread(
    mut open: Vec<Key>,
    inputs: &HashMap<Key, Vec<Key>>,
    live: &mut HashSet<Key>,
) -> Vec<Key> {
    let mut unknown = Vec::new();
    while let Some(key) = open.pop() {
        let Some(reads) = inputs.get(&key) else {
            unknown.push(key);
            continue;
        };
        for input in reads {
            if live.insert(input.clone()) {
                open.push(input.clone());
            }
        }
    }
    unknown
}

/// Bytes of the files below `path`; what cannot be read counts nothing.
fn bytes_below(path: &std::path::Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    fs::read_dir(path).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| bytes_below(&entry.path()))
            .sum()
    })
}
