//! Why a data set could not be scanned at all.

use std::path::PathBuf;

/// A data set that cannot be listed. What is wrong with single cases is a
/// [`Problem`](super::Problem) instead.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The folder is not there.
    #[error(
        "no folder '{}' for a data set of layout '{layout}'\n\
         expected there: {expects}\nhow to get it: {obtain}", root.display()
    )]
    MissingRoot {
        /// Folder looked for.
        root: PathBuf,
        /// Name of the layout.
        layout: &'static str,
        /// What lies in such a folder.
        expects: &'static str,
        /// Where to register or download.
        obtain: &'static str,
    },
    /// The folder is there but holds nothing of this layout.
    #[error(
        "'{}' does not look like a data set of layout '{layout}': {found}\n\
         expected there: {expects}\nhow to get it: {obtain}", root.display()
    )]
    NotThisLayout {
        /// Folder looked at.
        root: PathBuf,
        /// Name of the layout.
        layout: &'static str,
        /// What is missing or was found in its place.
        found: String,
        /// What lies in such a folder.
        expects: &'static str,
        /// Where to register or download.
        obtain: &'static str,
    },
    /// A folder or file that the operating system refuses.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// Folder or file.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// A file that describes the data set (`dataset.json`, a table) and is not valid.
    #[error("'{}' is not valid: {reason}", path.display())]
    Metadata {
        /// File.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A layout option that does not fit.
    #[error("option '{option}' of layout '{layout}': {reason}")]
    Option {
        /// Name of the layout.
        layout: &'static str,
        /// Name of the option.
        option: String,
        /// Reason.
        reason: String,
    },
    /// No layout of this name.
    #[error("unknown layout '{name}'; known are {known}")]
    Unknown {
        /// Name asked for.
        name: String,
        /// Known names.
        known: String,
    },
}
