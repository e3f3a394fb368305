//! Building the tables of a file again from the scores in it.

use crate::plan::{StageKind, TabulateSpec};
use crate::report::Ledger;
use crate::stage::{Found, TABLE_FILES, TABLE_INPUT, table_input, table_texts};
use crate::store::bundle::{Bundle, TableEntry};

/// Whether each table is what its scores give, byte for byte.
///
/// # Errors
/// Which is not, for people.
pub(super) fn check_tables(bundle: &Bundle) -> Result<(), String> {
    let ledger = Ledger::read("ledger.csv", bundle.ledger()).map_err(|e| e.to_string())?;
    for table in &bundle.contents.tables {
        check(bundle, table, &ledger)
            .map_err(|reason| format!("table {}: {reason}", table.table))?;
    }
    Ok(())
}

fn check(bundle: &Bundle, table: &TableEntry, ledger: &Ledger) -> Result<(), String> {
    let record = bundle
        .record(&table.key)
        .ok_or("there is no record of it")?;
    let version = record.preimage["version"].as_u64();
    let ours = u64::from(StageKind::Tabulate.version());
    if version != Some(ours) {
        return Err(format!(
            "it was written by version {} of the tables, this program has {ours}",
            version.unwrap_or(0)
        ));
    }
    let spec: TabulateSpec =
        serde_json::from_value(record.preimage["spec"].clone()).map_err(|e| e.to_string())?;
    if (&spec.experiment, &spec.profile, &spec.table)
        != (&table.experiment, &table.profile, &table.table)
    {
        return Err("its record is that of another table".to_owned());
    }
    if !blake3::hash(bundle.ledger())
        .to_hex()
        .starts_with(&spec.ledger)
    {
        return Err("the published numbers are not those that it was written beside".to_owned());
    }
    let input = table_input(&spec, ledger, |key| {
        let (kind, bytes) = Found::kinds()
            .find_map(|kind| Some((kind, bundle.file(kind, key, Found::file(kind)?)?)))
            .ok_or("no scores")?;
        Found::parse(kind, bytes)
    })
    .map_err(|e| e.to_string())?;
    let texts = table_texts(&input).map_err(|e| e.to_string())?;
    for (extension, text) in TABLE_FILES.iter().zip(texts) {
        if bundle.table(table, extension) != Some(text.as_bytes()) {
            return Err(format!("its scores give another {extension} file"));
        }
    }
    // What is shown on a terminal is read from here.
    let shown = serde_json::to_vec(&input).map_err(|e| e.to_string())?;
    if bundle
        .file(StageKind::Tabulate, &table.key, TABLE_INPUT)
        .is_some_and(|file| file != shown)
    {
        return Err(format!("its scores give another {TABLE_INPUT}"));
    }
    Ok(())
}
