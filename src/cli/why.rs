//! `why`: the lineage of a table cell or of a stage.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{Format, WhyArgs};
use super::exit::{CliError, ExitStatus};
use super::session::Session;
use super::table::scores;
use crate::manifest::did_you_mean;
use crate::metric::{Metric, RegionChoice, case_values};
use crate::plan::{Graph, Key, Plan, Stage, TabulateSpec};
use crate::report::Query;
use crate::store::State;

pub(super) fn why(args: &WhyArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(std::slice::from_ref(&args.file), &args.manifest)?;
    let Some(experiment) = session.experiments.first() else {
        return Err(CliError::usage("no manifest"));
    };
    let table = experiment
        .compiled
        .tables
        .iter()
        .map(|(_, spec)| spec)
        .find(|spec| spec.table == args.what);
    let answer = match (table, &args.row) {
        (Some(spec), Some(row)) => {
            let place = experiment.places.get(&(spec.table.clone(), row.clone()));
            cell(&session, &experiment.compiled.plan, spec, row, args.column.as_deref(), place)?
        }
        (Some(spec), None) => {
            let rows: Vec<&str> = spec.rows.iter().map(|r| r.name.as_str()).collect();
            return Err(CliError::usage(format!("which row of table {}?", spec.table))
                .hint(format!("rows: {}", rows.join(", "))));
        }
        (None, _) => stage_answer(&session, &experiment.compiled.plan, &args.what)?,
    };
    if args.format == Format::Json {
        println!("{answer}");
    } else {
        print_value(&answer, 0);
    }
    Ok(ExitStatus::Done)
}

/// `hecktor/CT/5/DSC`, or the beginning of it.
struct Coordinates<'a> {
    column: usize,
    label: u32,
    metric: &'a str,
}

fn coordinates<'a>(spec: &'a TabulateSpec, text: Option<&'a str>) -> Result<Coordinates<'a>, CliError> {
    let columns: Vec<String> = spec
        .columns
        .iter()
        .map(|c| format!("{}/{}", c.published, c.modality))
        .collect();
    let parts: Vec<&str> = text.unwrap_or_default().split('/').filter(|p| !p.is_empty()).collect();
    let matching: Vec<usize> = spec
        .columns
        .iter()
        .enumerate()
        .filter(|(_, c)| {
            let data = parts.first().is_none_or(|p| *p == c.published || *p == c.dataset);
            data && parts.get(1).is_none_or(|p| *p == c.modality)
        })
        .map(|(i, _)| i)
        .collect();
    let Some(&column) = matching.first() else {
        return Err(CliError::usage(format!("table {} has no column '{}'", spec.table, text.unwrap_or_default()))
            .hint(format!("columns: {}", columns.join(", "))));
    };
    let label = match parts.get(2) {
        Some(p) => p
            .parse()
            .ok()
            .filter(|l| spec.labels.contains(l))
            .ok_or_else(|| CliError::usage(format!("table {} has no label ratio '{p}'", spec.table)))?,
        None => spec.labels.first().copied().unwrap_or(100),
    };
    let metric = match parts.get(3) {
        Some(p) => spec
            .metrics
            .iter()
            .find(|m| m.as_str() == *p)
            .ok_or_else(|| CliError::usage(format!("table {} has no metric '{p}'", spec.table)))?,
        None => spec.metrics.first().map_or("DSC", String::as_str),
    };
    Ok(Coordinates { column, label, metric })
}

fn cell(
    session: &Session,
    plan: &Plan,
    spec: &TabulateSpec,
    row: &str,
    column: Option<&str>,
    place: Option<&String>,
) -> Result<Value, CliError> {
    let Some(r) = spec.rows.iter().position(|x| x.name.eq_ignore_ascii_case(row)) else {
        let rows: Vec<&str> = spec.rows.iter().map(|x| x.name.as_str()).collect();
        return Err(CliError::usage(format!("table {} has no row '{row}'", spec.table)).hint(
            did_you_mean(row, rows.iter().copied())
                .unwrap_or_else(|| format!("rows: {}", rows.join(", "))),
        ));
    };
    let at = coordinates(spec, column)?;
    let Some(cell) = spec
        .cells
        .iter()
        .find(|c| c.row == r && c.column == at.column && c.label == at.label)
    else {
        return Err(CliError::usage("the table has no such cell"));
    };
    let metric: Metric = at
        .metric
        .parse()
        .map_err(|name| CliError::usage(format!("unknown metric '{name}'")))?;
    let shown = &spec.columns[at.column];
    let ledger = super::session::ledger(&session.root)?;
    let published = ledger.find(&Query {
        table: &spec.table,
        dataset: &shown.published,
        modality: &shown.modality,
        label_percent: Some(at.label),
        method: &spec.rows[r].published,
        metric: at.metric,
        setting: &spec.rows[r].setting,
    });
    let mut runs = Vec::new();
    for (seed, key) in &cell.runs {
        let result = match scores(&session.store, key) {
            Ok(evaluation) => {
                let values: BTreeMap<String, Option<f64>> = case_values(
                    &evaluation.cases,
                    RegionChoice::Mean,
                    metric,
                    spec.aggregation,
                    spec.hausdorff,
                )
                .map_err(CliError::internal)?
                .into_iter()
                .collect();
                json!({ "labelled_cases": evaluation.labelled, "per_case": values })
            }
            Err(reason) => json!({ "hole": reason }),
        };
        runs.push(json!({
            "seed": seed,
            "result": result,
            "stages": lineage(session, plan, key),
        }));
    }
    Ok(json!({
        "cell": format!(
            "table {}, row {}, {}/{}, {} % labels, {}",
            spec.table, spec.rows[r].name, shown.dataset, shown.modality, at.label, at.metric
        ),
        "manifest": place,
        "profile": spec.profile,
        "published": published.map(|e| json!({ "value": e.value, "line": e.line })),
        "runs": runs,
    }))
}

/// The stages behind a key, inputs first.
fn lineage(session: &Session, plan: &Plan, key: &Key) -> Vec<Value> {
    let graph = Graph::of(plan);
    let mut all: Vec<&Stage> = graph
        .ancestors(key)
        .into_iter()
        .map(|i| &plan.stages[i])
        .collect();
    all.extend(plan.get(key));
    all.into_iter().map(|s| stage_value(session, s, false)).collect()
}

fn stage_value(session: &Session, stage: &Stage, whole: bool) -> Value {
    let mut value = json!({
        "stage": stage.label,
        "key": stage.key.as_str(),
    });
    if whole {
        value["preimage"] = stage.preimage.clone();
    }
    match session.store.lookup(stage.kind, &stage.key) {
        Ok(State::Cached) => {
            if let Ok(artifact) = session.store.artifact(stage.kind, &stage.key) {
                value["folder"] = artifact.dir.display().to_string().into();
                value["provenance"] =
                    serde_json::to_value(&artifact.record.provenance).unwrap_or(Value::Null);
                if whole {
                    value["files"] =
                        serde_json::to_value(&artifact.record.files).unwrap_or(Value::Null);
                }
            }
        }
        Ok(State::Failed { failure }) => value["failed"] = failure.message.into(),
        Ok(State::Running { holder }) => value["running"] = holder.to_string().into(),
        Ok(State::Damaged { reason }) => value["damaged"] = reason.into(),
        Ok(State::Missing) => value["missing"] = true.into(),
        Err(e) => value["error"] = e.to_string().into(),
    }
    value
}

fn stage_answer(session: &Session, plan: &Plan, prefix: &str) -> Result<Value, CliError> {
    let found: Vec<&Stage> = plan
        .stages
        .iter()
        .filter(|s| prefix.len() >= 4 && s.key.as_str().starts_with(prefix))
        .collect();
    match found.as_slice() {
        [stage] => {
            let mut value = stage_value(session, stage, true);
            let inputs: BTreeMap<&str, &str> = stage
                .inputs
                .iter()
                .map(|i| (i.role.as_str(), i.key.as_str()))
                .collect();
            value["inputs"] = json!(inputs);
            let readers: Vec<&str> = Graph::of(plan)
                .descendants(&stage.key)
                .into_iter()
                .map(|i| plan.stages[i].label.as_str())
                .collect();
            value["changes_with_it"] = json!(readers);
            Ok(value)
        }
        [] => {
            let tables: Vec<&str> = session
                .experiments
                .iter()
                .flat_map(|e| e.compiled.tables.iter().map(|(_, t)| t.table.as_str()))
                .collect();
            Err(CliError::usage(format!("'{prefix}' is neither a table nor the key of a stage here"))
                .hint(format!("tables: {}; keys are shown by `amlp-run plan --verbose`", tables.join(", "))))
        }
        several => Err(CliError::usage(format!(
            "{} stages have keys that begin with '{prefix}'",
            several.len()
        ))),
    }
}

/// JSON as an indented outline.
fn print_value(value: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::Object(m) if !m.is_empty() => {
                        println!("{pad}{key}:");
                        print_value(inner, depth + 1);
                    }
                    Value::Array(a) if a.iter().any(|v| v.is_object()) => {
                        println!("{pad}{key}:");
                        for item in a {
                            print_value(item, depth + 1);
                            println!();
                        }
                    }
                    _ => println!("{pad}{key}: {}", plain(inner)),
                }
            }
        }
        other => println!("{pad}{}", plain(other)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(a) => a.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
