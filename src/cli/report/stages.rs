//! Stages with their records.

use rayon::prelude::*;

use crate::cli::exit::CliError;
use crate::plan::{Plan, Stage};
use crate::report::html::{StageFact, StageState};
use crate::store::{Provenance, State, Store};

/// All stages of `plan`, inputs first.
pub(super) fn facts(store: &Store, plan: &Plan) -> Result<Vec<StageFact>, CliError> {
    let states = store.lookup_all(&plan.stages).map_err(CliError::internal)?;
    Ok(plan
        .stages
        .par_iter()
        .zip(states)
        .map(|(stage, state)| fact(store, stage, state))
        .collect())
}

fn fact(store: &Store, stage: &Stage, state: State) -> StageFact {
    let (state, reason) = match state {
        State::Cached => (StageState::Done, None),
        State::Running { holder } => (StageState::Running, Some(holder.to_string())),
        State::Failed { failure } => (StageState::Failed, Some(failure.message)),
        State::Damaged { reason } => (StageState::Missing, Some(format!("damaged: {reason}"))),
        State::Missing => (StageState::Missing, None),
    };
    let record = match state {
        StageState::Done => store
            .artifact(stage.kind, &stage.key)
            .ok()
            .map(|a| a.record),
        // Imported without its artifact: where it comes from is known all the same.
        _ => store.lineage(stage.kind, &stage.key).ok().flatten(),
    };
    let bytes = record.as_ref().map_or(0, |r| r.bytes());
    let made = record.map_or_else(Provenance::default, |r| r.provenance);
    StageFact {
        key: stage.key.to_string(),
        kind: stage.kind.name(),
        label: stage.label.clone(),
        state,
        reason,
        inputs: stage.inputs.iter().map(|i| i.key.to_string()).collect(),
        wall_s: (!made.started.is_empty()).then_some(made.wall_s),
        started: made.started,
        host: made.host,
        device: made.device,
        version: made.version,
        commit: made.commit,
        threads: made.threads,
        peak_memory: made.peak_memory_bytes,
        attempts: made.attempts,
        bytes,
    }
}
