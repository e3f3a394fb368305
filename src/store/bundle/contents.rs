//! What is in a file of tables: the list at its begin, and the places that it may name.

use std::collections::HashSet;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::super::FileRecord;
use super::super::seal::{self, Seal};
use crate::plan::{Key, StageKind};

/// Version of the format.
const FORMAT: u32 = 1;

/// Name of the first entry.
pub(super) const LIST: &str = "MANIFEST.json";

/// Name of the entry with the published numbers that the tables were written beside.
pub(super) const LEDGER: &str = "ledger.csv";

/// Size of a block of a tar.
pub(super) const BLOCK: usize = 512;

/// Longest list that is read.
pub(super) const LIST_LIMIT: u64 = 256 << 20;

/// The first entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// Version of the format.
    pub format: u32,
    /// What wrote it.
    pub program: String,
    /// The tables.
    pub tables: Vec<TableEntry>,
    /// All further entries, in their order.
    pub entries: Vec<FileRecord>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// Number or name.
    pub table: String,
    /// Key of the stage that wrote it.
    pub key: Key,
}

impl TableEntry {
    /// Folder of its files below the results.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/{}", self.experiment, self.profile)
    }

    /// Entry of one of its files.
    #[must_use]
    pub fn entry(&self, extension: &str) -> String {
        format!("tables/{}/{}", self.folder(), self.file(extension))
    }

    /// Whether a file of its artifact is one of those that go to the results.
    pub(super) fn shows(&self, file: &FileRecord) -> bool {
        file.path.starts_with(&self.file(""))
    }

    /// Name of one of its files.
    #[must_use]
    pub fn file(&self, extension: &str) -> String {
        format!("table_{}.{extension}", self.table)
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The published numbers.
    Ledger,
    /// A file of a table.
    Table,
    /// The record of a stage.
    Record(StageKind, Key),
    /// A file of an artifact, by its path below the artifact's folder.
    File(StageKind, Key, String),
}

impl Place {
    /// What an entry of this name is; `None` for names that no export writes.
    pub(super) fn of(name: &str) -> Option<Self> {
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        // Components swallow `//` and `/./`; there is one spelling only.
        if !inside || name.split('/').any(|part| part.is_empty() || part == ".") {
            return None;
        }
        if name == LEDGER {
            return Some(Self::Ledger);
        }
        let (head, rest) = name.split_once('/')?;
        match head {
            "tables" => (rest.split('/').count() == 3).then_some(Self::Table),
            "records" => {
                let (kind, file) = rest.split_once('/')?;
                let key = file.strip_suffix(".json")?.parse().ok()?;
                Some(Self::Record(kind_of(kind)?, key))
            }
            "artifacts" => {
                let (kind, rest) = rest.split_once('/')?;
                let (key, file) = rest.split_once('/')?;
                Some(Self::File(
                    kind_of(kind)?,
                    key.parse().ok()?,
                    file.to_owned(),
                ))
            }
            _ => None,
        }
    }

    /// Name of the entry of a record.
    pub(super) fn record(kind: StageKind, key: &Key) -> String {
        format!("records/{kind}/{key}.json")
    }

    /// Name of the entry of a file of an artifact.
    pub(super) fn file(kind: StageKind, key: &Key, path: &str) -> String {
        format!("artifacts/{kind}/{key}/{path}")
    }
}

fn kind_of(name: &str) -> Option<StageKind> {
    StageKind::ALL.into_iter().find(|kind| kind.name() == name)
}

impl Contents {
    /// A list of this version.
    pub(super) fn new(tables: Vec<TableEntry>, entries: Vec<FileRecord>) -> Self {
        Self {
            format: FORMAT,
            program: format!("amlp-run {}", env!("CARGO_PKG_VERSION")),
            tables,
            entries,
        }
    }

    /// Reads a list, and refuses one that no export has written.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if seal::check(text) != Seal::Whole {
            return Err(format!("{LIST} has another digest than recorded"));
        }
        let contents: Self = serde_json::from_slice(text).map_err(|e| format!("{LIST}: {e}"))?;
        if contents.format != FORMAT {
            return Err(format!(
                "it has format {}, this version reads {FORMAT}",
                contents.format
            ));
        }
        let mut names = HashSet::new();
        for entry in &contents.entries {
            if Place::of(&entry.path).is_none() {
                return Err(format!("{LIST} names '{}'", entry.path.escape_debug()));
            }
            if !names.insert(entry.path.as_str()) {
                return Err(format!("{LIST} names '{}' twice", entry.path));
            }
        }
        Ok(contents)
    }

    /// Length of the whole file, whose list has `list` bytes; `None` beyond what can be counted.
    pub(super) fn length(&self, list: u64) -> Option<u64> {
        let block = BLOCK as u64;
        let padded = |size: u64| size.checked_next_multiple_of(block)?.checked_add(block);
        self.entries
            .iter()
            .try_fold(padded(list)?, |sum, entry| {
                sum.checked_add(padded(entry.size)?)
            })?
            .checked_add(2 * block)
    }
}

/// The header of an entry: all but name and size is the same for all. `None` for a name that a tar
/// cannot hold.
pub(super) fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).ok()?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Some(*header.as_bytes())
}

/// Size in the header of the first entry, if that is what it is.
pub(super) fn list_size(block: &[u8; BLOCK]) -> Option<u64> {
    let size = tar::Header::from_byte_slice(block).entry_size().ok()?;
    (header(LIST, size)? == *block).then_some(size)
}

/// How many zeros follow an entry of this size.
pub(super) fn padding(size: u64) -> usize {
    // Less than a block.
    ((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_known_places_are_named() {
        let key = Key::of(&json!(1));
        let kind = StageKind::Evaluate;
        for place in [
            Place::Record(kind, key.clone()),
            Place::File(kind, key.clone(), "scores.json".to_owned()),
            Place::File(kind, key.clone(), "cases/a.bin".to_owned()),
        ] {
            let name = match &place {
                Place::Record(kind, key) => Place::record(*kind, key),
                Place::File(kind, key, path) => Place::file(*kind, key, path),
                Place::Ledger | Place::Table => unreachable!(),
            };
            assert_eq!(Place::of(&name), Some(place));
        }
        assert_eq!(Place::of("tables/a/smoke/table_IV.csv"), Some(Place::Table));
        assert_eq!(Place::of(LEDGER), Some(Place::Ledger));
        for name in [
            "",
            "/etc/passwd",
            "../ledger.csv",
            "ledger.csv/",
            "./ledger.csv",
            "MANIFEST.json",
            "tables/../../../etc/cron.d/x",
            "tables/a/b/../x",
            "tables/a/b",
            "tables/a/b/c/d",
            "tables//a/b",
            "tables/a/./b",
            "records/evaluate/x.json",
            "records/nothing/00000000000000000000000000000000.json",
            "artifacts/evaluate/00000000000000000000000000000000",
            "artifacts/evaluate/00000000000000000000000000000000/../../x",
            "artifacts/evaluate/../../x",
        ] {
            assert_eq!(Place::of(name), None, "{name}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_none() {
        let entry = |size| FileRecord {
            path: LEDGER.to_owned(),
            size,
            blake3: String::new(),
        };
        let of = |sizes: &[u64]| {
            Contents::new(Vec::new(), sizes.iter().map(|s| entry(*s)).collect()).length(1)
        };
        assert_eq!(of(&[]), Some(2048));
        assert_eq!(of(&[0, 512, 513]), Some(2048 + 512 + 1024 + 1536));
        assert_eq!(of(&[u64::MAX]), None);
        assert_eq!(of(&[1 << 63, 1 << 63]), None);
    }

    #[test]
    fn a_header_is_that_of_a_plain_tar() {
        let header = header("tables/a/b/c.csv", 5).unwrap();
        assert_eq!(&header[257..262], b"ustar");
        assert!(super::header(&"x".repeat(300), 1).is_none());
        assert_eq!(list_size(&header), None);
        assert_eq!(list_size(&super::header(LIST, 77).unwrap()), Some(77));
        assert_eq!(list_size(&[0xff; BLOCK]), None);
    }
}
