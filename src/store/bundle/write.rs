//! Writing tables with their lineage to a file. The same store gives the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::contents::{BLOCK, Contents, LEDGER, LIST, Place, TableEntry, header, padding};
use super::error::BundleError;
use crate::plan::{Key, StageKind};
use crate::store::{FileRecord, StageRecord, Store, StoreError, disk, seal};

/// Where the bytes of an entry are.
enum Source {
    Here(Vec<u8>),
    File(PathBuf),
}

/// What is to be written.
pub struct Draft<'a> {
    store: &'a Store,
    tables: Vec<TableEntry>,
    /// By name, so that the order is always the same.
    entries: BTreeMap<String, (FileRecord, Source)>,
}

impl<'a> Draft<'a> {
    /// A file of tables from `store` that were written beside the numbers of `ledger`.
    #[must_use]
    pub fn new(store: &'a Store, ledger: &[u8]) -> Self {
        let mut draft = Self {
            store,
            tables: Vec::new(),
            entries: BTreeMap::new(),
        };
        draft.add_bytes(LEDGER.to_owned(), ledger.to_vec());
        draft
    }

    /// Adds a table; its files are those of its artifact, which must be there.
    ///
    /// # Errors
    /// The artifact is missing or not whole.
    pub fn add_table(&mut self, table: TableEntry) -> Result<(), BundleError> {
        let artifact = self.store.artifact(StageKind::Tabulate, &table.key)?;
        for file in artifact.record.files.iter().filter(|f| table.shows(f)) {
            let name = format!("tables/{}/{}", table.folder(), file.path);
            if Place::of(&name) != Some(Place::Table) {
                return Err(BundleError::Incomplete(format!(
                    "'{name}' is no name that can be exported"
                )));
            }
            let path = artifact.dir.join(&file.path);
            let bytes = std::fs::read(&path).map_err(StoreError::reading(&path))?;
            self.add_bytes(name, bytes);
        }
        self.add_artifact(StageKind::Tabulate, &table.key)?;
        self.tables.push(table);
        Ok(())
    }

    /// Adds the record of a stage, and returns it.
    ///
    /// # Errors
    /// The store has no whole record of it.
    pub fn add_record(&mut self, kind: StageKind, key: &Key) -> Result<StageRecord, BundleError> {
        let missing = || {
            BundleError::Incomplete(format!(
                "the store has no whole record of {kind} {}",
                key.short()
            ))
        };
        let text = self.store.record_text(kind, key)?.ok_or_else(missing)?;
        let record = serde_json::from_str(&text).map_err(|_| missing())?;
        self.add_bytes(Place::record(kind, key), text.into_bytes());
        Ok(record)
    }

    /// Adds the record and all files of an artifact.
    ///
    /// # Errors
    /// The artifact is missing or not whole.
    pub fn add_artifact(&mut self, kind: StageKind, key: &Key) -> Result<(), BundleError> {
        let artifact = self.store.artifact(kind, key)?;
        self.add_record(kind, key)?;
        for file in artifact.record.files {
            let Some(path) = file.locate(&artifact.dir) else {
                continue;
            };
            let name = Place::file(kind, key, &file.path);
            let entry = FileRecord {
                path: name.clone(),
                ..file
            };
            self.entries.insert(name, (entry, Source::File(path)));
        }
        Ok(())
    }

    fn add_bytes(&mut self, name: String, bytes: Vec<u8>) {
        let entry = FileRecord {
            path: name.clone(),
            size: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        };
        self.entries.insert(name, (entry, Source::Here(bytes)));
    }

    /// Writes the file, whole or not at all, and returns its size and the list.
    ///
    /// # Errors
    /// The file cannot be written, or a file of an artifact is not what its record says.
    pub fn write(self, to: &Path) -> Result<(u64, Contents), BundleError> {
        let list = self.entries.values().map(|(entry, _)| entry.clone());
        let contents = Contents::new(self.tables, list.collect());
        let temporary = disk::neighbour(to);
        let written = write_all(&temporary, &contents, &self.entries).and_then(|size| {
            std::fs::rename(&temporary, to).map_err(StoreError::writing("write", to))?;
            Ok((size, contents))
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

fn write_all(
    path: &Path,
    contents: &Contents,
    entries: &BTreeMap<String, (FileRecord, Source)>,
) -> Result<u64, BundleError> {
    let list = seal::seal(contents).map_err(|e| BundleError::Incomplete(e.to_string()))?;
    let failed = || StoreError::writing("write", path);
    let file = File::create(path).map_err(StoreError::writing("create", path))?;
    let mut out = BufWriter::new(file);
    let put_header = |out: &mut BufWriter<File>, name: &str, size: u64| {
        let header = header(name, size)
            .ok_or_else(|| BundleError::Incomplete(format!("'{name}' is too long a name")))?;
        out.write_all(&header).map_err(failed())?;
        Ok::<(), BundleError>(())
    };
    let put_padding = |out: &mut BufWriter<File>, size: u64| {
        out.write_all(&[0; BLOCK][..padding(size)])
            .map_err(failed())
    };
    let list_size = list.len() as u64;
    put_header(&mut out, LIST, list_size)?;
    out.write_all(&list).map_err(failed())?;
    put_padding(&mut out, list_size)?;
    for (entry, source) in entries.values() {
        put_header(&mut out, &entry.path, entry.size)?;
        match source {
            Source::Here(bytes) => out.write_all(bytes).map_err(failed())?,
            Source::File(from) => copy(from, entry, &mut out, path)?,
        }
        put_padding(&mut out, entry.size)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(failed())?;
    let file = out
        .into_inner()
        .map_err(|e| StoreError::writing("write", path)(e.into_error()))?;
    file.sync_all().map_err(failed())?;
    let size = file.metadata().map_err(StoreError::reading(path))?.len();
    Ok(size)
}

/// Copies a file of an artifact, which must be what its record says.
fn copy(
    from: &Path,
    entry: &FileRecord,
    out: &mut impl Write,
    path: &Path,
) -> Result<(), BundleError> {
    let mut file = File::open(from).map_err(StoreError::reading(from))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(StoreError::reading(from)(e).into()),
        };
        hasher.update(&buffer[..n]);
        out.write_all(&buffer[..n])
            .map_err(StoreError::writing("write", path))?;
    }
    if hasher.count() == entry.size && hasher.finalize().to_hex().as_str() == entry.blake3 {
        return Ok(());
    }
    Err(BundleError::Incomplete(format!(
        "'{}' is not what its record says; `amlp-run cache verify` sets its artifact aside",
        from.display()
    )))
}
