//! What a data set's files contain, as digests: the part of a data set that enters the keys of
//! stages (design section 4).
//!
//! A file is read once. Its digest is remembered by path, size and time of change, so that a later
//! plan asks the system for those and reads nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::case::CaseIndex;

/// Files younger than this are not remembered: a change within the clock's resolution would keep
/// size and time.
const SETTLED: Duration = Duration::from_secs(2);

/// Identity of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Path below the root of the data set, with `/`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of the content, 64 hexadecimal digits.
    pub digest: String,
}

/// The fingerprints of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDigest {
    /// Every file that a case uses, by path, each once.
    pub files: Vec<Fingerprint>,
    /// BLAKE3 over the paths, sizes and digests: equal for equal content, wherever the root lies.
    pub digest: String,
}

/// A file that cannot be identified, or a memory that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file of the data set.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// A file that changed while it was read.
    #[error("'{}' changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The file of remembered digests.
    #[error("cannot keep digests in '{}': {source}", path.display())]
    Memory {
        /// File.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
}

/// What the system says about a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    /// Nanoseconds since 1970; negative before.
    mtime: i64,
}

/// A line of the memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    path: String,
    size: u64,
    mtime: i64,
    digest: String,
}

/// Digests of files seen before, kept as JSON lines.
#[derive(Clone, Debug)]
pub struct DigestMemory {
    path: PathBuf,
    known: BTreeMap<String, (Stamp, String)>,
    added: BTreeMap<String, (Stamp, String)>,
}

impl DigestMemory {
    /// Opens the memory at `path`. A file that is missing or unreadable, and lines that are not
    /// valid, only cost reading the data again.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            known: load(path),
            added: BTreeMap::new(),
        }
    }

    /// Number of remembered files.
    #[must_use]
    pub fn len(&self) -> usize {
        let added = self.added.keys().filter(|k| !self.known.contains_key(*k));
        self.known.len() + added.count()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.added.is_empty()
    }

    fn get(&self, path: &str, stamp: Stamp) -> Option<&str> {
        let (held, digest) = self.added.get(path).or_else(|| self.known.get(path))?;
        (*held == stamp).then_some(digest.as_str())
    }

    /// Writes what was added since the last call, beside what others have written meanwhile. The
    /// file is replaced by renaming: a reader sees the old or the new one. Two writers at the same
    /// time may lose the additions of one, which are then read again.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&mut self) -> Result<(), IndexError> {
        if self.added.is_empty() {
            return Ok(());
        }
        let mut all = load(&self.path);
        all.extend(std::mem::take(&mut self.added));
        let failed = |source| IndexError::Memory {
            path: self.path.clone(),
            source,
        };
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let mut text = Vec::new();
        for (path, (stamp, digest)) in &all {
            let line = Remembered {
                path: path.clone(),
                size: stamp.size,
                mtime: stamp.mtime,
                digest: digest.clone(),
            };
            serde_json::to_writer(&mut text, &line).map_err(|e| failed(e.into()))?;
            text.push(b'\n');
        }
        file.write_all(&text).map_err(failed)?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        self.known = all;
        Ok(())
    }
}

fn load(path: &Path) -> BTreeMap<String, (Stamp, String)> {
    let Ok(file) = File::open(path) else {
        return BTreeMap::new();
    };
    BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Remembered>(&line).ok())
        .filter(|entry| is_digest(&entry.digest))
        .map(|entry| {
            let stamp = Stamp {
                size: entry.size,
                mtime: entry.mtime,
            };
            (entry.path, (stamp, entry.digest))
        })
        .collect()
}

fn is_digest(text: &str) -> bool {
    blake3::Hash::from_hex(text).is_ok()
}

/// Fingerprints of every file that the cases of `index` use, below `root`.
///
/// Files that `memory` knows at their size and time of change are not read; the others are, in
/// parallel, and `memory` learns them. Call [`DigestMemory::save`] afterwards. `progress` hears the
/// size of each file that was read.
///
/// # Errors
/// Where a file cannot be read or changes meanwhile.
pub fn fingerprint(
    root: &Path,
    index: &CaseIndex,
    memory: &mut DigestMemory,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<DataDigest, IndexError> {
    // One data set has one name in the memory, however its root is spelled.
    let root = root.canonicalize().map_err(|source| IndexError::Read {
        path: root.to_path_buf(),
        source,
    })?;
    let remembered = &*memory;
    let found: Vec<Found> = files_of(index)
        .into_par_iter()
        .map(|path| identify(&root, path, remembered, progress))
        .collect::<Result<_, _>>()?;
    let now = SystemTime::now();
    let mut files = Vec::with_capacity(found.len());
    for file in found {
        if file.was_read && is_settled(file.stamp, now) {
            let value = (file.stamp, file.fingerprint.digest.clone());
            memory.added.insert(file.name, value);
        }
        files.push(file.fingerprint);
    }
    Ok(DataDigest {
        digest: digest_of(&files),
        files,
    })
}

/// Paths of all images and labels, each once, in order.
fn files_of(index: &CaseIndex) -> Vec<&str> {
    let mut paths = BTreeSet::new();
    for case in &index.cases {
        paths.extend(case.images.values().map(|image| image.path.as_str()));
        paths.extend(case.label.as_deref());
    }
    paths.into_iter().collect()
}

struct Found {
    /// Absolute path, the key of the memory.
    name: String,
    stamp: Stamp,
    fingerprint: Fingerprint,
    was_read: bool,
}

fn identify(
    root: &Path,
    below: &str,
    memory: &DigestMemory,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Found, IndexError> {
    let mut path = root.to_path_buf();
    path.extend(below.split('/'));
    let name = path.to_string_lossy().into_owned();
    let stamp = stamp_of(&path)?;
    let (digest, was_read) = if let Some(digest) = memory.get(&name, stamp) {
        (digest.to_owned(), false)
    } else {
        let digest = hash_file(&path)?;
        if stamp_of(&path)? != stamp {
            return Err(IndexError::Changed(path));
        }
        progress(stamp.size);
        (digest, true)
    };
    Ok(Found {
        name,
        stamp,
        fingerprint: Fingerprint {
            path: below.to_owned(),
            size: stamp.size,
            digest,
        },
        was_read,
    })
}

fn stamp_of(path: &Path) -> Result<Stamp, IndexError> {
    let failed = |source| IndexError::Read {
        path: path.to_path_buf(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    let changed = meta.modified().map_err(failed)?;
    let nanoseconds = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    let mtime = match changed.duration_since(UNIX_EPOCH) {
        Ok(after) => nanoseconds(after),
        Err(before) => -nanoseconds(before.duration()),
    };
    Ok(Stamp {
        size: meta.len(),
        mtime,
    })
}

fn is_settled(stamp: Stamp, now: SystemTime) -> bool {
    let limit = now.checked_sub(SETTLED).unwrap_or(UNIX_EPOCH);
    match limit.duration_since(UNIX_EPOCH) {
        Ok(limit) => i128::from(stamp.mtime) < limit.as_nanos() as i128,
        Err(_) => false,
    }
}

/// Streams the file: a map of a file that shrinks meanwhile would end the process.
fn hash_file(path: &Path) -> Result<String, IndexError> {
    let failed = |source| IndexError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match std::io::Read::read(&mut file, &mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Each field with its length before it, so that no two lists have the same bytes.
fn digest_of(files: &[Fingerprint]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        for field in [&file.path, &file.digest] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.update(&file.size.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::data::case::{Case, ImageFile, ModalityKind};

    fn index(paths: &[&str]) -> CaseIndex {
        let case = |path: &&str| Case {
            id: (*path).to_owned(),
            stratum: String::new(),
            images: [("X", *path), ("Y", *path)]
                .map(|(modality, path)| {
                    let file = ImageFile {
                        path: path.to_owned(),
                        channel: Some(0),
                        kind: ModalityKind::Mr,
                    };
                    (modality.to_owned(), file)
                })
                .into(),
            label: None,
            bbox: None,
        };
        CaseIndex {
            cases: paths.iter().map(case).collect(),
            regions: Vec::new(),
            label_values: Vec::new(),
        }
    }

    fn write(path: &Path, text: &str, age: u64) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    /// Digest and number of bytes read.
    fn run(root: &Path, index: &CaseIndex, memory: &mut DigestMemory) -> (DataDigest, u64) {
        let read = AtomicU64::new(0);
        let count = |size: u64| {
            read.fetch_add(size, Ordering::Relaxed);
        };
        let digest = fingerprint(root, index, memory, &count).unwrap();
        memory.save().unwrap();
        (digest, read.into_inner())
    }

    #[test]
    fn files_are_read_once_and_again_after_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (dir.path().join("data"), dir.path().join("m/memory.jsonl"));
        write(&root.join("a/x"), "hello", 60);
        write(&root.join("b"), "world!", 60);
        let index = index(&["a/x", "b"]);
        let (first, read) = run(&root, &index, &mut DigestMemory::open(&store));
        assert_eq!(read, 11);
        assert_eq!(first.files.len(), 2);
        assert_eq!(first.files[0].path, "a/x");
        assert_eq!(
            first.files[0].digest,
            blake3::hash(b"hello").to_hex().to_string()
        );
        let (again, read) = run(&root, &index, &mut DigestMemory::open(&store));
        assert_eq!((again, read), (first.clone(), 0));
        // The same content at another time is read again and has the same digest.
        write(&root.join("b"), "world!", 30);
        let (touched, read) = run(&root, &index, &mut DigestMemory::open(&store));
        assert_eq!((&touched, read), (&first, 6));
        write(&root.join("b"), "World!", 10);
        let (changed, _) = run(&root, &index, &mut DigestMemory::open(&store));
        assert_ne!(changed.digest, first.digest);
        // A copy elsewhere is the same data.
        write(&dir.path().join("copy/a/x"), "hello", 60);
        write(&dir.path().join("copy/b"), "World!", 60);
        let (copy, _) = run(
            &dir.path().join("copy"),
            &index,
            &mut DigestMemory::open(&store),
        );
        assert_eq!(copy, changed);
        assert_eq!(DigestMemory::open(&store).len(), 4);
    }

    #[test]
    fn young_files_are_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("memory.jsonl");
        write(&dir.path().join("x"), "hello", 0);
        for _ in 0..2 {
            let mut memory = DigestMemory::open(&store);
            assert_eq!(run(dir.path(), &index(&["x"]), &mut memory).1, 5);
            assert!(memory.is_empty());
        }
    }

    #[test]
    fn a_broken_memory_costs_only_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("memory.jsonl");
        write(&dir.path().join("x"), "hello", 60);
        let index = index(&["x"]);
        let (expected, _) = run(dir.path(), &index, &mut DigestMemory::open(&store));
        let line = std::fs::read_to_string(&store).unwrap();
        let forged = line.replace(&expected.files[0].digest, "abc");
        for text in ["{", "\u{0}\u{1}\n", &line[..line.len() / 2], &forged] {
            std::fs::write(&store, text).unwrap();
            let (found, read) = run(dir.path(), &index, &mut DigestMemory::open(&store));
            assert_eq!((&found, read), (&expected, 5));
        }
    }

    #[test]
    fn two_writers_keep_each_others_lines() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("memory.jsonl");
        write(&dir.path().join("x"), "1", 60);
        write(&dir.path().join("y"), "22", 60);
        let mut a = DigestMemory::open(&store);
        let mut b = DigestMemory::open(&store);
        run(dir.path(), &index(&["x"]), &mut a);
        run(dir.path(), &index(&["y"]), &mut b);
        let (_, read) = run(
            dir.path(),
            &index(&["x", "y"]),
            &mut DigestMemory::open(&store),
        );
        assert_eq!(read, 0);
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = DigestMemory::open(&dir.path().join("m"));
        let error = fingerprint(dir.path(), &index(&["gone"]), &mut memory, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn a_plan_over_a_known_data_set_reads_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let store = dir.path().join("memory.jsonl");
        let names: Vec<String> = (0..285 * 5).map(|i| format!("{}/{i}", i / 5)).collect();
        for name in &names {
            write(&root.join(name), name, 60);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let index = index(&names);
        run(&root, &index, &mut DigestMemory::open(&store));
        let (_, read) = run(&root, &index, &mut DigestMemory::open(&store));
        assert_eq!(read, 0);
    }
}
