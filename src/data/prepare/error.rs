//! Why a case was not prepared, or a prepared one not opened.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::volume::VolumeError;

/// One line that names the case or file, and the cause.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// A source volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The case does not have what is asked for, or its volumes do not fit together.
    #[error("case {case}: {why}")]
    Case {
        /// Case identity.
        case: String,
        /// What does not fit.
        why: String,
    },
    /// An option has no meaning.
    #[error("{field}: {why}")]
    Option {
        /// Option as the manifest names it.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A prepared file is not what [`super::prepare_case`] writes.
    #[error("{}: {why}", path.display())]
    Artifact {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Cases that cannot be one set of slices, or a mask of another shape.
    #[error("{0}")]
    Shape(String),
}

impl PrepareError {
    pub(super) fn case(case: &str, why: impl Into<String>) -> Self {
        Self::Case {
            case: case.to_string(),
            why: why.into(),
        }
    }

    pub(super) fn option(field: &'static str, why: impl Into<String>) -> Self {
        Self::Option {
            field,
            why: why.into(),
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn artifact(path: &Path, why: impl Into<String>) -> Self {
        Self::Artifact {
            path: path.to_path_buf(),
            why: why.into(),
        }
    }
}
