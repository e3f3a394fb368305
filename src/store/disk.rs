//! File operations whose errors carry the path.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

/// Largest JSON file of the store that is read into memory.
const TEXT_LIMIT: u64 = 256 << 20;

/// Creates `path` and its parents.
pub(crate) fn create_dir(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::writing("create folder", path))
}

/// Text of `path`; `None` where there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // A path below something that is a file does not exist either.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(StoreError::reading(path)(e)),
    };
    let mut text = String::new();
    let length = file
        .take(TEXT_LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(StoreError::reading(path))?;
    if length as u64 > TEXT_LIMIT {
        return Err(StoreError::Format {
            what: "JSON file of a store",
            path: path.to_owned(),
            reason: format!("it is larger than {TEXT_LIMIT} bytes"),
        });
    }
    Ok(Some(text))
}

/// Writes `path` whole or not at all: a temporary neighbour, fsync, rename.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = neighbour(path);
    let written = (|| {
        let mut file =
            File::create(&temporary).map_err(StoreError::writing("create", &temporary))?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(StoreError::writing("write", &temporary))?;
        fs::rename(&temporary, path).map_err(StoreError::writing("write", path))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name beside `path` that no other process and no other thread takes.
pub(crate) fn neighbour(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", unique()));
    path.with_file_name(name)
}

/// A word that no other process of this host and no other call returns.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Makes what was done in folder `path` (creations, renames) survive a loss of power.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::writing("sync", path))
}

/// Makes the names in folder `path` and in the folders below it survive a loss of power.
pub(crate) fn sync_tree(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(StoreError::reading(path))? {
        let entry = entry.map_err(StoreError::reading(path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(path)
}

/// Removes a file; none there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::writing("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a folder and what it holds; none there is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::writing("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Names in folder `path`, sorted; none where there is no such folder. Names that are not UTF-8 are
/// none of the store's and are left out.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(StoreError::reading(path)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::reading(path))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
