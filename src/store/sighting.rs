//! How long a file that another machine should touch has stood still, by our own steady clock.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What changes when a file is touched or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    /// The stamp of a file.
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            seconds: meta.mtime(),
            nanoseconds: meta.mtime_nsec(),
        }
    }
}

/// When files were first seen as they are.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    seen: Mutex<HashMap<PathBuf, (Stamp, Instant)>>,
}

impl Sightings {
    /// For how long the file at `path` has been seen with this stamp; zero at the first sight.
    pub(super) fn still_for(&self, path: &Path, stamp: Stamp, now: Instant) -> Duration {
        let mut seen = self.lock();
        match seen.get(path) {
            Some((known, since)) if *known == stamp => now.saturating_duration_since(*since),
            _ => {
                seen.insert(path.to_owned(), (stamp, now));
                Duration::ZERO
            }
        }
    }

    /// Forgets a file that is gone.
    pub(super) fn forget(&self, path: &Path) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, (Stamp, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at a claim: when it happens, and what earlier looks saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub sightings: &'a Sightings,
    /// The steady clock.
    pub now: Instant,
    /// The clock on the wall, which may jump.
    pub wall: SystemTime,
    /// How long the heartbeat of another machine may stand still.
    pub expiry: Duration,
}
