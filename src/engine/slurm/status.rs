//! Where the stages of a run stand: by the store what is done, failed or being made, by the queue
//! what is still to come, and by neither what was lost.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::journal::{self, Record};
use super::queue::{JobState, Place, QueuedJob};
use crate::engine::events::RunFolder;
use crate::engine::{EngineError, RunState, RunStatus, Skipped, Tracker};
use crate::plan::{Key, Plan, Stage, StageKind};
use crate::store::{Failure, State, Store, unix_now};

/// How a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its artifact is in the store.
    Done,
    /// Somebody makes it now.
    Running,
    /// Its job waits, or runs and has not come to it yet.
    Pending,
    /// It failed.
    Failed,
    /// It cannot run because another stage failed or was lost.
    Skipped,
    /// There is neither a record of it nor a job for it: it was cancelled, it was never submitted,
    /// or its node went with it. `retry` submits it again.
    Lost,
}

/// A stage of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageStatus {
    /// Its key.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// How it stands.
    pub state: Standing,
    /// Its job, `12` or `12_3`, while it is in the queue.
    pub job: Option<String>,
    /// Where it runs.
    pub node: Option<String>,
    /// Why it waits, in Slurm's word.
    pub reason: Option<String>,
}

/// The stages of a run on Slurm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobsStatus {
    /// Stages in the plan's order.
    pub stages: Vec<StageStatus>,
    #[serde(skip)]
    cancelled: bool,
    #[serde(skip)]
    failures: Vec<Failure>,
    #[serde(skip)]
    skipped: Vec<Skipped>,
}

impl JobsStatus {
    /// Where the run in `folder`, with its own `plan` and begun at `since` (seconds since 1970),
    /// stands by `store` and `queue`.
    ///
    /// # Errors
    /// The journal or the store cannot be read.
    pub fn read(
        folder: &RunFolder,
        plan: &Plan,
        since: f64,
        store: &Store,
        queue: &[QueuedJob],
    ) -> Result<Self, EngineError> {
        let records = journal::read(folder)?;
        let keys = keys(&records);
        let live = journal::live(store, queue)?;
        let jobs: HashMap<&Place, &QueuedJob> = queue.iter().map(|j| (&j.place, j)).collect();
        let mut status = Self {
            stages: Vec::new(),
            cancelled: records.contains(&Record::Cancelled),
            failures: Vec::new(),
            skipped: Vec::new(),
        };
        // What is in the way of each stage that cannot run.
        let mut causes: HashMap<&Key, Key> = HashMap::new();
        for stage in plan.stages.iter().filter(|stage| keys.contains(&stage.key)) {
            let job = live
                .get(&stage.key)
                .and_then(|place| jobs.get(place))
                .copied();
            let state = store.lookup(stage.kind, &stage.key)?;
            let standing = match (&state, job) {
                (State::Cached, _) => Standing::Done,
                (State::Running { .. }, _) => Standing::Running,
                (_, Some(_)) => Standing::Pending,
                (State::Failed { failure }, None) if failure.when_unix >= since => {
                    status.failures.push((**failure).clone());
                    causes.insert(&stage.key, stage.key.clone());
                    Standing::Failed
                }
                (_, None) => status.without_job(stage, &mut causes),
            };
            status.stages.push(entry(stage, standing, &state, job));
        }
        Ok(status)
    }

    /// A stage that nobody makes or will make.
    fn without_job<'p>(
        &mut self,
        stage: &'p Stage,
        causes: &mut HashMap<&'p Key, Key>,
    ) -> Standing {
        let cause = stage
            .inputs
            .iter()
            .find_map(|input| causes.get(&input.key))
            .cloned();
        let Some(because) = cause else {
            causes.insert(&stage.key, stage.key.clone());
            return Standing::Lost;
        };
        causes.insert(&stage.key, because.clone());
        self.skipped.push(Skipped {
            key: stage.key.clone(),
            kind: stage.kind,
            label: stage.label.clone(),
            because,
        });
        Standing::Skipped
    }

    /// How many stages stand so.
    #[must_use]
    pub fn count(&self, standing: Standing) -> usize {
        self.stages
            .iter()
            .filter(|stage| stage.state == standing)
            .count()
    }

    /// The stages that stand so.
    #[must_use]
    pub fn keys(&self, standing: Standing) -> Vec<Key> {
        let so = self.stages.iter().filter(|stage| stage.state == standing);
        so.map(|stage| stage.key.clone()).collect()
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.count(Standing::Running) + self.count(Standing::Pending) == 0
    }

    /// Puts what store and queue know over what the log of the run told.
    fn correct(&self, status: &mut RunStatus, latest: f64) {
        status.total = self.stages.len();
        status.done = self.count(Standing::Done);
        status.failed.clone_from(&self.failures);
        status.skipped.clone_from(&self.skipped);
        let running: HashSet<&Key> = self
            .stages
            .iter()
            .filter(|stage| stage.state == Standing::Running)
            .map(|stage| &stage.key)
            .collect();
        status.running.retain(|stage| running.contains(&stage.key));
        if status.state == RunState::Running && self.is_over() {
            status.state = match self.count(Standing::Lost) {
                0 => RunState::Finished,
                _ if self.cancelled => RunState::Interrupted,
                _ => RunState::Died,
            };
            status.wall_s = (latest - status.started).max(0.0);
        }
    }
}

/// Where the run in `folder` stands, as a whole and stage by stage.
///
/// # Errors
/// Its files or the store cannot be read.
pub fn run_status(
    folder: &RunFolder,
    plan: &Plan,
    store: &Store,
    queue: &[QueuedJob],
) -> Result<(RunStatus, JobsStatus), EngineError> {
    let mut tracker = Tracker::new(folder.id(), folder.origin()?);
    let events = folder.events()?;
    for entry in &events {
        tracker.take(entry);
    }
    let mut status = tracker.status(unix_now());
    let jobs = JobsStatus::read(folder, plan, status.started, store, queue)?;
    let latest = events.last().map_or(status.started, |entry| entry.time);
    jobs.correct(&mut status, latest);
    Ok((status, jobs))
}

/// The stages that a run is about.
fn keys(records: &[Record]) -> HashSet<Key> {
    records
        .iter()
        .flat_map(|record| match record {
            Record::Planned { tasks, .. } => tasks.iter().flat_map(|t| t.keys.clone()).collect(),
            Record::Adopted { keys, .. } => keys.clone(),
            Record::Submitted { .. } | Record::Cancelled => Vec::new(),
        })
        .collect()
}

fn entry(stage: &Stage, standing: Standing, state: &State, job: Option<&QueuedJob>) -> StageStatus {
    let (node, reason) = match (standing, state, job) {
        (Standing::Running, State::Running { holder }, job) => {
            let node = job.map(|j| j.nodes.clone()).filter(|n| !n.is_empty());
            (Some(node.unwrap_or_else(|| holder.host.clone())), None)
        }
        (Standing::Pending, _, Some(job)) if job.state == JobState::Running => {
            (Some(job.nodes.clone()), Some("its job runs".to_owned()))
        }
        (Standing::Pending, _, Some(job)) => (None, Some(job.reason.clone())),
        _ => (None, None),
    };
    StageStatus {
        key: stage.key.clone(),
        kind: stage.kind,
        label: stage.label.clone(),
        state: standing,
        job: match standing {
            Standing::Running | Standing::Pending => job.map(|j| j.place.to_string()),
            _ => None,
        },
        node,
        reason,
    }
}
