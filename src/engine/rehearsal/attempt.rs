//! One worker, killed when it comes to a given part of its training.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::RehearsalError;
use crate::engine::events::Entry;
use crate::engine::{Event, Progress, Stop};
use crate::plan::Stage;
use crate::store::StoreError;

/// A step of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Step of it, from 1.
    pub step: u64,
    /// Steps of an epoch.
    #[serde(skip)]
    pub(super) steps: u64,
    /// Epochs of the training.
    #[serde(skip)]
    pub(super) epochs: u64,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {} step {}", self.epoch, self.step)
    }
}

impl Point {
    fn of(progress: &Progress) -> Option<Self> {
        Some(Self {
            epoch: progress.epoch?,
            step: progress.step?,
            steps: progress.steps?,
            epochs: progress.epochs?,
        })
    }

    /// Steps of the whole training that are done.
    pub(super) fn done(&self) -> u64 {
        (self.epoch - 1) * self.steps + self.step
    }

    /// Whether a training that is to be killed after this share of its steps has come so far. The
    /// first step has no checkpoint before it and the last has nothing after it: neither is meant.
    fn is_past(&self, share: f64) -> bool {
        let total = self.epochs * self.steps;
        let last = total.saturating_sub(1).max(1);
        let target = ((share * total as f64) as u64).clamp(2.min(last), last);
        self.done() >= target
    }
}

/// What came of a worker.
pub(super) struct Ended {
    /// The first step that it told of.
    pub first: Option<Point>,
    /// The step at which it was killed; none where it came to its end.
    pub killed: Option<Point>,
}

/// How workers are started.
pub(super) struct Workers<'a> {
    pub exe: &'a Path,
    pub args: &'a [OsString],
    pub plan: &'a Path,
    pub store: &'a Path,
    pub threads: usize,
    /// What they write to standard error.
    pub log: &'a Path,
    pub stop: &'a Stop,
}

impl Workers<'_> {
    /// Runs `stage` in a worker that keeps a checkpoint after every step, and kills it once it is
    /// past `share` of its steps.
    pub(super) fn attempt(
        &self,
        stage: &Stage,
        share: Option<f64>,
    ) -> Result<Ended, RehearsalError> {
        let log = File::options().create(true).append(true).open(self.log);
        let log = log.map_err(StoreError::writing("open log", self.log))?;
        let mut command = Command::new(self.exe);
        command
            .args([
                "work",
                "--every-step",
                "--checkpoint-minutes",
                "0",
                "--plan",
            ])
            .arg(self.plan)
            .arg("--key")
            .arg(stage.key.as_str())
            .arg("--store")
            .arg(self.store)
            .args(self.args)
            .env("RAYON_NUM_THREADS", self.threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        let started = command.spawn();
        let mut child = started.map_err(StoreError::writing("start", self.exe))?;
        let mut ended = Ended {
            first: None,
            killed: None,
        };
        let mut failure = None;
        let mut stopped = false;
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).split(b'\n') {
                let Ok(line) = line else { break };
                match serde_json::from_slice::<Entry>(&line).map(|entry| entry.event) {
                    Ok(Event::Progress { progress, .. }) => {
                        let Some(point) = Point::of(&progress) else {
                            continue;
                        };
                        ended.first.get_or_insert(point);
                        stopped = self.stop.is_raised();
                        if stopped || share.is_some_and(|share| point.is_past(share)) {
                            ended.killed = Some(point);
                            break;
                        }
                    }
                    Ok(Event::Failed { failure: f }) => failure = Some(f.message),
                    _ => {}
                }
            }
        }
        if ended.killed.is_some() {
            // SIGKILL; it may have ended by itself meanwhile.
            let _ = child.kill();
        }
        let status = child.wait();
        let status = status.map_err(StoreError::writing("wait for", self.exe))?;
        if stopped {
            return Err(RehearsalError::Stopped);
        }
        if status.success() {
            ended.killed = None;
        } else if ended.killed.is_none() {
            return Err(RehearsalError::Failed {
                label: stage.label.clone(),
                reason: failure.unwrap_or_else(|| status.to_string()),
                log: self.log.to_owned(),
            });
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_first_nor_the_last_step_is_meant() {
        let point = |epoch, step| Point {
            epoch,
            step,
            steps: 4,
            epochs: 3,
        };
        assert_eq!(point(3, 4).done(), 12);
        assert!(!point(1, 1).is_past(0.0));
        assert!(point(1, 2).is_past(0.0));
        assert!(!point(2, 1).is_past(0.5));
        assert!(point(2, 2).is_past(0.5));
        assert!(!point(3, 2).is_past(0.999));
        assert!(point(3, 3).is_past(0.999));
        // A single step can only be killed at once.
        let only = Point {
            epoch: 1,
            step: 1,
            steps: 1,
            epochs: 1,
        };
        assert!(only.is_past(0.9));
    }
}
