//! The text of manifests, kept for diagnostics.

use std::path::PathBuf;

/// One file, or one `--set` argument.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Name in diagnostics.
    pub name: String,
    /// Path on disk, where it is a file.
    pub path: Option<PathBuf>,
    /// Text.
    pub text: String,
}

/// All texts that a manifest was composed of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a text and returns its number.
    pub fn add(&mut self, file: SourceFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    /// The text with number `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&SourceFile> {
        self.files.get(index)
    }

    /// All texts.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Line and column (both from 1, columns in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, file: usize, offset: usize) -> (usize, usize) {
        let Some(file) = self.files.get(file) else {
            return (1, 1);
        };
        let before = &file.text[..floor_char(&file.text, offset)];
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        (line, before[start..].chars().count() + 1)
    }
}

/// The largest character boundary at or below `offset`.
pub(super) fn floor_char(text: &str, offset: usize) -> usize {
    let mut i = offset.min(text.len());
    while !text.is_char_boundary(i) {
        i -= 1;
    }
    i
}
