//! The process that runs one key of a frozen plan. The same command is what a scheduler runs.

use std::path::Path;

use super::events::{JsonLines, read_plan};
use super::execute::{self, Execution, KnownInput, Setting};
use super::panics::Watch;
use super::stop::INTERRUPTED;
use super::{EngineError, Event, EventSink, RunStage, Stop};
use crate::plan::{Key, Plan, Stage};
use crate::store::{FailureKind, Store};

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerExit {
    /// The artifact is in the store.
    Done,
    /// The stage failed.
    Failed,
    /// The stage failed for want of valid data.
    Data,
    /// Another process makes the artifact now.
    Claimed,
    /// It was asked to stop; a later worker goes on from the checkpoint.
    Stopped,
}

impl WorkerExit {
    const ALL: [Self; 5] = [
        Self::Done,
        Self::Failed,
        Self::Data,
        Self::Claimed,
        Self::Stopped,
    ];

    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 3,
            Self::Data => 4,
            // EX_TEMPFAIL of sysexits.h: try again later.
            Self::Claimed => 75,
            Self::Stopped => INTERRUPTED,
        }
    }

    /// What the exit code `code` of a worker means, if it is one of a worker.
    pub(super) fn of_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }
}

/// Runs the stage `key` of the plan frozen in `plan`, in this process, telling its events as JSON
/// lines on standard output. Signals ask the stage to stop, and so does a standard output that
/// nobody reads any more.
///
/// # Errors
/// The plan cannot be read or does not hold the stage or its inputs.
pub fn work(
    plan: &Path,
    key: &Key,
    store: &Store,
    runner: &dyn RunStage,
) -> Result<WorkerExit, EngineError> {
    let frozen = read_plan(plan)?;
    let stage = frozen.get(key).ok_or_else(|| EngineError::UnknownKey {
        path: plan.to_owned(),
        key: key.clone(),
    })?;
    let inputs = known_inputs(&frozen, stage)?;
    let stop = Stop::on_signals().child();
    let sink = JsonLines::new(&stop);
    let setting = Setting {
        store,
        runner,
        sink: &sink,
        stop: &stop,
        threads: rayon::current_num_threads(),
        watch: Watch { id: 0, print: true },
        alone: true,
    };
    let (event, exit) = match execute::execute(stage, &inputs, &setting) {
        Execution::Ran { wall_s } => (
            Event::Done {
                key: key.clone(),
                kind: stage.kind,
                label: stage.label.clone(),
                wall_s,
            },
            WorkerExit::Done,
        ),
        Execution::Cached => (
            Event::Cached {
                key: key.clone(),
                kind: stage.kind,
                label: stage.label.clone(),
            },
            WorkerExit::Done,
        ),
        Execution::Claimed { holder } => (
            Event::Waiting {
                key: key.clone(),
                label: stage.label.clone(),
                holder,
            },
            WorkerExit::Claimed,
        ),
        Execution::Failed(failure) => {
            let exit = match failure.failure {
                FailureKind::Data => WorkerExit::Data,
                _ => WorkerExit::Failed,
            };
            (Event::Failed { failure: *failure }, exit)
        }
        Execution::Stopped => (Event::Stopped { key: key.clone() }, WorkerExit::Stopped),
    };
    sink.emit(&event);
    Ok(exit)
}

/// What `stage` reads, with the kinds of the stages that make it.
pub(super) fn known_inputs(plan: &Plan, stage: &Stage) -> Result<Vec<KnownInput>, EngineError> {
    stage
        .inputs
        .iter()
        .map(|input| {
            let made_by = plan.get(&input.key).ok_or_else(|| EngineError::Input {
                label: stage.label.clone(),
                input: input.key.clone(),
            })?;
            Ok(KnownInput {
                role: input.role.clone(),
                kind: made_by.kind,
                key: input.key.clone(),
            })
        })
        .collect()
}
