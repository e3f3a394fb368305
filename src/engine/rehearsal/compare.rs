//! Whether two stores hold the same artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use serde::Serialize;

use super::Kill;
use crate::plan::{Key, Stage, StageKind};
use crate::store::{Store, StoreError};

/// What came of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The stage.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// When it was killed, and how it went on; none for the scores of a model.
    pub kills: Vec<Kill>,
    /// Files that were compared.
    pub files: usize,
    /// What is not as it should be; empty where all files are equal.
    pub differs: Vec<String>,
}

impl Outcome {
    /// Compares the artifacts of `stage` in two stores by the digests of their files.
    pub(super) fn of(
        stage: &Stage,
        kills: Vec<Kill>,
        undisturbed: &Store,
        killed: &Store,
    ) -> Result<Self, StoreError> {
        let (a, b) = (digests(undisturbed, stage)?, digests(killed, stage)?);
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let differs = names
            .iter()
            .filter_map(|&name| match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) if a == b => None,
                (Some(_), Some(_)) => Some(format!("{name} differs")),
                (Some(_), None) => Some(format!("{name} is missing after the kills")),
                _ => Some(format!("{name} is there only after the kills")),
            })
            .collect();
        Ok(Self {
            key: stage.key.clone(),
            kind: stage.kind,
            label: stage.label.clone(),
            kills,
            files: names.len(),
            differs,
        })
    }

    /// Whether all is as it should be.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differs.is_empty()
    }
}

/// BLAKE3 by file, of what lies on the disk now.
fn digests(store: &Store, stage: &Stage) -> Result<BTreeMap<String, String>, StoreError> {
    let artifact = store.artifact(stage.kind, &stage.key)?;
    let mut digests = BTreeMap::new();
    for file in artifact.record.files {
        let path = artifact.dir.join(&file.path);
        let mut hasher = blake3::Hasher::new();
        File::open(&path)
            .and_then(|open| hasher.update_reader(open).map(|_| ()))
            .map_err(StoreError::reading(&path))?;
        digests.insert(file.path, hasher.finalize().to_hex().to_string());
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::{Begin, Provenance};

    fn stage() -> Stage {
        Stage {
            key: Key::of(&json!("s")),
            kind: StageKind::Pretrain,
            label: "s".to_owned(),
            inputs: Vec::new(),
            spec: Value::Null,
            preimage: json!("s"),
            context: Value::Null,
        }
    }

    fn store(files: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let Begin::Attempt(attempt) = store.begin(&stage()).unwrap() else {
            panic!("the store is empty")
        };
        for (name, text) in files {
            std::fs::write(attempt.output().join(name), text).unwrap();
        }
        attempt.publish(Provenance::default()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_differs_is_named_by_file() {
        let (_a, quiet) = store(&[("curve", "1"), ("labels", "2"), ("weights", "3")]);
        let (_b, same) = store(&[("curve", "1"), ("labels", "2"), ("weights", "3")]);
        let (_c, other) = store(&[("curve", "1"), ("weights", "4"), ("extra", "")]);
        let compare = |b: &Store| Outcome::of(&stage(), Vec::new(), &quiet, b).unwrap();
        assert!(compare(&same).is_equal());
        assert_eq!(compare(&same).files, 3);
        let outcome = compare(&other);
        assert!(!outcome.is_equal());
        assert_eq!(
            outcome.differs,
            [
                "extra is there only after the kills",
                "labels is missing after the kills",
                "weights differs"
            ]
        );
    }
}
