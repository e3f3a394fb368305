//! The rehearsal itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::attempt::{Point, Workers};
use super::compare::Outcome;
use super::scratch::lend;
use crate::engine::{EngineError, EventSink, LocalOptions, RunReport, RunStage, local};
use crate::plan::{Key, Plan, Stage, StageKind};
use crate::random::{hash, uniform};
use crate::store::{Store, StoreError};

/// How often a training is started anew that was over before it could be killed.
const TRIES: u64 = 5;

/// What keeps a rehearsal from its end.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The undisturbed run did not come to its end.
    #[error("the undisturbed run did not come to its end:\n{0}")]
    Undisturbed(String),
    /// A worker failed by itself.
    #[error("{label} failed: {reason} (log: {})", log.display())]
    Failed {
        /// Its name.
        label: String,
        /// Why.
        reason: String,
        /// What it wrote.
        log: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("stopped")]
    Stopped,
}

/// A kill, and how the training went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Kill {
    /// The last step that was heard of before the kill.
    pub at: Point,
    /// The first step of the next attempt.
    pub then: Option<Point>,
}

impl Kill {
    /// Whether the next attempt did what had been done and kept again: a checkpoint was lost.
    fn lost_a_checkpoint(&self) -> bool {
        // A step is told before its checkpoint is written, so it may be done again.
        self.then.is_some_and(|then| then.done() < self.at.done())
    }
}

/// What is rehearsed, and where.
pub struct Rehearsal<'a> {
    /// The plan, whole.
    pub plan: &'a Plan,
    /// A store whose artifacts serve as inputs. It is only read.
    pub cached: &'a Store,
    /// Folder for two stores of the rehearsal's own.
    pub scratch: &'a Path,
    /// Runs cheap stages that are missing.
    pub runner: &'a dyn RunStage,
    /// Slots, program, arguments of workers.
    pub options: &'a LocalOptions,
    /// Kills of each training.
    pub kills: usize,
    /// Seed of their places.
    pub seed: u64,
}

impl Rehearsal<'_> {
    /// Rehearses the stages at `trainings`, and scores every fine-tuned one of them. `told` hears
    /// of each as it is done.
    ///
    /// # Errors
    /// See [`RehearsalError`]; that files differ is none.
    pub fn play(
        &self,
        trainings: &[usize],
        events: &dyn EventSink,
        told: &mut dyn FnMut(&Outcome),
    ) -> Result<Vec<Outcome>, RehearsalError> {
        let wanted = self.wanted(trainings);
        let plan = self.part(&wanted);
        let quiet = Store::open(self.scratch.join("undisturbed"))?;
        let killed = Store::open(self.scratch.join("killed"))?;
        quiet.create()?;
        killed.create()?;
        let inputs = || plan.stages.iter().filter(|s| !wanted.contains(&s.key));
        for stage in inputs() {
            lend(stage, self.cached, &quiet)?;
        }
        let report = local::run(&plan, &quiet, self.options, self.runner, events)?;
        complete(&report)?;
        for stage in inputs() {
            lend(stage, &quiet, &killed)?;
        }

        let file = self.scratch.join("plan.json");
        let text = serde_json::to_vec(&plan).map_err(|e| EngineError::Plan {
            path: file.clone(),
            reason: e.to_string(),
        })?;
        std::fs::write(&file, text).map_err(StoreError::writing("write", &file))?;
        let log = self.scratch.join("killed.log");
        let workers = Workers {
            exe: &self.options.exe,
            args: &self.options.worker_args,
            plan: &file,
            store: killed.paths().root(),
            threads: self.options.threads_per_job * self.options.jobs,
            log: &log,
            stop: &self.options.stop,
        };
        let mut outcomes = Vec::new();
        for stage in plan.stages.iter().filter(|s| wanted.contains(&s.key)) {
            let kills = if stage.kind.is_training() {
                self.survive(stage, &workers, &killed)?
            } else {
                workers.attempt(stage, None)?;
                Vec::new()
            };
            let mut outcome = Outcome::of(stage, kills, &quiet, &killed)?;
            if stage.kind.is_training() {
                outcome.differs.extend(self.complaints(&outcome.kills));
            }
            told(&outcome);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Keys of the trainings and of the scores of those that are fine-tuned.
    fn wanted(&self, trainings: &[usize]) -> HashSet<Key> {
        let stages = &self.plan.stages;
        let mut wanted: HashSet<Key> = trainings.iter().map(|&i| stages[i].key.clone()).collect();
        let scores = stages.iter().filter(|s| {
            s.kind == StageKind::Evaluate && s.input("model").is_some_and(|m| wanted.contains(m))
        });
        let scores: Vec<Key> = scores.map(|s| s.key.clone()).collect();
        wanted.extend(scores);
        wanted
    }

    /// The part of the plan that makes `wanted`.
    fn part(&self, wanted: &HashSet<Key>) -> Plan {
        let mut needed = wanted.clone();
        for stage in self.plan.stages.iter().rev() {
            if needed.contains(&stage.key) {
                needed.extend(stage.inputs.iter().map(|input| input.key.clone()));
            }
        }
        let stages = self.plan.stages.iter();
        Plan {
            stages: stages
                .filter(|s| needed.contains(&s.key))
                .cloned()
                .collect(),
        }
    }

    /// Runs a training that is killed again and again, to its end.
    fn survive(
        &self,
        stage: &Stage,
        workers: &Workers<'_>,
        store: &Store,
    ) -> Result<Vec<Kill>, RehearsalError> {
        for attempt in 0..TRIES {
            let mut kills: Vec<Kill> = Vec::new();
            let mut over = false;
            for share in self.shares(&stage.key, attempt) {
                let ended = workers.attempt(stage, Some(share))?;
                went_on(&mut kills, ended.first);
                match ended.killed {
                    Some(at) => kills.push(Kill { at, then: None }),
                    None => {
                        over = true;
                        break;
                    }
                }
            }
            if !over {
                let ended = workers.attempt(stage, None)?;
                went_on(&mut kills, ended.first);
            }
            if !kills.is_empty() || self.kills == 0 || attempt + 1 == TRIES {
                return Ok(kills);
            }
            store.remove(stage.kind, &stage.key)?;
        }
        Ok(Vec::new())
    }

    /// After which shares of its steps a training is killed, in order.
    fn shares(&self, key: &Key, attempt: u64) -> Vec<f64> {
        let digits = key.as_str().get(..16).unwrap_or_default();
        let key = u64::from_str_radix(digits, 16).unwrap_or_default();
        let mut shares: Vec<f64> = (0..self.kills as u64)
            .map(|k| uniform(hash(&[self.seed, key, attempt, k])))
            .collect();
        shares.sort_by(f64::total_cmp);
        shares
    }

    /// What is wrong with how a training was killed.
    fn complaints(&self, kills: &[Kill]) -> Vec<String> {
        let mut found: Vec<String> = kills
            .iter()
            .filter(|kill| kill.lost_a_checkpoint())
            .filter_map(|kill| {
                Some(format!(
                    "killed at {}, it went on at {}",
                    kill.at, kill.then?
                ))
            })
            .collect();
        if kills.is_empty() && self.kills > 0 {
            found.push("it was over before it could be killed".to_owned());
        }
        found
    }
}

/// Notes the first step after the last kill.
fn went_on(kills: &mut [Kill], first: Option<Point>) {
    if let Some(kill) = kills.last_mut() {
        kill.then = first;
    }
}

fn complete(report: &RunReport) -> Result<(), RehearsalError> {
    if report.interrupted {
        return Err(RehearsalError::Stopped);
    }
    if !report.is_complete() {
        return Err(RehearsalError::Undisturbed(report.summary()));
    }
    Ok(())
}
