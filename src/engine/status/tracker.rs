//! The state of a run after each of its events: constant work for each, however long the log.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{RunState, RunStatus, RunningStage};
use crate::engine::events::{EngineKind, Entry, Origin};
use crate::engine::{Event, Progress, RunReport, Skipped};
use crate::plan::{Key, StageKind};
use crate::store::{Failure, Store, host_name, is_running};

/// How many stages have come to what end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To run.
    pub total: usize,
    /// In the store now.
    pub done: usize,
    /// Failed.
    pub failed: usize,
    /// Cannot run because others failed.
    pub skipped: usize,
}

impl Counts {
    /// Those that have come to an end.
    #[must_use]
    pub fn ended(self) -> usize {
        self.done + self.failed + self.skipped
    }

    /// `1 failed, 3 skipped`, or nothing.
    #[must_use]
    pub fn trouble(self) -> String {
        let mut words = Vec::new();
        if self.failed > 0 {
            words.push(format!("{} failed", self.failed));
        }
        if self.skipped > 0 {
            words.push(format!("{} skipped", self.skipped));
        }
        words.join(", ")
    }
}

/// A stage that runs, and how fast.
#[derive(Debug)]
struct Running {
    kind: StageKind,
    label: String,
    since: f64,
    pid: u32,
    attempt: u32,
    progress: Option<Progress>,
    /// When it first told a fraction, and which: a resumed training does not begin at zero.
    first: Option<(f64, f64)>,
    /// When it last told one.
    last: Option<(f64, f64)>,
}

impl Running {
    fn update(&mut self, progress: &Progress, time: f64) {
        if let Some(fraction) = progress.fraction() {
            self.first.get_or_insert((time, fraction));
            self.last = Some((time, fraction));
        }
        self.progress = Some(progress.clone());
    }

    /// Seconds left at the speed so far.
    fn left(&self, now: f64) -> Option<f64> {
        let ((start, first), (told, last)) = (self.first?, self.last?);
        let gained = last - first;
        if gained <= 0.0 || told <= start {
            return None;
        }
        let left = (told - start) * (1.0 - last) / gained;
        Some((left - (now - told)).max(0.0))
    }

    fn status(&self, key: &Key, now: f64) -> RunningStage {
        RunningStage {
            key: key.clone(),
            kind: self.kind,
            label: self.label.clone(),
            since: self.since,
            pid: self.pid,
            attempt: self.attempt,
            progress: self.progress.clone(),
            left_s: self.left(now),
        }
    }
}

/// Follows a run from its first event on.
#[derive(Debug)]
pub struct Tracker {
    run: String,
    origin: Origin,
    dispatcher: Option<(u32, String)>,
    started: Option<f64>,
    latest: f64,
    end: Option<(RunState, f64)>,
    total: usize,
    cached: usize,
    ran: HashSet<Key>,
    /// Made by others meanwhile.
    others: HashSet<Key>,
    failed: HashMap<Key, Failure>,
    skipped: HashMap<Key, Skipped>,
    running: HashMap<Key, Running>,
}

impl Tracker {
    /// A tracker of the run named `run` before its first event.
    #[must_use]
    pub fn new(run: String, origin: Origin) -> Self {
        Self {
            run,
            origin,
            dispatcher: None,
            started: None,
            latest: 0.0,
            end: None,
            total: 0,
            cached: 0,
            ran: HashSet::new(),
            others: HashSet::new(),
            failed: HashMap::new(),
            skipped: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// Takes in the next event.
    pub fn take(&mut self, entry: &Entry) {
        self.started.get_or_insert(entry.time);
        self.latest = self.latest.max(entry.time);
        match &entry.event {
            Event::RunStarted {
                pid,
                host,
                cached,
                to_run,
                ..
            } => {
                self.dispatcher = Some((*pid, host.clone()));
                self.cached = *cached;
                self.total = to_run.iter().map(|kind| kind.count).sum();
                self.end = None;
            }
            Event::Started {
                key,
                kind,
                label,
                pid,
                attempt,
            } => {
                // It is tried again: what became of it before is no longer so.
                self.failed.remove(key);
                self.skipped.remove(key);
                let running = Running {
                    kind: *kind,
                    label: label.clone(),
                    since: entry.time,
                    pid: *pid,
                    attempt: *attempt,
                    progress: None,
                    first: None,
                    last: None,
                };
                self.running.insert(key.clone(), running);
            }
            Event::Progress { key, progress } => {
                if let Some(running) = self.running.get_mut(key) {
                    running.update(progress, entry.time);
                }
            }
            Event::Done { key, .. } => {
                self.settle(key);
                self.others.remove(key);
                self.ran.insert(key.clone());
            }
            Event::Cached { key, .. } => {
                self.settle(key);
                // Who looks again at what the run has made says so too.
                if !self.ran.contains(key) {
                    self.others.insert(key.clone());
                }
            }
            Event::Failed { failure } => {
                self.running.remove(&failure.key);
                self.failed.insert(failure.key.clone(), failure.clone());
            }
            Event::Skipped {
                key,
                kind,
                label,
                because,
            } => {
                let skipped = Skipped {
                    key: key.clone(),
                    kind: *kind,
                    label: label.clone(),
                    because: because.clone(),
                };
                self.skipped.insert(key.clone(), skipped);
            }
            Event::Retrying { key, .. } | Event::Stopped { key } => {
                self.running.remove(key);
            }
            Event::RunFinished {
                interrupted,
                wall_s,
                ..
            } => {
                let state = if *interrupted {
                    RunState::Interrupted
                } else {
                    RunState::Finished
                };
                self.end = Some((state, *wall_s));
                self.running.clear();
            }
            Event::Note { .. } | Event::SetAside { .. } | Event::Waiting { .. } => {}
        }
    }

    fn settle(&mut self, key: &Key) {
        self.running.remove(key);
        self.failed.remove(key);
        self.skipped.remove(key);
    }

    /// How many stages have come to what end.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            total: self.total,
            done: self.ran.len() + self.others.len(),
            failed: self.failed.len(),
            skipped: self.skipped.len(),
        }
    }

    /// Kind and name of a stage that runs.
    #[must_use]
    pub fn running(&self, key: &Key) -> Option<(StageKind, &str)> {
        self.running
            .get(key)
            .map(|running| (running.kind, running.label.as_str()))
    }

    /// Where a running stage stands at `now`.
    #[must_use]
    pub fn stage(&self, key: &Key, now: f64) -> Option<RunningStage> {
        self.running
            .get(key)
            .map(|running| running.status(key, now))
    }

    /// The stages that run, by name.
    #[must_use]
    pub fn stages(&self, now: f64) -> Vec<RunningStage> {
        let mut running: Vec<RunningStage> = self
            .running
            .iter()
            .map(|(key, running)| running.status(key, now))
            .collect();
        running.sort_by(|a, b| a.label.cmp(&b.label));
        running
    }

    /// Seconds since the run began, at `now`.
    #[must_use]
    pub fn wall(&self, now: f64) -> f64 {
        now - self.started.unwrap_or(now)
    }

    /// Whether the run has told its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// How the run is. Of a process on another machine nothing can be told from here, and a run
    /// without a dispatcher cannot lose it.
    #[must_use]
    pub fn state(&self) -> RunState {
        if let Some((state, _)) = self.end {
            return state;
        }
        let is_alive = match (&self.origin.process, &self.dispatcher) {
            _ if self.origin.engine == EngineKind::Slurm => true,
            (Some(process), _) => process.is_alive().unwrap_or(true),
            (None, Some((pid, host))) => *host != host_name() || is_running(*pid),
            (None, None) => true,
        };
        if is_alive {
            RunState::Running
        } else {
            RunState::Died
        }
    }

    /// What failed, in order of time.
    fn failed(&self) -> Vec<Failure> {
        let mut failed: Vec<Failure> = self.failed.values().cloned().collect();
        failed.sort_by(|a, b| {
            let order = a.when_unix.total_cmp(&b.when_unix);
            order.then_with(|| a.label.cmp(&b.label))
        });
        failed
    }

    /// What was skipped, by name.
    fn skipped(&self) -> Vec<Skipped> {
        let mut skipped: Vec<Skipped> = self.skipped.values().cloned().collect();
        skipped.sort_by(|a, b| a.label.cmp(&b.label));
        skipped
    }

    /// What the run has come to, as the process that dispatched it says it.
    #[must_use]
    pub fn report(&self, store: &Store) -> RunReport {
        let counts = self.counts();
        let wall_s = self
            .end
            .map_or(self.latest - self.started.unwrap_or(0.0), |(_, s)| s);
        RunReport {
            ran: self.ran.iter().cloned().collect(),
            cached: self.cached + self.others.len(),
            failed: self.failed(),
            skipped: self.skipped(),
            unfinished: counts.total.saturating_sub(counts.ended()),
            interrupted: matches!(self.end, Some((RunState::Interrupted, _))),
            wall: Duration::try_from_secs_f64(wall_s).unwrap_or_default(),
            failures: store.paths().failures(),
            ..RunReport::default()
        }
    }

    /// Where the run stands at `now`, in seconds since 1970.
    #[must_use]
    pub fn status(&self, now: f64) -> RunStatus {
        let state = self.state();
        let started = self.started.unwrap_or(now);
        let wall_s = match (self.end, state) {
            (Some((_, wall_s)), _) => wall_s,
            (None, RunState::Died) => self.latest - started,
            (None, _) => now - started,
        };
        RunStatus {
            run: self.run.clone(),
            engine: self.origin.engine,
            state,
            started,
            wall_s,
            total: self.total,
            done: self.ran.len() + self.others.len(),
            cached: self.cached,
            failed: self.failed(),
            skipped: self.skipped(),
            mended: Vec::new(),
            running: match state {
                RunState::Running => self.stages(now),
                _ => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::KindCount;
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
    fn time_left_counts_from_where_a_resumed_training_began() {
        let key = Key::of(&json!("a"));
        let mut tracker = Tracker::new("r".to_owned(), Origin::default());
        let mut take = |time: f64, event: Event| {
            tracker.take(&Entry { time, event });
            tracker.stage(&key, time + 4.0).unwrap().left_s
        };
        let at = |step| Event::Progress {
            key: key.clone(),
            progress: Progress {
                step: Some(step),
                steps: Some(100),
                ..Progress::default()
            },
        };
        let started = Event::Started {
            key: key.clone(),
            kind: StageKind::Pretrain,
            label: "a".to_owned(),
            pid: 2,
            attempt: 2,
        };
        assert_eq!(take(0.0, started), None);
        assert_eq!(take(5.0, at(50)), None);
        // A quarter in ten seconds; four of the next ten have passed.
        assert_eq!(take(15.0, at(75)), Some(6.0));
    }

    #[test]
    fn a_stage_that_is_tried_again_has_not_failed() {
        let mut events = log(std::process::id());
        let key = Key::of(&json!("b"));
        let mut failed = |time| {
            events.push(Entry {
                time,
                event: Event::Failed {
                    failure: Failure {
                        key: key.clone(),
                        kind: StageKind::Pretrain,
                        label: "b".to_owned(),
                        failure: crate::store::FailureKind::Died,
                        message: "killed".to_owned(),
                        log: Vec::new(),
                        log_file: None,
                        checkpoint: None,
                        when: String::new(),
                        when_unix: time,
                        host: String::new(),
                    },
                },
            });
            RunStatus::of("r".to_owned(), &events, 120.0)
        };
        let status = failed(106.0);
        assert_eq!((status.failed.len(), status.running.len()), (1, 0));
        events.push(Entry {
            time: 107.0,
            event: Event::Started {
                key: key.clone(),
                kind: StageKind::Pretrain,
                label: "b".to_owned(),
                pid: 2,
                attempt: 2,
            },
        });
        let status = RunStatus::of("r".to_owned(), &events, 120.0);
        assert_eq!((status.failed.len(), status.running.len()), (0, 1));
        assert_eq!(status.running[0].attempt, 2);
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
