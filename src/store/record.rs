//! `stage.json`: what an artifact is, what it holds, and where it comes from.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StoreError, disk};
use crate::plan::{Input, Key, StageKind};

/// Name of the record inside an artifact's folder.
pub(crate) const FILE: &str = "stage.json";

/// Version of the record's format.
pub(crate) const FORMAT: u32 = 1;

/// A file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path below the artifact's folder, with `/` between folders.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of the content, 64 hexadecimal digits.
    pub blake3: String,
}

impl FileRecord {
    /// The file below `artifact`; `None` where the recorded path would leave that folder.
    #[must_use]
    pub fn locate(&self, artifact: &Path) -> Option<PathBuf> {
        let path = Path::new(&self.path);
        let inside = path.components().all(|c| matches!(c, Component::Normal(_)));
        (inside && !self.path.is_empty()).then(|| artifact.join(path))
    }
}

/// Where an artifact comes from. No part of its identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of amlp-run.
    pub version: String,
    /// Commit that amlp-run was built from, where the build knew it.
    #[serde(default)]
    pub commit: Option<String>,
    /// Name of the machine.
    pub host: String,
    /// Device that computed it, where one did.
    #[serde(default)]
    pub device: Option<String>,
    /// Threads that the stage was allowed.
    pub threads: usize,
    /// Start in UTC, RFC 3339.
    pub started: String,
    /// Seconds from start to publication, of the last attempt.
    pub wall_s: f64,
    /// Largest resident memory of the stage's process; absent for stages that shared one.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Images per pass through the network, where that is less than a step has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// How many attempts it took.
    pub attempts: u32,
}

/// The record of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Version of this format.
    pub format: u32,
    /// Identity.
    pub key: Key,
    /// Kind of the stage.
    pub kind: StageKind,
    /// Its name for people when it ran.
    pub label: String,
    /// What was hashed to the key.
    pub preimage: Value,
    /// Artifacts that it read.
    pub inputs: Vec<Input>,
    /// Every file but the record, sorted by path.
    pub files: Vec<FileRecord>,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl StageRecord {
    /// The record in folder `artifact`; `None` where there is none.
    ///
    /// # Errors
    /// A record that cannot be read or parsed.
    pub fn read(artifact: &Path) -> Result<Option<Self>, StoreError> {
        parse(artifact)
    }

    /// Sum of the sizes of the files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// The part of a record that deciding on an artifact takes; the rest is skipped unparsed.
#[derive(Deserialize)]
struct Contents {
    format: u32,
    key: Key,
    kind: StageKind,
    files: Vec<FileRecord>,
}

/// What a glance at an artifact shows: the record and the sizes of its files, no digests.
pub(crate) enum Glance {
    /// All there.
    Whole,
    /// No folder.
    Absent,
    /// Something is wrong.
    Broken(String),
}

/// Looks at the artifact in folder `artifact`.
pub(crate) fn glance(artifact: &Path, kind: StageKind, key: &Key) -> Result<Glance, StoreError> {
    let contents = match parse::<Contents>(artifact) {
        Ok(Some(contents)) => contents,
        Ok(None) if artifact.exists() => return Ok(Glance::Broken(format!("it has no {FILE}"))),
        Ok(None) => return Ok(Glance::Absent),
        Err(StoreError::Format { reason, .. }) => {
            return Ok(Glance::Broken(format!("{FILE}: {reason}")));
        }
        Err(e) => return Err(e),
    };
    if contents.key != *key || contents.kind != kind {
        return Ok(Glance::Broken(format!(
            "{FILE} is that of {} {}",
            contents.kind, contents.key
        )));
    }
    if contents.format != FORMAT {
        return Ok(Glance::Broken(format!(
            "{FILE} has format {}, this version reads {FORMAT}",
            contents.format
        )));
    }
    for file in &contents.files {
        if let Some(reason) = wrong_size(artifact, file) {
            return Ok(Glance::Broken(reason));
        }
    }
    Ok(Glance::Whole)
}

/// Why `file` is not there in its size, if it is not.
pub(crate) fn wrong_size(artifact: &Path, file: &FileRecord) -> Option<String> {
    let Some(path) = file.locate(artifact) else {
        return Some(format!("{FILE} names '{}'", file.path));
    };
    match fs::metadata(&path) {
        Err(e) => Some(format!("{}: {e}", file.path)),
        Ok(meta) if !meta.is_file() => Some(format!("{} is no file", file.path)),
        Ok(meta) if meta.len() != file.size => Some(format!(
            "{} has {} bytes, recorded are {}",
            file.path,
            meta.len(),
            file.size
        )),
        Ok(_) => None,
    }
}

fn parse<T: for<'a> Deserialize<'a>>(artifact: &Path) -> Result<Option<T>, StoreError> {
    let path = artifact.join(FILE);
    let bad = |reason: String| StoreError::Format {
        what: "stage record",
        path: path.clone(),
        reason,
    };
    let text = match disk::read_text(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidData => {
            return Err(bad("it is not UTF-8".to_owned()));
        }
        Err(e) => return Err(e),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| bad(e.to_string()))
}

/// Name of this machine; `unknown` where the system does not tell.
#[must_use]
pub fn host_name() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the pointer and the length are those of a live, writable buffer.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = buffer.iter().position(|&b| b == 0).unwrap_or(buffer.len());
    match std::str::from_utf8(&buffer[..length]) {
        Ok(name) if status == 0 && !name.is_empty() => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cannot_name_files_outside_its_artifact() {
        for (path, inside) in [
            ("a.bin", true),
            ("cases/a.bin", true),
            ("../a.bin", false),
            ("/etc/passwd", false),
            ("cases/../../a", false),
            ("", false),
        ] {
            let file = FileRecord {
                path: path.to_owned(),
                size: 0,
                blake3: String::new(),
            };
            assert_eq!(
                file.locate(Path::new("artifact")).is_some(),
                inside,
                "{path}"
            );
        }
    }
}
