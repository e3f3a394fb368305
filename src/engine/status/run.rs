//! Where a run stands, for people and programs.

use serde::Serialize;

use super::Tracker;
use crate::engine::events::{EngineKind, Entry, Origin, RunFolder};
use crate::engine::{EngineError, Progress, Skipped};
use crate::plan::{Key, Plan, StageKind};
use crate::store::{Failure, Store, unix_now};

/// A stage that runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunningStage {
    /// Its key.
    pub key: Key,
    /// Its kind.
    pub kind: StageKind,
    /// Its name for people.
    pub label: String,
    /// Since when, in seconds since 1970.
    pub since: f64,
    /// The process that runs it.
    pub pid: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How far it said it is.
    pub progress: Option<Progress>,
    /// Seconds left at the speed so far, where it can be told.
    pub left_s: Option<f64>,
}

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// It ended by itself.
    Finished,
    /// It was asked to stop, and did.
    Interrupted,
    /// Its process is gone without having ended it.
    Died,
}

impl RunState {
    /// Name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Died => "died",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStatus {
    /// Name of the run.
    pub run: String,
    /// What runs its stages.
    pub engine: EngineKind,
    /// How it is.
    pub state: RunState,
    /// Begin, in seconds since 1970.
    pub started: f64,
    /// Seconds from the begin to the end, or until now.
    pub wall_s: f64,
    /// Stages that were to run.
    pub total: usize,
    /// Stages that are done, by this run or by others meanwhile.
    pub done: usize,
    /// Stages that were in the store at the begin.
    pub cached: usize,
    /// Stages that failed.
    pub failed: Vec<Failure>,
    /// Stages that could not run because others failed.
    pub skipped: Vec<Skipped>,
    /// Failed and skipped stages that somebody has made since.
    pub mended: Vec<Key>,
    /// Stages that run; empty once the run has ended.
    pub running: Vec<RunningStage>,
}

impl RunStatus {
    /// Status of the run in `folder` by its log alone.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self, EngineError> {
        let mut tracker = Tracker::new(folder.id(), folder.origin()?);
        for entry in &folder.events()? {
            tracker.take(entry);
        }
        Ok(tracker.status(unix_now()))
    }

    /// Status after `events`, at `now` in seconds since 1970, of a run of which nothing else is
    /// known.
    #[must_use]
    pub fn of(run: String, events: &[Entry], now: f64) -> Self {
        let mut tracker = Tracker::new(run, Origin::default());
        for entry in events {
            tracker.take(entry);
        }
        tracker.status(now)
    }

    /// Asks the store what has become of the stages of `plan`, the run's own: it knows what no log
    /// tells, because the run died or others went on with its work.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn compare(&mut self, store: &Store, plan: &Plan) -> Result<(), EngineError> {
        let keys: Vec<(StageKind, &Key)> = self
            .failed
            .iter()
            .map(|failure| (failure.kind, &failure.key))
            .chain(
                self.skipped
                    .iter()
                    .map(|skipped| (skipped.kind, &skipped.key)),
            )
            .collect();
        let mut mended = Vec::new();
        for (kind, key) in keys {
            if store.lookup(kind, key)?.is_cached() {
                mended.push(key.clone());
            }
        }
        self.mended = mended;
        if self.state == RunState::Died {
            let states = store.lookup_all(&plan.stages)?;
            let cached = states.iter().filter(|state| state.is_cached()).count();
            self.done = cached
                .saturating_sub(self.cached)
                .clamp(self.done, self.total);
        }
        Ok(())
    }
}
