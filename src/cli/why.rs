//! `why`: the lineage of a table cell or of a stage.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{Format, WhyArgs};
use super::exit::{CliError, ExitStatus};
use super::hole::Scores;
use super::lineage;
use super::session::{Experiment, Session};
use crate::manifest::did_you_mean;
use crate::metric::{Metric, RegionChoice, aggregate, case_values};
use crate::plan::{Graph, Key, Plan, Stage, TableRow, TabulateSpec};
use crate::report::Query;
use crate::stage::{Evaluation, Found};

pub(super) fn why(args: &WhyArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(std::slice::from_ref(&args.file), &args.manifest)?;
    let table = session.experiments.iter().find_map(|experiment| {
        let mut tables = experiment.compiled.tables.iter();
        let (_, spec) = tables.find(|(_, spec)| spec.table == args.what)?;
        Some((experiment, spec))
    });
    let (answer, print): (Value, fn(&Value)) = match (table, &args.row) {
        (Some((experiment, spec)), Some(row)) => (
            cell(&session, experiment, spec, row, args.column.as_deref())?,
            lineage::print_cell,
        ),
        (Some((_, spec)), None) => {
            return Err(
                CliError::usage(format!("which row of table {}?", spec.table))
                    .hint(format!("rows: {}", row_names(spec).join(", "))),
            );
        }
        (None, _) => (
            stage(&session, &session.plan(), &args.what)?,
            lineage::print_stage,
        ),
    };
    if args.format == Format::Json {
        println!("{answer}");
    } else {
        print(&answer);
    }
    Ok(ExitStatus::Done)
}

fn row_names(spec: &TabulateSpec) -> Vec<&str> {
    spec.rows.iter().map(|r| r.name.as_str()).collect()
}

/// `hecktor/CT/5/DSC`, or the beginning of it; what is left out is the first of the table. Without
/// label ratios `brats2018/FLAIR/patches`.
struct Coordinates<'a> {
    column: usize,
    label: u32,
    /// As typed: `DSC`, `DSC_ET`.
    shown: String,
    metric: &'a str,
    region: &'a str,
}

fn coordinates<'a>(
    spec: &'a TabulateSpec,
    text: Option<&str>,
) -> Result<Coordinates<'a>, CliError> {
    let text = text.unwrap_or_default();
    let mut parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty()).collect();
    if spec.measure.is_some() && parts.len() > 2 {
        parts.insert(2, "0");
    }
    let column = spec.columns.iter().position(|c| {
        let data = parts
            .first()
            .is_none_or(|p| *p == c.published || *p == c.dataset);
        data && parts.get(1).is_none_or(|p| *p == c.modality)
    });
    let Some(column) = column else {
        let columns: Vec<String> = spec
            .columns
            .iter()
            .map(|c| format!("{}/{}", c.published, c.modality))
            .collect();
        return Err(
            CliError::usage(format!("table {} has no column '{text}'", spec.table))
                .hint(format!("columns: {}", columns.join(", "))),
        );
    };
    let label = match parts.get(2) {
        Some(p) => p
            .parse()
            .ok()
            .filter(|l| spec.labels.contains(l))
            .ok_or_else(|| {
                let known: Vec<String> = spec.labels.iter().map(u32::to_string).collect();
                CliError::usage(format!("table {} has no label ratio '{p}'", spec.table))
                    .hint(format!("label ratios: {}", known.join(", ")))
            })?,
        None => spec.labels.first().copied().unwrap_or(100),
    };
    let shown = match parts.get(3) {
        Some(p) => (*p).to_owned(),
        None => spec.metrics.first().cloned().unwrap_or_default(),
    };
    let (name, region) = match shown.split_once('_') {
        Some((name, region)) if spec.measure.is_none() => (name, region),
        _ => (shown.as_str(), "mean"),
    };
    let metric = spec.metrics.iter().find(|m| m.as_str() == name);
    let region = spec.regions.iter().find(|r| r.as_str() == region);
    let (Some(metric), Some(region)) = (metric, region) else {
        return Err(
            CliError::usage(format!("table {} has no metric '{shown}'", spec.table)).hint(format!(
                "metrics: {}; regions: {}",
                spec.metrics.join(", "),
                spec.regions.join(", ")
            )),
        );
    };
    Ok(Coordinates {
        column,
        label,
        metric,
        region,
        shown,
    })
}

fn cell(
    session: &Session,
    experiment: &Experiment,
    spec: &TabulateSpec,
    row: &str,
    column: Option<&str>,
) -> Result<Value, CliError> {
    let Some(r) = spec
        .rows
        .iter()
        .position(|x| x.name.eq_ignore_ascii_case(row))
    else {
        let rows = row_names(spec);
        return Err(
            CliError::usage(format!("table {} has no row '{row}'", spec.table)).hint(
                did_you_mean(row, rows.iter().copied())
                    .unwrap_or_else(|| format!("rows: {}", rows.join(", "))),
            ),
        );
    };
    let row = &spec.rows[r];
    let at = coordinates(spec, column)?;
    let Some(cell) = spec
        .cells
        .iter()
        .find(|c| c.row == r && c.column == at.column && c.label == at.label)
    else {
        return Err(CliError::usage("the table has no such cell"));
    };
    let shown = &spec.columns[at.column];
    let published = super::session::ledger(&session.root)?
        .find(&Query {
            table: &spec.table,
            dataset: &shown.published,
            modality: &shown.modality,
            label_percent: (at.label > 0).then_some(at.label),
            method: &row.published,
            metric: &at.shown,
            setting: &row.setting,
        })
        .map(|e| json!({ "value": e.value, "line": e.line }));
    let mut scores = Scores::new(&session.store, &experiment.compiled.plan.stages);
    let mut runs = Vec::new();
    for (seed, key) in &cell.runs {
        let result = match scores.of(key) {
            Ok(Found::Scores(evaluation)) => scored(&evaluation, &at, spec)?,
            Ok(Found::Measured(measurement)) => json!({
                "value": measurement.value(row.part.as_deref().unwrap_or_default(), at.metric),
                "images": measurement.images,
                "machine": measurement.machine,
            }),
            Ok(Found::Chosen(choice)) => json!({ "value": null, "choice": choice }),
            Err(reason) => json!({ "hole": reason }),
        };
        runs.push(json!({
            "seed": seed,
            "result": result,
            "stages": before(session, &experiment.compiled.plan, key),
        }));
    }
    Ok(json!({
        "cell": in_words(spec, row, &at),
        "manifest": experiment.places.get(&(spec.table.clone(), row.name.clone())),
        "profile": spec.profile,
        "published": published,
        "runs": runs,
    }))
}

fn in_words(spec: &TabulateSpec, row: &TableRow, at: &Coordinates<'_>) -> String {
    let column = &spec.columns[at.column];
    let labels = match at.label {
        0 => String::new(),
        label => format!("{label} % labels, "),
    };
    format!(
        "table {}, row {}, {}/{}, {labels}{}",
        spec.table, row.name, column.dataset, column.modality, at.shown
    )
}

/// The value of an evaluation and those of its cases.
fn scored(
    evaluation: &Evaluation,
    at: &Coordinates<'_>,
    spec: &TabulateSpec,
) -> Result<Value, CliError> {
    let metric: Metric = at
        .metric
        .parse()
        .map_err(|name| CliError::usage(format!("unknown metric '{name}'")))?;
    let region = match at.region {
        "mean" => RegionChoice::Mean,
        one => RegionChoice::One(one),
    };
    let (unit, mode) = (spec.aggregation, spec.hausdorff);
    let values: BTreeMap<String, Option<f64>> =
        case_values(&evaluation.cases, region, metric, unit, mode)
            .map_err(CliError::internal)?
            .into_iter()
            .collect();
    let whole =
        aggregate(&evaluation.cases, region, metric, unit, mode).map_err(CliError::internal)?;
    Ok(json!({
        "value": whole.mean,
        "labelled_cases": evaluation.labelled,
        "per_case": values,
    }))
}

/// The stages behind a key and its own, inputs first.
fn before(session: &Session, plan: &Plan, key: &Key) -> Vec<Value> {
    let mut all: Vec<&Stage> = Graph::of(plan)
        .ancestors(key)
        .into_iter()
        .map(|i| &plan.stages[i])
        .collect();
    all.extend(plan.get(key));
    all.into_iter()
        .map(|s| lineage::stage(&session.store, s))
        .collect()
}

/// The only stage of the store, or of what was imported, whose key begins with `prefix`.
fn recorded(session: &Session, prefix: &str) -> Result<Option<Value>, CliError> {
    if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found = session.store.find(prefix).map_err(CliError::internal)?;
    let [(kind, key)] = found.as_slice() else {
        return Ok(None);
    };
    let record = session
        .store
        .lineage(*kind, key)
        .map_err(CliError::internal)?;
    Ok(record.map(|record| lineage::recorded(&session.store, &record)))
}

fn stage(session: &Session, plan: &Plan, prefix: &str) -> Result<Value, CliError> {
    let found: Vec<&Stage> = plan
        .stages
        .iter()
        .filter(|s| prefix.len() >= 4 && s.key.as_str().starts_with(prefix))
        .collect();
    match found.as_slice() {
        [stage] => Ok(lineage::whole_stage(&session.store, plan, stage)),
        [] => {
            if let Some(recorded) = recorded(session, prefix)? {
                return Ok(recorded);
            }
            let tables: Vec<&str> = session
                .experiments
                .iter()
                .flat_map(|e| e.compiled.tables.iter().map(|(_, t)| t.table.as_str()))
                .collect();
            Err(CliError::usage(format!(
                "'{prefix}' is neither a table nor the key of a stage here"
            ))
            .hint(format!(
                "tables: {}; keys (at least 4 digits) are shown by `amlp-run plan --verbose`",
                tables.join(", ")
            )))
        }
        several => Err(CliError::usage(format!(
            "{} stages have keys that begin with '{prefix}'",
            several.len()
        ))
        .hint(
            several
                .iter()
                .map(|s| format!("{} {}", s.key, s.label))
                .collect::<Vec<_>>()
                .join("\n        "),
        )),
    }
}
