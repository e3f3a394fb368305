//! What can happen in a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::{Key, StageKind};
use crate::store::{Failure, unix_now};

/// How far a stage is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The epoch that runs, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How many epochs there will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Steps done, of this epoch where there are epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// How many steps there will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Loss, averaged as the stage sees fit. Not finite: absent in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Images per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Share of the time of this epoch in which it waited for its next batch, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
    /// Learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Other numbers by name, told at the end of an epoch. All are finite.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scalars: BTreeMap<String, f64>,
    /// A word on what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Progress {
    /// The part that is done, from 0 to 1, where it can be told.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let steps = match (self.step, self.steps) {
            (Some(step), Some(steps)) if steps > 0 => Some(step as f64 / steps as f64),
            _ => None,
        };
        let fraction = match (self.epoch, self.epochs) {
            (Some(epoch), Some(epochs)) if epochs > 0 => {
                (epoch.saturating_sub(1) as f64 + steps.unwrap_or(0.0)) / epochs as f64
            }
            _ => steps?,
        };
        Some(fraction.clamp(0.0, 1.0))
    }

    /// Steps done since the first epoch, of a training.
    #[must_use]
    pub fn global_step(&self) -> Option<u64> {
        let epochs = self.epoch?.checked_sub(1)?;
        epochs.checked_mul(self.steps?)?.checked_add(self.step?)
    }

    /// Whether it tells the end of an epoch, or of all steps: such progress is never left out.
    #[must_use]
    pub fn is_milestone(&self) -> bool {
        self.step.is_none() || self.step == self.steps
    }
}

/// A number of stages of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCount {
    /// The kind.
    pub kind: StageKind,
    /// How many.
    pub count: usize,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The process that dispatches it.
        pid: u32,
        /// Its machine.
        host: String,
        /// Stages of the plan.
        stages: usize,
        /// Those that are in the store.
        cached: usize,
        /// Those to run, by kind.
        to_run: Vec<KindCount>,
    },
    /// A stage begins.
    Started {
        /// The stage.
        key: Key,
        /// Its kind.
        kind: StageKind,
        /// Its name for people.
        label: String,
        /// The process that runs it.
        pid: u32,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// A stage tells how far it is.
    Progress {
        /// The stage.
        key: Key,
        /// How far.
        progress: Progress,
    },
    /// A stage has something to say.
    Note {
        /// The stage.
        key: Key,
        /// What.
        text: String,
    },
    /// A damaged artifact was set aside, to be made anew.
    SetAside {
        /// The stage.
        key: Key,
        /// What is damaged, why, and where it is now.
        text: String,
    },
    /// Another process makes a stage; the run waits for it.
    Waiting {
        /// The stage.
        key: Key,
        /// Its name for people.
        label: String,
        /// Who makes it.
        holder: String,
    },
    /// A stage was made by this run.
    Done {
        /// The stage.
        key: Key,
        /// Its kind.
        kind: StageKind,
        /// Its name for people.
        label: String,
        /// Seconds that it took.
        wall_s: f64,
    },
    /// A stage that was to run turned out to be in the store: somebody else has made it.
    Cached {
        /// The stage.
        key: Key,
        /// Its kind.
        kind: StageKind,
        /// Its name for people.
        label: String,
    },
    /// A process died and the stage is tried again.
    Retrying {
        /// The stage.
        key: Key,
        /// How it died.
        message: String,
    },
    /// A stage failed.
    Failed {
        /// How.
        failure: Failure,
    },
    /// A stage cannot run, because something that it needs failed.
    Skipped {
        /// The stage.
        key: Key,
        /// Its kind.
        kind: StageKind,
        /// Its name for people.
        label: String,
        /// What failed.
        because: Key,
    },
    /// A stage was asked to stop and did.
    Stopped {
        /// The stage.
        key: Key,
    },
    /// A run ends.
    RunFinished {
        /// Stages that it made.
        ran: usize,
        /// Stages that were in the store.
        cached: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages that could not run because others failed.
        skipped: usize,
        /// Whether it was stopped before everything that could run had run.
        interrupted: bool,
        /// Seconds.
        wall_s: f64,
    },
}

impl Event {
    /// The stage that it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Started { key, .. }
            | Self::Progress { key, .. }
            | Self::Note { key, .. }
            | Self::SetAside { key, .. }
            | Self::Waiting { key, .. }
            | Self::Done { key, .. }
            | Self::Cached { key, .. }
            | Self::Retrying { key, .. }
            | Self::Skipped { key, .. }
            | Self::Stopped { key } => Some(key),
            Self::Failed { failure } => Some(&failure.key),
            Self::RunStarted { .. } | Self::RunFinished { .. } => None,
        }
    }
}

/// An event with its time: a line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: f64,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// `event`, happening now.
    #[must_use]
    pub fn now(event: Event) -> Self {
        Self {
            // Milliseconds are enough.
            time: (unix_now() * 1e3).round() / 1e3,
            event,
        }
    }

    /// `event` as a line of JSON with its end, happening now.
    pub(in crate::engine) fn line(event: &Event) -> Option<String> {
        let mut line = serde_json::to_string(&Self::now(event.clone())).ok()?;
        line.push('\n');
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions() {
        let progress = |epoch, epochs, step, steps| Progress {
            epoch,
            epochs,
            step,
            steps,
            ..Progress::default()
        };
        let cases = [
            (progress(Some(3), Some(4), Some(5), Some(10)), Some(0.625)),
            (progress(Some(1), Some(4), None, None), Some(0.0)),
            (progress(None, None, Some(1), Some(4)), Some(0.25)),
            (progress(None, None, Some(9), Some(4)), Some(1.0)),
            (progress(None, None, Some(9), Some(0)), None),
            (progress(None, None, None, None), None),
        ];
        for (progress, fraction) in cases {
            assert_eq!(progress.fraction(), fraction, "{progress:?}");
        }
    }

    #[test]
    fn a_line_survives_the_round_trip() {
        let event = Event::Progress {
            key: Key::of(&serde_json::json!(1)),
            progress: Progress {
                epoch: Some(2),
                loss: Some(0.1),
                note: Some("line\nbreak".to_owned()),
                ..Progress::default()
            },
        };
        let line = Entry::line(&event).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let entry: Entry = serde_json::from_str(&line).unwrap();
        assert_eq!(entry.event, event);
    }
}
