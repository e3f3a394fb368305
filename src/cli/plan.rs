//! `plan`: what would run, what is cached, and why.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::args::{PlanArgs, PlanFormat};
use super::exit::{CliError, ExitStatus};
use super::forecast::{self, Records, forecast};
use super::run::default_jobs;
use super::session::Session;
use crate::engine;
use crate::plan::{Change, Difference, Forecast, Graph, History, Key, Plan, Stage, StageKind};
use crate::store::{StageRecord, State};

pub(super) fn plan(args: &PlanArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(&args.files, &args.manifest)?;
    let plan = session.plan();
    let states = session
        .store
        .lookup_all(&plan.stages)
        .map_err(CliError::internal)?;
    if args.format == PlanFormat::Dot {
        print!("{}", Graph::of(&plan).dot(&plan));
        return Ok(ExitStatus::Done);
    }
    let cached: Vec<bool> = states.iter().map(State::is_cached).collect();
    let needed = engine::needed(&plan, &cached).map_err(CliError::internal)?;
    let slots = args.jobs.map_or_else(
        || default_jobs(&session.device.gpus(), &plan, &session.store),
        usize::from,
    );
    let mut records = Records::of(&session.store);
    let forecast = forecast(&mut records, &plan, &needed, slots)?;
    let reasons = reasons(&mut records, &plan, &states, &needed)?;
    if args.format == PlanFormat::Json {
        println!("{}", json_plan(&plan, &states, &reasons, &forecast));
    } else {
        print_text(&session, &plan, &states);
        print!("{}", forecast::text(&forecast, session.class));
        print_reasons(&plan, &states, &reasons, args.verbose);
    }
    Ok(ExitStatus::Done)
}

/// Word for a state in the JSON contract.
fn word(state: &State) -> &'static str {
    match state {
        State::Cached => "cached",
        State::Missing | State::Damaged { .. } => "missing",
        State::Running { .. } => "running",
        State::Failed { .. } => "failed",
    }
}

fn json_plan(
    plan: &Plan,
    states: &[State],
    reasons: &HashMap<Key, String>,
    forecast: &Forecast,
) -> Value {
    let stages: Vec<Value> = plan
        .stages
        .iter()
        .zip(states)
        .zip(&forecast.stages)
        .map(|((stage, state), cost)| {
            json!({
                "key": stage.key.as_str(),
                "kind": stage.kind.name(),
                "label": stage.label,
                "state": word(state),
                "needs": stage.inputs.iter().map(|i| i.key.as_str()).collect::<Vec<_>>(),
                "reason": reasons.get(&stage.key).map_or("", String::as_str),
                "forecast": cost,
            })
        })
        .collect();
    json!({ "stages": stages, "forecast": forecast })
}

/// Why each stage that is not cached would run.
fn reasons(
    records: &mut Records<'_>,
    plan: &Plan,
    states: &[State],
    needed: &[bool],
) -> Result<HashMap<Key, String>, CliError> {
    let mut histories: HashMap<StageKind, History> = HashMap::new();
    let mut reasons = HashMap::new();
    let state_of: HashMap<&Key, &State> = plan.stages.iter().map(|s| &s.key).zip(states).collect();
    let by_key: HashMap<&Key, &Stage> = plan.stages.iter().map(|s| (&s.key, s)).collect();
    for ((stage, state), needed) in plan.stages.iter().zip(states).zip(needed) {
        let reason = match state {
            State::Cached => continue,
            _ if !*needed => "not needed: all that reads it is cached".to_owned(),
            State::Damaged { reason } => format!("its artifact is damaged: {reason}"),
            State::Running { holder } => format!("running: {holder}"),
            State::Failed { failure } => format!("failed: {}", failure.message),
            State::Missing => {
                let history = match histories.entry(stage.kind) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(empty) => empty.insert(history(records.kind(stage.kind)?)),
                };
                missing_reason(stage, history, &state_of, &by_key)
            }
        };
        reasons.insert(stage.key.clone(), reason);
    }
    Ok(reasons)
}

/// What the store holds of a kind.
fn history(records: &[StageRecord]) -> History {
    let mut history = History::default();
    for record in records {
        history.add(record.key.clone(), &record.label, &record.preimage);
    }
    history
}

/// The field by which a missing stage differs from the nearest artifact of its kind. Where only
/// inputs differ, the stage is dragged along by the one that made them differ.
fn missing_reason(
    stage: &Stage,
    history: &History,
    states: &HashMap<&Key, &State>,
    by_key: &HashMap<&Key, &Stage>,
) -> String {
    let dragged_by = stage
        .inputs
        .iter()
        .filter(|i| states.get(&i.key).is_some_and(|s| !s.is_cached()))
        .find_map(|i| by_key.get(&i.key));
    match history.difference(&stage.label, &stage.preimage) {
        Difference::New => "never run".to_owned(),
        Difference::Inputs => match dragged_by {
            Some(cause) => format!("follows {}, which runs", cause.kind),
            None => "never run on these inputs".to_owned(),
        },
        Difference::Fields(old, changes) => {
            let list: Vec<String> = changes.iter().map(in_a_line).collect();
            format!("{} (against {})", list.join("; "), old.short())
        }
    }
}

/// A change without the text of long lists.
pub(super) fn in_a_line(change: &Change) -> String {
    const LONG: usize = 120;
    let whole = change.to_string();
    match whole.split_once(": ") {
        Some((path, values)) if values.len() > LONG => format!("{path} changed"),
        _ => whole,
    }
}

fn print_text(session: &Session, plan: &Plan, states: &[State]) {
    for experiment in &session.experiments {
        let r = &experiment.resolved;
        println!(
            "{}, profile {}, device {}",
            r.name,
            r.profile,
            session.class.name()
        );
        for study in &r.studies {
            let runs =
                study.rows.iter().map(|row| row.cells.len()).sum::<usize>() * study.seeds.len();
            let (ratios, what) = match &study.measure {
                Some(_) => (String::new(), "measurements"),
                None => (format!("{} label ratios x ", study.labels.len()), "runs"),
            };
            println!(
                "  table {:<5} {} rows x {} columns x {ratios}{} seeds: {runs} {what}",
                study.table,
                study.rows.len(),
                study.columns.len(),
                study.seeds.len(),
            );
        }
    }
    println!();
    let mut counts: BTreeMap<StageKind, [usize; 4]> = BTreeMap::new();
    for (stage, state) in plan.stages.iter().zip(states) {
        let slot = match word(state) {
            "cached" => 0,
            "missing" => 1,
            "running" => 2,
            _ => 3,
        };
        counts.entry(stage.kind).or_default()[slot] += 1;
    }
    println!(
        "  {:<10} {:>7} {:>8} {:>8} {:>7}",
        "stage", "cached", "missing", "running", "failed"
    );
    let mut total = [0; 4];
    for (kind, row) in &counts {
        println!(
            "  {kind:<10} {:>7} {:>8} {:>8} {:>7}",
            row[0], row[1], row[2], row[3]
        );
        for (sum, n) in total.iter_mut().zip(row) {
            *sum += n;
        }
    }
    println!(
        "  {:<10} {:>7} {:>8} {:>8} {:>7}",
        "all", total[0], total[1], total[2], total[3]
    );
    for (name, reason) in session.missing_data() {
        println!("\n  data set '{name}' is not there: {reason}");
    }
}

/// Reasons, the same one once; each stage where asked for.
fn print_reasons(plan: &Plan, states: &[State], reasons: &HashMap<Key, String>, verbose: bool) {
    if verbose {
        println!();
        for (stage, state) in plan.stages.iter().zip(states) {
            let reason = reasons.get(&stage.key).map_or("", String::as_str);
            println!(
                "  {} {:<8} {}  {reason}",
                stage.key.short(),
                word(state),
                stage.label
            );
        }
        return;
    }
    let mut grouped: BTreeMap<(StageKind, &str), (usize, &str)> = BTreeMap::new();
    for stage in &plan.stages {
        if let Some(reason) = reasons.get(&stage.key) {
            let entry = grouped
                .entry((stage.kind, reason.as_str()))
                .or_insert((0, stage.label.as_str()));
            entry.0 += 1;
        }
    }
    grouped.retain(|(_, reason), _| *reason != "never run");
    if grouped.is_empty() {
        return;
    }
    println!("\n  why");
    const SHOWN: usize = 20;
    for ((kind, reason), (n, label)) in grouped.iter().take(SHOWN) {
        let what = if *n == 1 {
            (*label).to_owned()
        } else {
            format!("{n} x {kind}")
        };
        println!("    {what}: {reason}");
    }
    if grouped.len() > SHOWN {
        println!(
            "    and {} more; --verbose shows every stage",
            grouped.len() - SHOWN
        );
    }
}
