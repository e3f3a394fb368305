//! What can be wrong with a volume file.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a volume was not read or written; one line that names the file and the field.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A header field cannot be used.
    #[error("{}: {field}: {why}", path.display())]
    Field {
        /// File that holds the header.
        path: PathBuf,
        /// Field as the NIfTI standard names it.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The voxels are missing, cut short or corrupt.
    #[error("{}: voxels: {why}", path.display())]
    Voxels {
        /// File that holds the voxels.
        path: PathBuf,
        /// What is wrong with them.
        why: String,
    },
    /// The caller asked for something that the file does not have.
    #[error("{}: {why}", path.display())]
    Request {
        /// File.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

impl VolumeError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn field(path: &Path, field: &'static str, why: impl Into<String>) -> Self {
        Self::Field {
            path: path.to_path_buf(),
            field,
            why: why.into(),
        }
    }

    pub(super) fn voxels(path: &Path, why: impl Into<String>) -> Self {
        Self::Voxels {
            path: path.to_path_buf(),
            why: why.into(),
        }
    }

    pub(super) fn request(path: &Path, why: impl Into<String>) -> Self {
        Self::Request {
            path: path.to_path_buf(),
            why: why.into(),
        }
    }
}
