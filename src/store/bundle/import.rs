//! Taking a file of tables into the store, whole or not at all.

use std::collections::BTreeSet;
use std::path::Path;

use super::contents::Place;
use super::error::BundleError;
use super::read::{Bundle, Extract};
use crate::plan::{Key, StageKind};
use crate::store::{Store, disk, record};

/// What an import brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Artifacts that are new.
    pub artifacts: usize,
    /// Artifacts that were there already, and stay as they are.
    pub known: usize,
    /// Records without artifacts that are new.
    pub records: usize,
}

impl Store {
    /// Imports the file at `path`. Nothing of it is in the store unless all of it is right, `check`
    /// included; then artifacts land like those of stages, inputs before what was made from them.
    ///
    /// # Errors
    /// The file is not right, or the store cannot be written.
    pub fn import(
        &self,
        path: &Path,
        check: impl FnOnce(&Bundle) -> Result<(), String>,
    ) -> Result<(Bundle, Imported), BundleError> {
        self.create()?;
        let staging = self
            .paths()
            .staging()
            .join(format!("import.{}", disk::unique()));
        disk::create_dir(&staging)?;
        let imported = self.import_through(path, &staging, check);
        let removed = disk::remove_dir(&staging);
        let imported = imported?;
        removed?;
        Ok(imported)
    }

    fn import_through(
        &self,
        path: &Path,
        staging: &Path,
        check: impl FnOnce(&Bundle) -> Result<(), String>,
    ) -> Result<(Bundle, Imported), BundleError> {
        let is_cached = |kind, key: &Key| self.lookup(kind, key).is_ok_and(|s| s.is_cached());
        let wanted = |kind: StageKind, key: &Key| !is_cached(kind, key);
        let extract = Extract {
            folder: staging,
            wanted: &wanted,
        };
        let bundle = Bundle::read(path, Some(&extract))?;
        check(&bundle).map_err(|reason| BundleError::Damaged {
            path: path.to_owned(),
            reason,
        })?;
        let artifacts: BTreeSet<(StageKind, Key)> = bundle
            .contents
            .entries
            .iter()
            .filter_map(|entry| match Place::of(&entry.path)? {
                Place::File(kind, key, _) => Some((kind, key)),
                _ => None,
            })
            .collect();
        let mut imported = Imported::default();
        // Kinds are in the order of a pipeline.
        for record in bundle.records() {
            let (kind, key) = (record.kind, &record.key);
            let text = bundle.record_text(kind, key).unwrap_or_default();
            if !artifacts.contains(&(kind, key.clone())) {
                if self.record_text(kind, key)?.is_none() {
                    self.keep_record(kind, key, text)?;
                    imported.records += 1;
                }
                continue;
            }
            let dir = staging.join(kind.name()).join(key.as_str());
            if !dir.is_dir() {
                imported.known += 1;
                continue;
            }
            disk::write_whole(&dir.join(record::FILE), text)?;
            disk::sync_tree(&dir)?;
            if self.place(&dir, kind, key)? {
                imported.artifacts += 1;
            } else {
                imported.known += 1;
            }
        }
        Ok((bundle, imported))
    }
}
