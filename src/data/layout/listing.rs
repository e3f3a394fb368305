//! Folders in name order, without hidden entries.

use std::path::{Path, PathBuf};

use super::error::LayoutError;
use super::names::stem;
use super::problem::{Problem, ProblemKind};

/// Entries of one folder, each list in name order. Hidden names (`.DS_Store`, `._image.nii.gz` of
/// macOS archives) are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) files: Vec<String>,
    pub(super) folders: Vec<String>,
    /// Entries that no case can use, with the reason.
    pub(super) unusable: Vec<(String, &'static str)>,
}

impl Folder {
    /// Lists `path`; links are followed.
    pub(super) fn read(path: &Path) -> Result<Self, LayoutError> {
        let failed = |source| LayoutError::Read {
            path: path.to_path_buf(),
            source,
        };
        let mut folder = Self::default();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(raw) => {
                    let shown = raw.to_string_lossy().into_owned();
                    folder.unusable.push((shown, "its name is not UTF-8"));
                    continue;
                }
            };
            if name.starts_with('.') {
                continue;
            }
            match std::fs::metadata(entry.path()) {
                Ok(meta) if meta.is_dir() => folder.folders.push(name),
                // Interrupted downloads leave these behind.
                Ok(meta) if meta.is_file() && meta.len() == 0 && stem(&name).is_some() => {
                    folder.unusable.push((name, "the file is empty"));
                }
                Ok(meta) if meta.is_file() => folder.files.push(name),
                Ok(_) => folder.unusable.push((name, "it is not a plain file")),
                Err(_) => folder
                    .unusable
                    .push((name, "it is a link that leads nowhere, or cannot be read")),
            }
        }
        folder.files.sort_unstable();
        folder.folders.sort_unstable();
        folder.unusable.sort_unstable();
        Ok(folder)
    }

    /// Whether `name` is a file here.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.files
            .binary_search_by(|file| file.as_str().cmp(name))
            .is_ok()
    }

    /// Whether `name` is a folder here.
    pub(super) fn has_folder(&self, name: &str) -> bool {
        self.folders
            .binary_search_by(|folder| folder.as_str().cmp(name))
            .is_ok()
    }

    /// Problems of the unusable entries; `here` is this folder below the root.
    pub(super) fn report_unusable(&self, here: &str, problems: &mut Vec<Problem>) {
        for (name, reason) in &self.unusable {
            problems.push(Problem::error(
                ProblemKind::Unreadable,
                None,
                join(here, name),
                *reason,
            ));
        }
    }
}

/// `folder/name`, or `name` at the root.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The path on disk of a path below the root with `/`.
pub(super) fn on_disk(root: &Path, below: &str) -> PathBuf {
    let mut path = root.to_path_buf();
    path.extend(below.split('/').filter(|part| !part.is_empty()));
    path
}
