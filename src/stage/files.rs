//! Names of the files inside artifacts, and how the plain ones are read and written.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Cases of a data set.
pub const INDEX: &str = "index.json";
/// Folds and label order.
pub const SPLIT: &str = "split.csv";
/// Prepared cases, one file each.
pub const CASES: &str = "cases";
/// Scores of an evaluation.
pub const SCORES: &str = "scores.json";

/// A file of an artifact that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refuses.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its content is not what it should be.
    #[error("{}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> Result<BufReader<File>, FileError> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })
}

/// Reads a JSON file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    serde_json::from_reader(open(path)?).map_err(|source| FileError::Json {
        path: path.to_owned(),
        source,
    })
}

/// Writes a JSON file.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    write(path, |to| {
        serde_json::to_writer(&mut *to, value).map_err(std::io::Error::from)
    })
}

/// Writes a file through a buffer.
pub(super) fn write(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let fail = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(path).map_err(fail)?);
    content(&mut file).map_err(fail)?;
    file.flush().map_err(fail)
}
