//! What can go wrong with the store's files; every message names the path.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How a full disk is told.
pub(super) const FULL: &str = "no space left on the device";

/// An error of the store. One line each.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the quota is full.
    #[error("{FULL}: cannot {action} '{}'", path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
    },
    /// The store may not be written.
    #[error("the store cannot be written: cannot {action} '{}': {source}", path.display())]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Any other failure of a file operation.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the store's own that does not hold what it must.
    #[error("'{}' is not a {what}: {reason}", path.display())]
    Format {
        /// What the file should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The root of the store is something else than a folder.
    #[error("the store '{}' is not a folder", path.display())]
    NotAFolder {
        /// The root.
        path: PathBuf,
    },
    /// A stage left something else than plain files and folders with UTF-8 names.
    #[error(
        "'{}' cannot be part of an artifact: only files and folders with UTF-8 names can",
        path.display()
    )]
    NotAFile {
        /// What it left.
        path: PathBuf,
    },
    /// An artifact that was asked for is not there.
    #[error("artifact '{}' is missing: {reason}", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
        /// Why it does not count.
        reason: String,
    },
}

impl StoreError {
    /// Wraps a failure to read `path`.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }
    }

    /// Wraps a failure to change `path`, telling a full disk and a read-only store apart.
    pub(crate) fn writing<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { action, path },
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Self::ReadOnly {
                    action,
                    path,
                    source,
                },
                _ => Self::Io {
                    action,
                    path,
                    source,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_store_are_told_apart() {
        let error = |kind: ErrorKind| {
            StoreError::writing("write", Path::new("store/x"))(io::Error::from(kind))
        };
        assert!(matches!(
            error(ErrorKind::StorageFull),
            StoreError::Full { .. }
        ));
        assert!(matches!(
            error(ErrorKind::ReadOnlyFilesystem),
            StoreError::ReadOnly { .. }
        ));
        assert!(matches!(error(ErrorKind::Other), StoreError::Io { .. }));
        assert_eq!(
            error(ErrorKind::StorageFull).to_string(),
            "no space left on the device: cannot write 'store/x'"
        );
    }

    #[test]
    fn a_full_device_is_met_as_such() {
        // Linux has a device that is always full.
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: there is no /dev/full");
            return;
        }
        let error = std::fs::write(full, "x")
            .map_err(StoreError::writing("write", full))
            .unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }
}
