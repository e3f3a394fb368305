//! `cache ls`: what is in the store.

use serde_json::{Value, json};

use super::super::args::Format;
use super::super::exit::{CliError, ExitStatus};
use super::args::LsArgs;
use super::size::size;
use crate::plan::StageKind;
use crate::store::{StageRecord, Store};

pub(super) fn ls(args: &LsArgs) -> Result<ExitStatus, CliError> {
    let store = super::open(&args.store)?;
    match args.kind {
        Some(kind) => list(&store, kind, args.format)?,
        None => count(&store, args.format)?,
    }
    Ok(ExitStatus::Done)
}

fn count(store: &Store, format: Format) -> Result<(), CliError> {
    let mut kinds = Vec::new();
    for kind in StageKind::ALL {
        let records = store.records(kind).map_err(CliError::internal)?;
        if !records.is_empty() {
            let bytes: u64 = records.iter().map(StageRecord::bytes).sum();
            kinds.push((kind, records.len(), bytes));
        }
    }
    let artifacts: usize = kinds.iter().map(|(_, n, _)| n).sum();
    let bytes: u64 = kinds.iter().map(|(.., bytes)| bytes).sum();
    if format == Format::Json {
        let kinds: Vec<Value> = kinds
            .iter()
            .map(|(kind, n, bytes)| json!({"kind": kind, "artifacts": n, "bytes": bytes}))
            .collect();
        println!(
            "{}",
            json!({
                "store": store.paths().root().display().to_string(),
                "kinds": kinds,
                "artifacts": artifacts,
                "bytes": bytes,
            })
        );
        return Ok(());
    }
    println!("{}", store.paths().root().display());
    for (kind, n, bytes) in kinds {
        println!("  {kind:<10} {n:>7} {:>10}", size(bytes));
    }
    println!("  {:<10} {artifacts:>7} {:>10}", "all", size(bytes));
    Ok(())
}

fn list(store: &Store, kind: StageKind, format: Format) -> Result<(), CliError> {
    let mut records = store.records(kind).map_err(CliError::internal)?;
    records.sort_by(|a, b| (&a.label, &a.key).cmp(&(&b.label, &b.key)));
    if format == Format::Json {
        let artifacts: Vec<Value> = records
            .iter()
            .map(|record| {
                json!({
                    "key": record.key,
                    "kind": record.kind,
                    "label": record.label,
                    "bytes": record.bytes(),
                    "made": record.provenance.started,
                    "host": record.provenance.host,
                    "device": record.provenance.device,
                })
            })
            .collect();
        println!("{}", json!({ "artifacts": artifacts }));
        return Ok(());
    }
    for record in records {
        println!(
            "{}  {:>9}  {:<20}  {:<9}  {}",
            record.key.short(),
            size(record.bytes()),
            record.provenance.started,
            record.provenance.device.as_deref().unwrap_or("-"),
            record.label
        );
    }
    Ok(())
}
