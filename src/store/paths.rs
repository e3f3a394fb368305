//! Where things are inside a store.

use std::path::{Path, PathBuf};

use crate::plan::{Key, StageKind};

/// Name of a training's checkpoint in its work folder.
pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";

/// The layout of a store (design section 4).
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Layout of the store at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of all artifacts of a kind.
    #[must_use]
    pub fn kind(&self, kind: StageKind) -> PathBuf {
        self.root.join("store").join(kind.name())
    }

    /// Folder of an artifact.
    #[must_use]
    pub fn artifact(&self, kind: StageKind, key: &Key) -> PathBuf {
        self.kind(kind).join(key.as_str())
    }

    /// Folder of what outlives an attempt that did not finish: checkpoints.
    #[must_use]
    pub fn work(&self, key: &Key) -> PathBuf {
        self.root.join("work").join(key.as_str())
    }

    /// Where a training stands, from which the next attempt goes on.
    #[must_use]
    pub fn checkpoint(&self, key: &Key) -> PathBuf {
        self.work(key).join(CHECKPOINT)
    }

    /// Folder of all claims.
    #[must_use]
    pub fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// Claim of the process that makes an artifact.
    #[must_use]
    pub fn claim(&self, key: &Key) -> PathBuf {
        self.claims().join(key.as_str())
    }

    /// Folder of all failure records.
    #[must_use]
    pub fn failures(&self) -> PathBuf {
        self.root.join("failed")
    }

    /// Record of the last failure of a stage.
    #[must_use]
    pub fn failure(&self, key: &Key) -> PathBuf {
        self.failures().join(format!("{key}.json"))
    }

    /// Folder of artifacts that are being written; on the store's file system, so that they can be
    /// renamed into place.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Folder of artifacts that failed their check.
    #[must_use]
    pub fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// Folder of the logs and frozen plans of runs.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The file by which backup programs know a cache.
    #[must_use]
    pub fn tag(&self) -> PathBuf {
        self.root.join("CACHEDIR.TAG")
    }
}
