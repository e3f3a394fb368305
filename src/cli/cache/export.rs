//! `cache export`: tables with their lineage as one file.

use std::collections::HashSet;

use super::super::exit::{CliError, ExitStatus};
use super::super::session::{self, Session};
use super::args::ExportArgs;
use super::size::size;
use crate::manifest::did_you_mean;
use crate::plan::{Key, Plan, Stage, StageKind, TabulateSpec};
use crate::stage::Found;
use crate::store::bundle::{BundleError, Draft, TableEntry};

pub(super) fn export(args: &ExportArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(std::slice::from_ref(&args.file), &args.manifest)?;
    let plan = session.plan();
    let tables = tables(&session, &args.table)?;
    let ledger = session::ledger_text(&session.root);
    let mut draft = Draft::new(&session.store, &ledger);
    let mut seen = HashSet::new();
    for (key, spec) in tables {
        let is_cached = session
            .store
            .lookup(StageKind::Tabulate, key)
            .is_ok_and(|state| state.is_cached());
        if !is_cached {
            return Err(CliError::new(
                ExitStatus::Failed,
                format!("table {} is not complete", spec.table),
            )
            .hint("`amlp-run run` with the same arguments makes what is missing"));
        }
        let table = TableEntry {
            experiment: spec.experiment.clone(),
            profile: spec.profile.clone(),
            table: spec.table.clone(),
            key: key.clone(),
        };
        draft.add_table(table).map_err(failed)?;
        add_ancestors(&mut draft, &plan, key, args, &mut seen).map_err(failed)?;
    }
    let (bytes, contents) = draft.write(&args.out).map_err(failed)?;
    println!(
        "{}: {} tables, {} entries, {}",
        args.out.display(),
        contents.tables.len(),
        contents.entries.len(),
        size(bytes)
    );
    Ok(ExitStatus::Done)
}

/// The tables asked for; all without such a wish.
fn tables<'a>(
    session: &'a Session,
    asked: &[String],
) -> Result<Vec<&'a (Key, TabulateSpec)>, CliError> {
    let all: Vec<&(Key, TabulateSpec)> = session
        .experiments
        .iter()
        .flat_map(|experiment| &experiment.compiled.tables)
        .collect();
    if let Some(unknown) = asked
        .iter()
        .find(|name| !all.iter().any(|(_, spec)| spec.table == **name))
    {
        let names: Vec<&str> = all.iter().map(|(_, spec)| spec.table.as_str()).collect();
        return Err(
            CliError::usage(format!("the manifest has no table '{unknown}'")).hint(
                did_you_mean(unknown, names.iter().copied())
                    .unwrap_or_else(|| format!("tables: {}", names.join(", "))),
            ),
        );
    }
    Ok(all
        .into_iter()
        .filter(|(_, spec)| asked.is_empty() || asked.contains(&spec.table))
        .collect())
}

/// Adds what the table `key` was made from: scores always, the rest as records or as asked for.
fn add_ancestors(
    draft: &mut Draft<'_>,
    plan: &Plan,
    key: &Key,
    args: &ExportArgs,
    seen: &mut HashSet<Key>,
) -> Result<(), BundleError> {
    let stages: std::collections::HashMap<&Key, &Stage> = plan
        .stages
        .iter()
        .map(|stage| (&stage.key, stage))
        .collect();
    let mut open = vec![key];
    while let Some(key) = open.pop() {
        let Some(stage) = stages.get(key) else {
            continue;
        };
        for input in &stage.inputs {
            if !seen.insert(input.key.clone()) {
                continue;
            }
            open.push(&input.key);
            let Some(made_by) = stages.get(&input.key) else {
                continue;
            };
            let whole = args.all
                || Found::file(made_by.kind).is_some()
                || (args.with_models && made_by.kind == StageKind::Finetune);
            if whole {
                draft.add_artifact(made_by.kind, &input.key)?;
            } else {
                draft.add_record(made_by.kind, &input.key)?;
            }
        }
    }
    Ok(())
}

fn failed(error: BundleError) -> CliError {
    match error {
        BundleError::Incomplete(_) => CliError::new(ExitStatus::Failed, error),
        BundleError::Store(crate::store::StoreError::Missing { .. }) => {
            CliError::new(ExitStatus::Failed, error)
        }
        other => CliError::internal(other),
    }
}
