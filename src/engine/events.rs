//! What happens in a run, as JSON lines: the only thing that progress bars, `watch`, reports and
//! exports read.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::{EngineError, Stop};
use crate::plan::{Key, Plan, StageKind};
use crate::store::{Failure, Store, StoreError, rfc3339, unix_now};

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

/// An event with its time: a line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: f64,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// `event` as a line of JSON with its end, happening now.
    fn line(event: &Event) -> Option<String> {
        let entry = Self {
            // Milliseconds are enough.
            time: (unix_now() * 1e3).round() / 1e3,
            event: event.clone(),
        };
        let mut line = serde_json::to_string(&entry).ok()?;
        line.push('\n');
        Some(line)
    }
}

/// Who wants to know what happens. Called from many threads.
pub trait EventSink: Send + Sync {
    /// Takes an event.
    fn emit(&self, event: &Event);

    /// Called several times a second while a run goes on.
    fn tick(&self) {}
}

/// Wants to know nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: &Event) {}
}

/// Two sinks as one.
pub(super) struct Both<'a>(pub &'a dyn EventSink, pub &'a dyn EventSink);

impl EventSink for Both<'_> {
    fn emit(&self, event: &Event) {
        self.0.emit(event);
        self.1.emit(event);
    }

    fn tick(&self) {
        self.0.tick();
        self.1.tick();
    }
}

/// Events as JSON lines on standard output, for the process that started this one. When nobody
/// reads them any more, the stop flag is raised.
pub(super) struct JsonLines {
    stop: Stop,
}

impl JsonLines {
    pub(super) fn new(stop: &Stop) -> Self {
        Self { stop: stop.clone() }
    }
}

impl EventSink for JsonLines {
    fn emit(&self, event: &Event) {
        let Some(line) = Entry::line(event) else {
            return;
        };
        let mut out = std::io::stdout().lock();
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
            && !self.stop.is_raised()
        {
            self.stop.raise();
        }
    }
}

/// Folder of a run: its events and its frozen plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    /// The folder.
    pub dir: PathBuf,
}

impl RunFolder {
    /// Its name: start in UTC and process id.
    #[must_use]
    pub fn id(&self) -> String {
        self.dir
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The events.
    #[must_use]
    pub fn events_file(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The frozen plan.
    #[must_use]
    pub fn plan_file(&self) -> PathBuf {
        self.dir.join("plan.json")
    }

    /// All runs of a store, the last one last.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn all(store: &Store) -> Result<Vec<Self>, EngineError> {
        let folder = store.paths().runs();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StoreError::reading(&folder)(e).into()),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let dir = entry.map_err(StoreError::reading(&folder))?.path();
            runs.push(Self { dir });
        }
        // Names begin with the time, so their order is that of the runs.
        runs.sort_unstable_by(|a, b| a.dir.cmp(&b.dir));
        Ok(runs)
    }

    /// The last run of a store.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn last(store: &Store) -> Result<Option<Self>, EngineError> {
        Ok(Self::all(store)?.pop())
    }

    /// Its events so far. A line that cannot be parsed (the last one of a run that was killed) is
    /// left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn events(&self) -> Result<Vec<Entry>, EngineError> {
        let path = self.events_file();
        let file = File::open(&path).map_err(StoreError::reading(&path))?;
        let mut events = Vec::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(StoreError::reading(&path))?;
            if let Ok(entry) = serde_json::from_slice(&line) {
                events.push(entry);
            }
        }
        Ok(events)
    }

    /// Its frozen plan.
    ///
    /// # Errors
    /// The file cannot be read or is no plan.
    pub fn plan(&self) -> Result<Plan, EngineError> {
        read_plan(&self.plan_file())
    }
}

/// Reads a frozen plan.
///
/// # Errors
/// The file cannot be read or is no plan.
pub fn read_plan(path: &Path) -> Result<Plan, EngineError> {
    let text = std::fs::read(path).map_err(StoreError::reading(path))?;
    serde_json::from_slice(&text).map_err(|e| EngineError::Plan {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

/// The log of a run, which is also the place of its frozen plan.
pub(super) struct RunLog {
    folder: RunFolder,
    file: Mutex<File>,
    /// The first error of writing. A full disk must not end the stages that still run.
    broken: Mutex<Option<String>>,
}

impl RunLog {
    /// Makes the folder of a run that begins now, with `plan` frozen in it.
    pub(super) fn create(store: &Store, plan: &Plan) -> Result<Self, EngineError> {
        store.create()?;
        let runs = store.paths().runs();
        std::fs::create_dir_all(&runs).map_err(StoreError::writing("create folder", &runs))?;
        let start = rfc3339(SystemTime::now()).replace([':', '-'], "");
        let mut folder = RunFolder {
            dir: runs.join(format!("{start}-{}", std::process::id())),
        };
        for n in 2_u32.. {
            match std::fs::create_dir(&folder.dir) {
                Ok(()) => break,
                // A process may start several runs within a second.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    folder.dir = runs.join(format!("{start}-{}-{n}", std::process::id()));
                }
                Err(e) => {
                    return Err(StoreError::writing("create folder", &folder.dir)(e).into());
                }
            }
        }
        let path = folder.plan_file();
        let text = serde_json::to_vec(plan).map_err(|e| EngineError::Plan {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        std::fs::write(&path, text).map_err(StoreError::writing("write", &path))?;
        let path = folder.events_file();
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(StoreError::writing("create", &path))?;
        Ok(Self {
            folder,
            file: Mutex::new(file),
            broken: Mutex::new(None),
        })
    }

    pub(super) fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Why the log is not whole, if it is not.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl EventSink for RunLog {
    fn emit(&self, event: &Event) {
        let Some(line) = Entry::line(event) else {
            return;
        };
        let written = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
        if let Err(e) = written {
            let path = self.folder.events_file();
            self.broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| StoreError::writing("write", &path)(e).to_string());
        }
    }
}

/// Keeps a stage from telling its progress more often than anybody can read.
pub(super) struct Throttle {
    last: Mutex<Option<Instant>>,
    interval: Duration,
}

impl Throttle {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            last: Mutex::new(None),
            interval,
        }
    }

    /// Whether enough time has passed since it last said yes.
    pub(super) fn ready(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now - last < self.interval) {
            return false;
        }
        *last = Some(now);
        true
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
