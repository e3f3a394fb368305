//! Reading a file of tables: everything is checked, little is kept, nothing is believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::contents::{
    BLOCK, Contents, LEDGER, LIST_LIMIT, Place, TableEntry, header, list_size, padding,
};
use super::error::BundleError;
use super::lineage;
use crate::plan::{Key, StageKind};
use crate::store::{StageRecord, StoreError, disk};

/// Largest entry that is kept in memory.
const KEPT_LIMIT: u64 = 256 << 20;

/// Where the files of artifacts go, and of which.
pub struct Extract<'a> {
    /// A folder; a file of an artifact goes to `<kind>/<key>/<path>` below it.
    pub folder: &'a Path,
    /// Whether an artifact is wanted.
    pub wanted: &'a dyn Fn(StageKind, &Key) -> bool,
}

/// A file of tables that was read whole and found to be what was written once: digests, keys of
/// pre-images, and inputs down to the leaves.
#[derive(Debug)]
pub struct Bundle {
    /// The list.
    pub contents: Contents,
    /// Records by key.
    pub(super) records: HashMap<Key, StageRecord>,
    /// Entries that are needed again, by name.
    kept: HashMap<String, Vec<u8>>,
}

impl Bundle {
    /// Reads and checks the file at `path`, and extracts artifacts where asked for.
    ///
    /// # Errors
    /// The file cannot be read, is not what was written, or a file cannot be extracted.
    pub fn read(path: &Path, extract: Option<&Extract<'_>>) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(StoreError::reading(path))?;
        let length = file.metadata().map_err(StoreError::reading(path))?.len();
        let mut reader = Reader {
            path,
            from: BufReader::with_capacity(1 << 18, file),
        };
        let contents = reader.list(length)?;
        let mut kept = HashMap::new();
        for entry in &contents.entries {
            reader.expect_header(&entry.path, entry.size)?;
            let place = Place::of(&entry.path);
            let (mut memory, mut out) = (Vec::new(), None);
            if let Some(Place::File(kind, key, below)) = &place
                && let Some(extract) = extract
                && (extract.wanted)(*kind, key)
            {
                out = Some(create(extract.folder, *kind, key, below)?);
            }
            // Weights and prepared cases only pass through.
            let is_kept = !matches!(
                &place,
                Some(Place::File(kind, ..))
                    if !matches!(
                        kind,
                        StageKind::Evaluate
                            | StageKind::Measure
                            | StageKind::Select
                            | StageKind::Tabulate
                    )
            );
            if is_kept && entry.size > KEPT_LIMIT {
                return Err(reader.damaged(format!("'{}' is too large", entry.path)));
            }
            let mut hasher = blake3::Hasher::new();
            let mut left = entry.size;
            let mut buffer = vec![0; 1 << 16];
            while left > 0 {
                let step = buffer
                    .len()
                    .min(usize::try_from(left).unwrap_or(usize::MAX));
                let part = &mut buffer[..step];
                reader.fill(part)?;
                left -= step as u64;
                hasher.update(part);
                if is_kept {
                    memory.extend_from_slice(part);
                }
                if let Some((file, at)) = &mut out {
                    file.write_all(part)
                        .map_err(StoreError::writing("write", at))?;
                }
            }
            if hasher.finalize().to_hex().as_str() != entry.blake3 {
                let reason = format!("'{}' has another digest than recorded", entry.path);
                return Err(reader.damaged(reason));
            }
            reader.expect_zeros(padding(entry.size))?;
            if let Some((file, at)) = out {
                file.sync_all().map_err(StoreError::writing("sync", &at))?;
            }
            if is_kept {
                kept.insert(entry.path.clone(), memory);
            }
        }
        reader.expect_zeros(2 * BLOCK)?;
        let records = lineage::records(&contents, &kept).map_err(|r| reader.damaged(r))?;
        let bundle = Self {
            contents,
            records,
            kept,
        };
        lineage::check(&bundle).map_err(|reason| reader.damaged(reason))?;
        Ok(bundle)
    }

    /// The record of a stage.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<&StageRecord> {
        self.records.get(key)
    }

    /// Records of all stages, by kind and key.
    #[must_use]
    pub fn records(&self) -> Vec<&StageRecord> {
        let mut records: Vec<&StageRecord> = self.records.values().collect();
        records.sort_unstable_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
        records
    }

    /// Text of the published numbers.
    #[must_use]
    pub fn ledger(&self) -> &[u8] {
        self.entry(LEDGER).unwrap_or_default()
    }

    /// A file of a table.
    #[must_use]
    pub fn table(&self, table: &TableEntry, extension: &str) -> Option<&[u8]> {
        self.entry(&table.entry(extension))
    }

    /// A file of the artifact of an evaluation or a table.
    #[must_use]
    pub fn file(&self, kind: StageKind, key: &Key, path: &str) -> Option<&[u8]> {
        self.entry(&Place::file(kind, key, path))
    }

    /// Text of a record.
    pub(super) fn record_text(&self, kind: StageKind, key: &Key) -> Option<&[u8]> {
        self.entry(&Place::record(kind, key))
    }

    fn entry(&self, name: &str) -> Option<&[u8]> {
        self.kept.get(name).map(Vec::as_slice)
    }
}

/// A new file below `folder`. The names come from a list that was checked.
fn create(
    folder: &Path,
    kind: StageKind,
    key: &Key,
    below: &str,
) -> Result<(File, PathBuf), BundleError> {
    let path = folder.join(kind.name()).join(key.as_str()).join(below);
    if let Some(parent) = path.parent() {
        disk::create_dir(parent)?;
    }
    let file = File::create_new(&path).map_err(StoreError::writing("create", &path))?;
    Ok((file, path))
}

/// The bytes of the file, which must be those that the list leads to.
struct Reader<'a> {
    path: &'a Path,
    from: BufReader<File>,
}

impl Reader<'_> {
    fn damaged(&self, reason: impl Into<String>) -> BundleError {
        BundleError::Damaged {
            path: self.path.to_owned(),
            reason: reason.into(),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        self.from.read_exact(buffer).map_err(|e| {
            if e.kind() == std::io::ErrorKind::UnexpectedEof {
                self.damaged("it ends too early")
            } else {
                StoreError::reading(self.path)(e).into()
            }
        })
    }

    /// The first entry. The file, of `length` bytes, must be as long as the list says.
    fn list(&mut self, length: u64) -> Result<Contents, BundleError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let size = list_size(&block)
            .ok_or_else(|| self.damaged("it does not begin with a list of its entries"))?;
        if size > LIST_LIMIT || size > length {
            return Err(self.damaged("its list is longer than the file, or than any list"));
        }
        let mut text = Vec::new();
        // Grows with what is there, not with what is claimed.
        (&mut self.from)
            .take(size)
            .read_to_end(&mut text)
            .map_err(StoreError::reading(self.path))?;
        let contents = Contents::parse(&text).map_err(|reason| self.damaged(reason))?;
        match contents.length(size) {
            Some(expected) if expected == length => {}
            Some(expected) => {
                return Err(self.damaged(format!(
                    "it has {length} bytes, its list leads to {expected}"
                )));
            }
            None => return Err(self.damaged("its list leads to no possible length")),
        }
        self.expect_zeros(padding(size))?;
        Ok(contents)
    }

    fn expect_header(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if header(name, size) == Some(block) {
            Ok(())
        } else {
            Err(self.damaged(format!("the header of '{name}' is not what its list says")))
        }
    }

    fn expect_zeros(&mut self, count: usize) -> Result<(), BundleError> {
        let mut zeros = [0; 2 * BLOCK];
        let part = &mut zeros[..count];
        self.fill(part)?;
        if part.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(self.damaged("there is something between its entries"))
        }
    }
}
