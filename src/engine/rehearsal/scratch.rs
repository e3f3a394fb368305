//! A store to play in, which borrows what another store has.

use std::io::ErrorKind;
use std::path::Path;

use crate::plan::Stage;
use crate::store::{Store, StoreError};

/// Lends the artifact of `stage` from one store to another, by a link: nothing is copied, and
/// nothing is ever written into a published artifact. False where there is none to lend.
pub(super) fn lend(stage: &Stage, from: &Store, to: &Store) -> Result<bool, StoreError> {
    if !from.lookup(stage.kind, &stage.key)?.is_cached() {
        return Ok(false);
    }
    let target = from.artifact_dir(stage.kind, &stage.key);
    let target = std::fs::canonicalize(&target).map_err(StoreError::reading(&target))?;
    let link = to.artifact_dir(stage.kind, &stage.key);
    let folder = link.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(StoreError::writing("create folder", folder))?;
    match std::os::unix::fs::symlink(&target, &link) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(StoreError::writing("link", &link)(e))
        }
        _ => Ok(true),
    }
}
