//! Whether the records in a file of tables lead from each table down to the data.

use std::collections::{BTreeMap, HashMap};

use super::contents::{Contents, Place};
use super::read::Bundle;
use crate::plan::{Key, StageKind};
use crate::store::{FileRecord, StageRecord};

/// The records, each checked by itself: its digest, and that its pre-image hashes to its key.
pub(super) fn records(
    contents: &Contents,
    kept: &HashMap<String, Vec<u8>>,
) -> Result<HashMap<Key, StageRecord>, String> {
    let mut records = HashMap::new();
    for entry in &contents.entries {
        let Some(Place::Record(kind, key)) = Place::of(&entry.path) else {
            continue;
        };
        let text = kept.get(&entry.path).map_or(&[][..], Vec::as_slice);
        let record = StageRecord::check_text(text)
            .map_err(|reason| format!("record of {kind} {}: {reason}", key.short()))?;
        if record.key != key || record.kind != kind {
            return Err(format!(
                "'{}' is the record of {} {}",
                entry.path, record.kind, record.key
            ));
        }
        records.insert(key, record);
    }
    Ok(records)
}

/// The records together: inputs, files of artifacts, tables.
pub(super) fn check(bundle: &Bundle) -> Result<(), String> {
    for record in bundle.records() {
        let name = format!("{} {}", record.kind, record.key.short());
        // Only patients come from nowhere.
        let is_leaf = matches!(record.kind, StageKind::Phantom | StageKind::Index);
        if record.inputs.is_empty() && !is_leaf {
            return Err(format!("the record of {name} names no inputs"));
        }
        if let Some(input) = record
            .inputs
            .iter()
            .find(|input| !bundle.records.contains_key(&input.key))
        {
            return Err(format!(
                "{name} was made from {} ({}), of which there is no record",
                input.key, input.role
            ));
        }
    }
    check_artifacts(bundle)?;
    check_tables(bundle)
}

/// Every artifact of which there is a file is there whole.
fn check_artifacts(bundle: &Bundle) -> Result<(), String> {
    let mut artifacts: BTreeMap<(StageKind, Key), Vec<FileRecord>> = BTreeMap::new();
    for entry in &bundle.contents.entries {
        if let Some(Place::File(kind, key, path)) = Place::of(&entry.path) {
            let file = FileRecord {
                path,
                ..entry.clone()
            };
            artifacts.entry((kind, key)).or_default().push(file);
        }
    }
    for ((kind, key), mut files) in artifacts {
        let name = format!("{kind} {}", key.short());
        let record = bundle
            .record(&key)
            .filter(|record| record.kind == kind)
            .ok_or_else(|| format!("there are files of {name}, but no record"))?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if files != record.files {
            return Err(format!("the files of {name} are not those of its record"));
        }
    }
    Ok(())
}

/// Every table is that of its stage, and the scores that it was made from are there.
fn check_tables(bundle: &Bundle) -> Result<(), String> {
    let mut files = 0;
    for table in &bundle.contents.tables {
        let record = bundle
            .record(&table.key)
            .filter(|record| record.kind == StageKind::Tabulate)
            .ok_or_else(|| format!("there is no record of table {}", table.table))?;
        for file in record.files.iter().filter(|f| table.shows(f)) {
            let name = format!("tables/{}/{}", table.folder(), file.path);
            let shown = bundle
                .contents
                .entries
                .iter()
                .find(|entry| entry.path == name);
            if shown.is_none_or(|shown| shown.blake3 != file.blake3) {
                return Err(format!("'{name}' is not what table {} is", table.table));
            }
            files += 1;
        }
        for input in &record.inputs {
            let scored = bundle.record(&input.key).is_some_and(|evaluation| {
                evaluation.files.iter().all(|file| {
                    bundle
                        .file(evaluation.kind, &input.key, &file.path)
                        .is_some()
                })
            });
            if !scored {
                return Err(format!(
                    "the scores {} of table {} are not there",
                    input.key, table.table
                ));
            }
        }
    }
    let shown = bundle
        .contents
        .entries
        .iter()
        .filter(|entry| Place::of(&entry.path) == Some(Place::Table))
        .count();
    if shown != files {
        return Err("there are files of tables that its list of tables does not name".to_owned());
    }
    Ok(())
}
