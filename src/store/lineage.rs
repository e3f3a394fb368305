//! Records without their artifacts: where something that was imported comes from.

use std::path::PathBuf;

use super::record::{FILE, Glance};
use super::{Paths, StageRecord, Store, StoreError, disk, record};
use crate::plan::{Key, StageKind};

impl Paths {
    /// Folder of the records of a kind that were imported without artifacts.
    #[must_use]
    pub fn lineage_kind(&self, kind: StageKind) -> PathBuf {
        self.root().join("lineage").join(kind.name())
    }

    /// Record of a stage that was imported without its artifact.
    #[must_use]
    pub fn lineage(&self, kind: StageKind, key: &Key) -> PathBuf {
        self.lineage_kind(kind).join(format!("{key}.json"))
    }
}

impl Store {
    /// The text of the record of `key`: that of its artifact, otherwise one that was imported
    /// without. `None` where there is neither, or what there is is damaged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn record_text(&self, kind: StageKind, key: &Key) -> Result<Option<String>, StoreError> {
        let dir = self.artifact_dir(kind, key);
        let path = match record::glance(&dir, kind, key)? {
            Glance::Whole => dir.join(FILE),
            Glance::Absent | Glance::Broken(_) => self.paths().lineage(kind, key),
        };
        let Some(text) = disk::read_text(&path)? else {
            return Ok(None);
        };
        let is_ours = StageRecord::check_text(text.as_bytes())
            .is_ok_and(|record| record.key == *key && record.kind == kind);
        Ok(is_ours.then_some(text))
    }

    /// The record of `key`, from wherever [`record_text`](Self::record_text) finds it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lineage(&self, kind: StageKind, key: &Key) -> Result<Option<StageRecord>, StoreError> {
        let text = self.record_text(kind, key)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Stages whose keys begin with `prefix` and of which there is an artifact or a record, by kind
    /// and key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, prefix: &str) -> Result<Vec<(StageKind, Key)>, StoreError> {
        let mut found = Vec::new();
        for kind in StageKind::ALL {
            let mut keys = self.keys(kind)?;
            keys.extend(
                disk::names(&self.paths().lineage_kind(kind))?
                    .iter()
                    .filter_map(|name| name.strip_suffix(".json")?.parse().ok()),
            );
            keys.retain(|key| key.as_str().starts_with(prefix));
            keys.sort_unstable();
            keys.dedup();
            found.extend(keys.into_iter().map(|key| (kind, key)));
        }
        Ok(found)
    }

    /// Keeps a record without its artifact.
    pub(super) fn keep_record(
        &self,
        kind: StageKind,
        key: &Key,
        text: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.paths().lineage(kind, key);
        disk::create_dir(&self.paths().lineage_kind(kind))?;
        disk::write_whole(&path, text)
    }
}
