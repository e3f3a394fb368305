//! `stage.json`: what an artifact is, what it holds, and where it comes from.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seal::{self, Seal};
use super::{StoreError, disk};
use crate::plan::{Input, Key, StageKind};

/// Name of the record inside an artifact's folder.
pub(crate) const FILE: &str = "stage.json";

/// Version of the record's format: since 2 a record carries its own digest.
pub(crate) const FORMAT: u32 = 2;

/// The first format with a digest of the record.
const SEALED: u32 = 2;

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
        Ok(parse(artifact)?.map(|(record, _)| record))
    }

    /// The text of `stage.json`: one line of JSON that ends with its own digest.
    ///
    /// # Errors
    /// A pre-image that cannot be JSON.
    pub fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal::seal(self)
    }

    /// The record whose whole text is `text`, if that is what was written once: the digest of a
    /// record that has one, the key, and the inputs that are part of it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check_text(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        check_seal(text, record.format)?;
        if record.format < SEALED {
            // The older program wrote what serde writes; other spellings are later changes.
            let written = serde_json::to_vec(&record).map_err(|e| e.to_string())?;
            if written != text {
                return Err(format!("{FILE} was changed after it was written"));
            }
        }
        if Key::of(&record.preimage) != record.key {
            return Err("its pre-image does not hash to its key".to_owned());
        }
        if let Some(inputs) = record.preimage.get("inputs").and_then(Value::as_object) {
            let same = inputs.len() == record.inputs.len()
                && record
                    .inputs
                    .iter()
                    .all(|i| inputs.get(&i.role).and_then(Value::as_str) == Some(i.key.as_str()));
            if !same {
                return Err("its inputs are not those of its pre-image".to_owned());
            }
        }
        Ok(record)
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
    let (contents, text) = match parse::<Contents>(artifact) {
        Ok(Some(read)) => read,
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
    if let Err(reason) = check_seal(text.as_bytes(), contents.format) {
        return Ok(Glance::Broken(reason));
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

/// Whether the text of a record of this format carries the digest that it must.
fn check_seal(text: &[u8], format: u32) -> Result<(), String> {
    if format > FORMAT {
        return Err(format!(
            "{FILE} has format {format}, this version reads up to {FORMAT}"
        ));
    }
    match seal::check(text) {
        Seal::Whole => Ok(()),
        Seal::Absent if format < SEALED => Ok(()),
        Seal::Broken | Seal::Absent => Err(format!("{FILE} has another digest than recorded")),
    }
}

/// What is in the record, and its text.
fn parse<T: for<'a> Deserialize<'a>>(artifact: &Path) -> Result<Option<(T, String)>, StoreError> {
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
    let parsed = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    Ok(Some((parsed, text)))
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
    fn a_record_of_the_first_format_is_still_read() {
        let preimage = serde_json::json!({"kind": "split", "inputs": {}});
        let record = StageRecord {
            format: 1,
            key: Key::of(&preimage),
            kind: StageKind::Split,
            label: "split".to_owned(),
            preimage,
            inputs: Vec::new(),
            files: Vec::new(),
            provenance: Provenance::default(),
        };
        let text = serde_json::to_vec(&record).unwrap();
        assert_eq!(StageRecord::check_text(&text).unwrap(), record);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), &text).unwrap();
        let seen = glance(folder.path(), record.kind, &record.key).unwrap();
        assert!(matches!(seen, Glance::Whole));
        // Without a digest nothing tells that a label is another, but a spelling shows.
        let spaced = String::from_utf8(text).unwrap().replace(',', ", ");
        assert!(StageRecord::check_text(spaced.as_bytes()).is_err());
        // From the second format on the digest must be there.
        let newer = StageRecord {
            format: 2,
            ..record
        };
        assert!(StageRecord::check_text(&newer.to_text().unwrap()).is_ok());
        assert!(StageRecord::check_text(&serde_json::to_vec(&newer).unwrap()).is_err());
    }

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
