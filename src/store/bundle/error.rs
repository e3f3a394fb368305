//! What can be wrong with a file of tables.

use std::path::PathBuf;

use super::super::StoreError;

/// An error of a file of tables, or of the store on the other end. One line each.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not what was written once.
    #[error("'{}' is damaged or was never written by this program: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was to be written is not there, or not whole.
    #[error("cannot export: {0}")]
    Incomplete(String),
}
