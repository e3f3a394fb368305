//! Folders of tables that were written from the store: what they cite is no garbage.
//!
//! Like the roots of Nix: a file per folder that holds its path. A folder that is gone is a root no
//! longer.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Paths, Store, StoreError, disk};

/// Digits of the name of a root.
const DIGITS: usize = 32;

impl Paths {
    /// Folder of the register of folders with tables.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.root().join("roots")
    }

    fn root_of(&self, folder: &Path) -> PathBuf {
        let name = blake3::hash(folder.as_os_str().as_bytes()).to_hex();
        self.roots().join(&name.as_str()[..DIGITS])
    }
}

impl Store {
    /// Notes that tables of this store were written to `folder`, which exists.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn register_root(&self, folder: &Path) -> Result<(), StoreError> {
        let folder = folder.canonicalize().map_err(StoreError::reading(folder))?;
        let path = self.paths().root_of(&folder);
        let bytes = folder.as_os_str().as_bytes();
        if std::fs::read(&path).is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        self.create()?;
        disk::create_dir(&self.paths().roots())?;
        disk::write_whole(&path, bytes)
    }

    /// The folders that were registered, whether they still exist or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn roots(&self) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.paths().roots();
        let mut roots = Vec::new();
        for name in disk::names(&folder)? {
            if name.len() != DIGITS || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
                continue;
            }
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(StoreError::reading(&path))?;
            roots.push(PathBuf::from(OsString::from_vec(bytes)));
        }
        roots.sort_unstable();
        Ok(roots)
    }

    /// Forgets a registered folder.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget_root(&self, folder: &Path) -> Result<(), StoreError> {
        disk::remove_file(&self.paths().root_of(folder))
    }
}
