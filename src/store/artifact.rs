//! The store and the questions that it answers without locking.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::record::{self, Glance};
use super::sighting::{Look, Sightings};
use super::{Failure, Holder, Paths, StageRecord, StoreError, claim, disk};
use crate::plan::{Key, Stage, StageKind};

/// By this signature backup programs know a cache (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
# This folder is a cache made by amlp-run. Everything in it can be made again.\n";

/// Uses within this time count as one.
const USE: Duration = Duration::from_secs(600);

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its artifact is there, with all files in their recorded sizes.
    Cached,
    /// Never made, or removed.
    Missing,
    /// Its artifact is there but broken; it counts as missing and is set aside by who makes it
    /// anew.
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// A living process makes it now.
    Running {
        /// Which.
        holder: Holder,
    },
    /// The last attempt failed.
    Failed {
        /// How.
        failure: Box<Failure>,
    },
}

impl State {
    /// Whether the artifact can be used.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        matches!(self, Self::Cached)
    }
}

/// A published artifact.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its folder.
    pub dir: PathBuf,
    /// Its `stage.json`.
    pub record: StageRecord,
}

/// A store of artifacts in a folder. Cheap to clone; opening writes nothing.
#[derive(Clone, Debug)]
pub struct Store {
    paths: Paths,
    /// Claims of other machines that were looked at; clones share it.
    sightings: Arc<Sightings>,
}

impl Store {
    /// The store at `root`, which need not exist yet.
    ///
    /// # Errors
    /// `root` is something else than a folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        if root.exists() && !root.is_dir() {
            return Err(StoreError::NotAFolder { path: root });
        }
        Ok(Self {
            paths: Paths::new(root),
            sightings: Arc::default(),
        })
    }

    /// Where things are.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A look at claims, now.
    pub(super) fn look(&self) -> Look<'_> {
        Look {
            sightings: &self.sightings,
            now: Instant::now(),
            wall: SystemTime::now(),
            expiry: claim::EXPIRY,
        }
    }

    /// The living process that makes the artifact of `key`, if there is one.
    ///
    /// # Errors
    /// The claim cannot be read.
    pub fn holder(&self, key: &Key) -> Result<Option<Holder>, StoreError> {
        claim::holder(&self.paths.claim(key), &self.look())
    }

    /// Removes the claim on `key` if its holder is gone. A process that has watched the claim of
    /// another machine stand still so hands the stage to one that has not.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn clear_stale_claim(&self, key: &Key) -> Result<bool, StoreError> {
        claim::clear(&self.paths.claim(key), &self.look())
    }

    /// Creates the store's folders and the mark of a cache.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn create(&self) -> Result<(), StoreError> {
        for folder in [
            self.paths.claims(),
            self.paths.staging(),
            self.paths.failures(),
        ] {
            disk::create_dir(&folder)?;
        }
        let tag = self.paths.tag();
        if tag.exists() {
            return Ok(());
        }
        disk::write_whole(&tag, TAG.as_bytes())
    }

    /// Where the stage `key` stands: one read, and a stat for each file of the artifact.
    ///
    /// # Errors
    /// Something in the store cannot be read. That something is absent is no error.
    pub fn lookup(&self, kind: StageKind, key: &Key) -> Result<State, StoreError> {
        let damaged = match record::glance(&self.paths.artifact(kind, key), kind, key)? {
            Glance::Whole => return Ok(State::Cached),
            Glance::Absent => None,
            Glance::Broken(reason) => Some(reason),
        };
        if let Some(holder) = self.holder(key)? {
            return Ok(State::Running { holder });
        }
        if let Some(reason) = damaged {
            return Ok(State::Damaged { reason });
        }
        Ok(match Failure::read(&self.paths, kind, key)? {
            Some(failure) => State::Failed {
                failure: Box::new(failure),
            },
            None => State::Missing,
        })
    }

    /// [`lookup`](Self::lookup) of many stages on all threads; results in the order of `stages`.
    ///
    /// # Errors
    /// The first that [`lookup`](Self::lookup) meets.
    pub fn lookup_all(&self, stages: &[Stage]) -> Result<Vec<State>, StoreError> {
        stages
            .par_iter()
            .map(|stage| self.lookup(stage.kind, &stage.key))
            .collect()
    }

    /// Folder of the artifact, once [`lookup`](Self::lookup) has said that it is cached.
    #[must_use]
    pub fn artifact_dir(&self, kind: StageKind, key: &Key) -> PathBuf {
        self.paths.artifact(kind, key)
    }

    /// Notes that an artifact is in use, in the time of its folder: a collection of garbage keeps
    /// what was used lately. Where that cannot be noted nothing else suffers.
    pub fn mark_used(&self, kind: StageKind, key: &Key) {
        let noted = File::open(self.paths.artifact(kind, key)).and_then(|folder| {
            let age = folder.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age < USE {
                return Ok(());
            }
            folder.set_modified(SystemTime::now())
        });
        if let Err(error) = noted {
            tracing::debug!("the use of {kind} {} is not noted: {error}", key.short());
        }
    }

    /// The artifact of a cached stage.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn artifact(&self, kind: StageKind, key: &Key) -> Result<Artifact, StoreError> {
        let dir = self.paths.artifact(kind, key);
        let missing = |reason: &str| StoreError::Missing {
            path: dir.clone(),
            reason: reason.to_owned(),
        };
        match record::glance(&dir, kind, key)? {
            Glance::Whole => {}
            Glance::Absent => return Err(missing("it was not made")),
            Glance::Broken(reason) => return Err(missing(&reason)),
        }
        let record = StageRecord::read(&dir)?.ok_or_else(|| missing("it has no record"))?;
        Ok(Artifact { dir, record })
    }

    /// Keys of all artifacts of `kind`, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn keys(&self, kind: StageKind) -> Result<Vec<Key>, StoreError> {
        Ok(disk::names(&self.paths.kind(kind))?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// Records of all artifacts of `kind`, sorted by key; artifacts whose record cannot be read
    /// are left out ([`verify`](Self::verify) tells of them).
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn records(&self, kind: StageKind) -> Result<Vec<StageRecord>, StoreError> {
        let keys = self.keys(kind)?;
        Ok(keys
            .par_iter()
            .filter_map(|key| {
                StageRecord::read(&self.paths.artifact(kind, key))
                    .ok()
                    .flatten()
            })
            .collect())
    }

    /// Records of all failures, sorted by key.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn failures(&self) -> Result<Vec<Failure>, StoreError> {
        let mut failures = Vec::new();
        for name in disk::names(&self.paths.failures())? {
            if !name.ends_with(".json") {
                continue;
            }
            if let Some(text) = disk::read_text(&self.paths.failures().join(&name))?
                && let Ok(failure) = serde_json::from_str(&text)
            {
                failures.push(failure);
            }
        }
        Ok(failures)
    }

    /// Records that a stage failed, for who watched it die.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn record_failure(&self, failure: &Failure) -> Result<(), StoreError> {
        failure.write(&self.paths)
    }

    /// Forgets the failure of a stage.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget_failure(&self, key: &Key) -> Result<(), StoreError> {
        disk::remove_file(&self.paths.failure(key))
    }

    /// Removes an artifact: first by a rename, so that no reader meets half of it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remove(&self, kind: StageKind, key: &Key) -> Result<(), StoreError> {
        let dir = self.paths.artifact(kind, key);
        if !dir.exists() {
            return Ok(());
        }
        disk::create_dir(&self.paths.staging())?;
        let doomed = self
            .paths
            .staging()
            .join(format!("removed.{}", disk::unique()));
        std::fs::rename(&dir, &doomed).map_err(StoreError::writing("remove", &dir))?;
        disk::remove_dir(&doomed)
    }
}
