//! What a report shows, from the plans of its manifests and the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use super::{pictures, stages, trainings};
use crate::cli::args::{ManifestArgs, ReportArgs};
use crate::cli::claims::judgements;
use crate::cli::exit::CliError;
use crate::cli::hole::Scores;
use crate::cli::session::{self, Experiment, Session};
use crate::cli::table::made_or_new;
use crate::metric::{Metric, RegionChoice, case_values};
use crate::plan::{Key, Stage, StageKind, TabulateSpec};
use crate::report::html::{CaseScores, Origin, ReportInput, ReportTable, Run};
use crate::report::{Ledger, TableInput};
use crate::store::State;

/// Scores of test cases that a page holds at most.
const CASES: usize = 20_000;
/// Evaluations beyond which nobody counts them.
const EVALUATIONS: usize = 2_000;

/// The stages of all experiments by key.
pub(super) type Stages<'a> = HashMap<&'a Key, &'a Stage>;

pub(super) fn gather(session: &Session, args: &ReportArgs) -> Result<ReportInput, CliError> {
    let plan = session.plan();
    let by_key: Stages<'_> = plan.stages.iter().map(|s| (&s.key, s)).collect();
    let ledger = session::ledger(&session.root)?;
    let mut input = ReportInput {
        claims: judgements(session)?,
        stages: stages::facts(&session.store, &plan)?,
        ..ReportInput::default()
    };
    let mut curves = trainings::Curves::new(&session.store, &by_key);
    for (i, (experiment, file)) in session.experiments.iter().zip(&args.files).enumerate() {
        input.origins.push(origin(experiment, file, &args.manifest));
        let mut scores = Scores::new(&session.store, &experiment.compiled.plan.stages);
        for (key, spec) in &experiment.compiled.tables {
            let table = table(session, key, spec, &ledger, &mut scores)?;
            input.tables.push(ReportTable {
                runs: runs(spec),
                places: places(experiment, spec),
                trainings: curves.of(spec),
                input: table,
                origin: i,
            });
        }
    }
    let specs: Vec<&TabulateSpec> = session
        .experiments
        .iter()
        .flat_map(|e| e.compiled.tables.iter().map(|(_, spec)| spec))
        .collect();
    input.cases = cases(session, &specs)?;
    if !args.no_pictures {
        input.pictures = pictures::gather(&session.store, &by_key, &specs)?;
    }
    Ok(input)
}

fn origin(experiment: &Experiment, file: &std::path::Path, args: &ManifestArgs) -> Origin {
    let mut arguments = String::new();
    if let Some(profile) = &args.profile {
        arguments.push_str(&format!(" --profile {profile}"));
    }
    for set in &args.set {
        arguments.push_str(&format!(" --set {set}"));
    }
    for only in &args.only {
        arguments.push_str(&format!(" --only {only}"));
    }
    Origin {
        experiment: experiment.resolved.name.clone(),
        profile: experiment.resolved.profile.clone(),
        manifest: file.display().to_string(),
        arguments,
    }
}

/// The table, as it was made or from the scores that are there.
fn table(
    session: &Session,
    key: &Key,
    spec: &TabulateSpec,
    ledger: &Ledger,
    scores: &mut Scores<'_>,
) -> Result<TableInput, CliError> {
    let state = session.store.lookup(StageKind::Tabulate, key);
    let made = matches!(state, Ok(State::Cached))
        .then(|| session.store.artifact_dir(StageKind::Tabulate, key));
    made_or_new(made.as_deref(), spec, ledger, scores)
}

/// The runs of each cell, in the order in which a table lists its cells.
fn runs(spec: &TabulateSpec) -> Vec<Vec<Run>> {
    let each = spec.metrics.len() * spec.regions.len();
    spec.cells
        .iter()
        .flat_map(|cell| {
            let runs: Vec<Run> = cell
                .runs
                .iter()
                .map(|(seed, key)| Run {
                    seed: *seed,
                    key: key.to_string(),
                })
                .collect();
            std::iter::repeat_n(runs, each)
        })
        .collect()
}

fn places(experiment: &Experiment, spec: &TabulateSpec) -> BTreeMap<String, String> {
    spec.rows
        .iter()
        .filter_map(|row| {
            let place = experiment
                .places
                .get(&(spec.table.clone(), row.name.clone()))?;
            Some((row.name.clone(), place.clone()))
        })
        .collect()
}

/// The scores of test cases, where they are few enough for a page.
fn cases(
    session: &Session,
    specs: &[&TabulateSpec],
) -> Result<BTreeMap<String, CaseScores>, CliError> {
    let keys: HashSet<&Key> = specs
        .iter()
        .flat_map(|s| &s.cells)
        .flat_map(|c| c.runs.iter().map(|(_, key)| key))
        .collect();
    let mut found: BTreeMap<String, CaseScores> = BTreeMap::new();
    if keys.len() > EVALUATIONS {
        return Ok(found);
    }
    let mut known = HashMap::new();
    let mut count = 0;
    // What was measured has no cases.
    for spec in specs.iter().filter(|s| s.measure.is_none()) {
        for (_, key) in spec.cells.iter().flat_map(|c| &c.runs) {
            let evaluation = known
                .entry(key)
                .or_insert_with(|| crate::cli::table::scores(&session.store, key).ok());
            let Some(evaluation) = evaluation else {
                continue;
            };
            let metrics = found.entry(key.to_string()).or_default();
            for (metric, region) in named(spec) {
                let which = Metric::from_str(metric)
                    .map_err(|m| CliError::internal(format!("unknown metric '{m}'")))?;
                let (choice, name) = match region {
                    "mean" => (RegionChoice::Mean, metric.to_owned()),
                    one => (RegionChoice::One(one), format!("{metric}_{one}")),
                };
                if metrics.contains_key(&name) {
                    continue;
                }
                let values = case_values(
                    &evaluation.cases,
                    choice,
                    which,
                    spec.aggregation,
                    spec.hausdorff,
                )
                .map_err(CliError::internal)?;
                count += values.len();
                metrics.insert(name, values);
            }
            if count > CASES {
                return Ok(BTreeMap::new());
            }
        }
    }
    Ok(found)
}

/// Each metric with each region.
fn named(spec: &TabulateSpec) -> impl Iterator<Item = (&str, &str)> {
    spec.metrics
        .iter()
        .flat_map(|m| spec.regions.iter().map(move |r| (m.as_str(), r.as_str())))
}
