//! Removing what killed processes left behind and nobody will ask for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Store, StoreError, claim, disk};
use crate::plan::{Key, StageKind};

/// Removals and imports that are older than this were killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a sweep removes, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Claims whose holders are gone.
    pub claims: Vec<PathBuf>,
    /// Half-written artifacts that nobody is writing.
    pub staging: Vec<PathBuf>,
    /// Checkpoints and logs of stages that are done.
    pub work: Vec<PathBuf>,
}

impl Sweep {
    /// Whether there is nothing to remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.staging.is_empty() && self.work.is_empty()
    }
}

impl Store {
    /// Finds leftovers of killed processes, and removes them unless `dry_run`. Artifacts,
    /// checkpoints of unfinished stages and records of failures are none.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn sweep(&self, dry_run: bool) -> Result<Sweep, StoreError> {
        let paths = self.paths();
        let mut sweep = Sweep::default();
        let is_claimed =
            |key: &Key| -> Result<bool, StoreError> { Ok(self.holder(key)?.is_some()) };
        for name in disk::names(&paths.claims())? {
            let path = paths.claims().join(&name);
            if claim::holder(&path, &self.look())?.is_none() {
                sweep.claims.push(path);
            }
        }
        for name in disk::names(&paths.staging())? {
            let path = paths.staging().join(&name);
            let key: Option<Key> = name.split('.').next().and_then(|key| key.parse().ok());
            let abandoned = match key {
                Some(key) => !is_claimed(&key)?,
                // A removal or an import has no key; only its age tells that nobody is at it.
                None => is_older(&path, ABANDONED),
            };
            if abandoned {
                sweep.staging.push(path);
            }
        }
        for name in disk::names(&paths.root().join("work"))? {
            let Ok(key) = name.parse::<Key>() else {
                continue;
            };
            let mut cached = false;
            for kind in StageKind::ALL {
                cached |=
                    paths.artifact(kind, &key).exists() && self.lookup(kind, &key)?.is_cached();
            }
            if cached && !is_claimed(&key)? {
                sweep.work.push(paths.work(&key));
            }
        }
        if !dry_run {
            for path in &sweep.claims {
                // Between the look and the removal somebody may have taken the claim over; that
                // costs work done twice at worst.
                disk::remove_file(path)?;
            }
            for path in sweep.staging.iter().chain(&sweep.work) {
                disk::remove_dir(path)?;
            }
        }
        Ok(sweep)
    }
}

/// Whether nothing was added to the folder at `path`, or removed from it, for this long.
fn is_older(path: &Path, age: Duration) -> bool {
    fs::metadata(path)
        .and_then(|meta| meta.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age))
}
