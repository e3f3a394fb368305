//! `cache gc`: what no table was made from. Shown first, removed with `--delete`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::args::Format;
use super::super::exit::{CliError, ExitStatus};
use super::args::GcArgs;
use super::roots::{Cited, Folders, Runs, planned};
use super::size::size;
use crate::plan::StageKind;
use crate::store::{Collection, Item, Removal, Store, Sweep, rfc3339};

const DAY: f64 = 24.0 * 3600.0;

pub(super) fn gc(args: &GcArgs) -> Result<ExitStatus, CliError> {
    let store = super::open(&args.store)?;
    let unused_for = Duration::try_from_secs_f64(args.older_than * DAY)
        .map_err(|_| CliError::usage("--older-than takes a number of days, 0 or more"))?;
    // Runs first: one that begins from here on is met again before anything is gone.
    let (runs, mut roots) = Runs::of(&store)?;
    let folders = Folders::of(&store, &super::project())?;
    let mut cited = Cited::default();
    for folder in &folders.there {
        cited.read(folder, 0)?;
    }
    cited.add_tables(&store)?;
    let tables = cited.tables;
    roots.extend(cited.keys);
    roots.extend(planned(args, &store)?);
    let collection = store
        .collect(&roots, unused_for, || runs.plans())
        .map_err(CliError::internal)?;
    let mut report = Report {
        tables,
        collection,
        sweep: store.sweep(true).map_err(CliError::internal)?,
        damaged: store.set_aside_before().map_err(CliError::internal)?,
        removal: None,
    };
    if args.delete {
        report.removal = Some(
            store
                .remove_garbage(&report.collection.garbage, || runs.begun_since())
                .map_err(|interrupted| interrupted.0)?,
        );
        store.sweep(false).map_err(CliError::internal)?;
        if args.damaged {
            for (path, _) in &report.damaged {
                store.remove_set_aside(path).map_err(CliError::internal)?;
            }
        }
        for gone in &folders.gone {
            store.forget_root(gone).map_err(CliError::internal)?;
        }
    }
    match args.format {
        Format::Json => println!("{}", report.json(args)),
        Format::Text => report.print(args, &store),
    }
    Ok(ExitStatus::Done)
}

/// What was found, and removed.
struct Report {
    tables: usize,
    collection: Collection,
    sweep: Sweep,
    damaged: Vec<(std::path::PathBuf, u64)>,
    removal: Option<Removal>,
}

impl Report {
    fn json(&self, args: &GcArgs) -> Value {
        json!({
            "deleted": args.delete,
            "tables": self.tables,
            "kept": { "artifacts": self.collection.kept.len(), "bytes": bytes(&self.collection.kept) },
            "garbage": self.collection.garbage,
            "bytes": bytes(&self.collection.garbage),
            "spared": self.removal.map_or(0, |removal| removal.spared),
            "stale_claims": self.sweep.claims.len(),
            "half_written": self.sweep.staging.len(),
            "work_of_finished": self.sweep.work.len(),
            "damaged": {
                "entries": self.damaged.len(),
                "bytes": self.damaged.iter().map(|(_, bytes)| bytes).sum::<u64>(),
                "deleted": args.delete && args.damaged,
            },
        })
    }

    fn print(&self, args: &GcArgs, store: &Store) {
        println!(
            "{}: {} artifacts, {}, stay; {} tables cite them",
            store.paths().root().display(),
            self.collection.kept.len(),
            size(bytes(&self.collection.kept)),
            self.tables
        );
        let garbage = &self.collection.garbage;
        if args.verbose {
            for item in garbage {
                println!(
                    "  {}  {:>9}  {}  {}",
                    item.key.short(),
                    size(item.bytes),
                    rfc3339(item.used),
                    item.label
                );
            }
        }
        let mut kinds: BTreeMap<StageKind, (usize, u64)> = BTreeMap::new();
        for item in garbage {
            let (count, bytes) = kinds.entry(item.kind).or_default();
            *count += 1;
            *bytes += item.bytes;
        }
        for (kind, (count, bytes)) in &kinds {
            println!("  {kind:<10} {count:>7} {:>10}", size(*bytes));
        }
        for (count, what) in [
            (self.sweep.claims.len(), "claims of dead processes"),
            (self.sweep.staging.len(), "half-written artifacts"),
            (self.sweep.work.len(), "work folders of finished stages"),
        ] {
            if count > 0 {
                println!("  {count} {what}");
            }
        }
        if !self.damaged.is_empty() {
            let bytes = self.damaged.iter().map(|(_, bytes)| bytes).sum();
            let how = if args.damaged {
                "too"
            } else {
                "that --damaged would remove"
            };
            println!("  {} set aside as damaged, {how}", size(bytes));
        }
        match self.removal {
            Some(removal) => {
                println!(
                    "removed {} artifacts, {}",
                    removal.artifacts,
                    size(removal.bytes)
                );
                if removal.spared > 0 {
                    println!(
                        "spared {} that a run needs which began meanwhile",
                        removal.spared
                    );
                }
            }
            None if garbage.is_empty() && self.sweep.is_empty() => println!("nothing to remove"),
            None => println!(
                "would remove {} artifacts, {}; --delete does, --verbose lists them",
                garbage.len(),
                size(bytes(garbage))
            ),
        }
    }
}

fn bytes(items: &[Item]) -> u64 {
    items.iter().map(|item| item.bytes).sum()
}
