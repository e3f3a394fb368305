//! `diff`: which stages two manifests share, and which field splits the rest.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::args::{DiffArgs, Format, ManifestArgs};
use super::exit::{CliError, ExitStatus};
use super::plan::in_a_line;
use super::session::Session;
use crate::plan::{Key, Plan, Stage, StageKind, nearest};

pub(super) fn diff(args: &DiffArgs) -> Result<ExitStatus, CliError> {
    let other = ManifestArgs {
        profile: args
            .other_profile
            .clone()
            .or_else(|| args.manifest.profile.clone()),
        ..args.manifest.clone()
    };
    let a = Session::open(std::slice::from_ref(&args.a), &args.manifest)?
        .plan()
        .into_owned();
    let b = Session::open(std::slice::from_ref(&args.b), &other)?
        .plan()
        .into_owned();
    let keys_a: HashSet<&Key> = a.stages.iter().map(|s| &s.key).collect();
    let keys_b: HashSet<&Key> = b.stages.iter().map(|s| &s.key).collect();
    let shared = keys_a.intersection(&keys_b).count();
    let mut counts: BTreeMap<StageKind, [usize; 3]> = BTreeMap::new();
    for s in &a.stages {
        let slot = if keys_b.contains(&s.key) { 0 } else { 1 };
        counts.entry(s.kind).or_default()[slot] += 1;
    }
    for s in b.stages.iter().filter(|s| !keys_a.contains(&s.key)) {
        counts.entry(s.kind).or_default()[2] += 1;
    }
    let splits = splits(&a, &b, &keys_a);
    if args.format == Format::Json {
        let kinds: BTreeMap<&str, _> = counts
            .iter()
            .map(|(k, n)| {
                (
                    k.name(),
                    json!({ "shared": n[0], "only_a": n[1], "only_b": n[2] }),
                )
            })
            .collect();
        let fields: Vec<_> = splits
            .iter()
            .map(
                |((kind, change), n)| json!({ "kind": kind.name(), "change": change, "stages": n }),
            )
            .collect();
        println!(
            "{}",
            json!({ "shared": shared, "kinds": kinds, "fields": fields })
        );
        return Ok(ExitStatus::Done);
    }
    println!("A: {}", args.a.display());
    println!("B: {}\n", args.b.display());
    println!(
        "  {:<10} {:>7} {:>7} {:>7}",
        "stage", "shared", "only A", "only B"
    );
    for (kind, n) in &counts {
        println!("  {kind:<10} {:>7} {:>7} {:>7}", n[0], n[1], n[2]);
    }
    if !splits.is_empty() {
        println!("\n  fields that split the rest (A -> B)");
        for ((kind, change), n) in &splits {
            println!("    {n:>4} x {kind}: {change}");
        }
    }
    Ok(ExitStatus::Done)
}

/// For each stage that only B has, the fields in which it differs from the nearest one of A.
fn splits(a: &Plan, b: &Plan, keys_a: &HashSet<&Key>) -> BTreeMap<(StageKind, String), usize> {
    let mut by_kind: BTreeMap<StageKind, Vec<&Stage>> = BTreeMap::new();
    for stage in &a.stages {
        by_kind.entry(stage.kind).or_default().push(stage);
    }
    let mut found = BTreeMap::new();
    for stage in b.stages.iter().filter(|s| !keys_a.contains(&s.key)) {
        let candidates = by_kind.get(&stage.kind).map_or(&[][..], Vec::as_slice);
        // The lists of inputs and cells of a table say no more than its rows.
        if stage.kind == StageKind::Tabulate {
            continue;
        }
        let near = nearest(
            &stage.preimage,
            candidates.iter().map(|s| (&s.preimage, ())),
        );
        let text = match near {
            None => "A has no such stage".to_owned(),
            Some((_, changes)) => {
                let own: Vec<String> = changes
                    .iter()
                    .filter(|c| !c.path.starts_with("inputs."))
                    .map(in_a_line)
                    .collect();
                if own.is_empty() {
                    "follows its inputs".to_owned()
                } else {
                    own.join("; ")
                }
            }
        };
        *found.entry((stage.kind, text)).or_insert(0) += 1;
    }
    found
}
