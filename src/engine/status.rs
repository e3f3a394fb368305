//! Where a run stands, read from its log of events.

use std::collections::BTreeMap;

use serde::Serialize;

use super::events::{Entry, RunFolder};
use super::{EngineError, Event, Progress};
use crate::plan::{Key, StageKind};
use crate::store::{Failure, host_name, is_running, unix_now};

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
    /// How far it said it is.
    pub progress: Option<Progress>,
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

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStatus {
    /// Name of the run.
    pub run: String,
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
    /// Names of the stages that could not run because others failed.
    pub skipped: Vec<String>,
    /// Stages that run; empty once the run has ended.
    pub running: Vec<RunningStage>,
}

impl RunStatus {
    /// Status of the run in `folder`.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self, EngineError> {
        Ok(Self::of(folder.id(), &folder.events()?, unix_now()))
    }

    /// Status after `events`, at `now` in seconds since 1970.
    #[must_use]
    pub fn of(run: String, events: &[Entry], now: f64) -> Self {
        let started = events.first().map_or(now, |entry| entry.time);
        let mut status = Self {
            run,
            state: RunState::Running,
            started,
            wall_s: now - started,
            total: 0,
            done: 0,
            cached: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
            running: Vec::new(),
        };
        let mut running: BTreeMap<&Key, RunningStage> = BTreeMap::new();
        let mut dispatcher = None;
        for entry in events {
            match &entry.event {
                Event::RunStarted {
                    pid,
                    host,
                    cached,
                    to_run,
                    ..
                } => {
                    dispatcher = Some((*pid, host));
                    status.cached = *cached;
                    status.total = to_run.iter().map(|kind| kind.count).sum();
                }
                Event::Started {
                    key, kind, label, ..
                } => {
                    let stage = RunningStage {
                        key: key.clone(),
                        kind: *kind,
                        label: label.clone(),
                        since: entry.time,
                        progress: None,
                    };
                    running.insert(key, stage);
                }
                Event::Progress { key, progress } => {
                    if let Some(stage) = running.get_mut(key) {
                        stage.progress = Some(progress.clone());
                    }
                }
                Event::Done { key, .. } | Event::Cached { key, .. } => {
                    running.remove(key);
                    status.done += 1;
                }
                Event::Failed { failure } => {
                    running.remove(&failure.key);
                    status.failed.push(failure.clone());
                }
                Event::Skipped { label, .. } => status.skipped.push(label.clone()),
                Event::Retrying { key, .. } | Event::Stopped { key } => {
                    running.remove(key);
                }
                Event::RunFinished {
                    interrupted,
                    wall_s,
                    ..
                } => {
                    status.wall_s = *wall_s;
                    status.state = if *interrupted {
                        RunState::Interrupted
                    } else {
                        RunState::Finished
                    };
                    running.clear();
                }
                Event::Note { .. } | Event::SetAside { .. } | Event::Waiting { .. } => {}
            }
        }
        // Of a process on another machine nothing can be told from here.
        let is_gone = match dispatcher {
            Some((pid, host)) => *host == host_name() && !is_running(pid),
            None => false,
        };
        if status.state == RunState::Running && is_gone {
            status.state = RunState::Died;
            status.wall_s = events.last().map_or(0.0, |entry| entry.time - started);
            running.clear();
        }
        status.running = running.into_values().collect();
        status.running.sort_by(|a, b| a.label.cmp(&b.label));
        status
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::KindCount;
    use super::*;
    use serde_json::json;

    fn log(pid: u32) -> Vec<Entry> {
        let key = |name: &str| Key::of(&json!(name));
        let started = |name: &str| Event::Started {
            key: key(name),
            kind: StageKind::Pretrain,
            label: name.to_owned(),
            pid: 2,
            attempt: 1,
        };
        let events = [
            Event::RunStarted {
                pid,
                host: host_name(),
                stages: 5,
                cached: 2,
                to_run: vec![KindCount {
                    kind: StageKind::Pretrain,
                    count: 3,
                }],
            },
            started("a"),
            started("b"),
            Event::Progress {
                key: key("b"),
                progress: Progress {
                    epoch: Some(2),
                    ..Progress::default()
                },
            },
            Event::Done {
                key: key("a"),
                kind: StageKind::Pretrain,
                label: "a".to_owned(),
                wall_s: 1.0,
            },
        ];
        (0..)
            .zip(events)
            .map(|(i, event)| Entry {
                time: 100.0 + f64::from(i),
                event,
            })
            .collect()
    }

    #[test]
    fn a_log_tells_what_runs() {
        let status = RunStatus::of("r".to_owned(), &log(std::process::id()), 110.0);
        assert_eq!(status.state, RunState::Running);
        assert_eq!((status.total, status.done, status.cached), (3, 1, 2));
        assert_eq!(status.wall_s, 10.0);
        assert_eq!(status.running.len(), 1);
        assert_eq!(status.running[0].label, "b");
        let progress = status.running[0].progress.as_ref().unwrap();
        assert_eq!(progress.epoch, Some(2));
    }

    #[test]
    fn a_run_whose_process_is_gone_died() {
        let status = RunStatus::of("r".to_owned(), &log(0), 110.0);
        assert_eq!(status.state, RunState::Died);
        assert_eq!(status.wall_s, 4.0);
        assert!(status.running.is_empty());
    }

    #[test]
    fn an_ended_run_says_how() {
        let mut log = log(0);
        log.push(Entry {
            time: 105.0,
            event: Event::RunFinished {
                ran: 1,
                cached: 2,
                failed: 0,
                skipped: 0,
                interrupted: true,
                wall_s: 5.0,
            },
        });
        let status = RunStatus::of("r".to_owned(), &log, 110.0);
        assert_eq!(status.state, RunState::Interrupted);
        assert_eq!(status.wall_s, 5.0);
    }
}
