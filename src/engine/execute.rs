//! Running one stage in this process: claim, run, publish or record the failure.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::memory;
use super::panics::{self, Watch};
use super::{Event, EventSink, RunStage, StageContext, StageError, StageLog, Stop};
use crate::plan::{Key, Stage, StageKind};
use crate::store::{
    Attempt, Begin, Failure, FailureKind, Provenance, State, Store, StoreError, host_name, rfc3339,
};

/// How many of its last words a failed stage is quoted with.
pub(super) const LAST_LINES: usize = 20;

/// What came of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Execution {
    /// It ran and was published.
    Ran {
        /// Seconds.
        wall_s: f64,
    },
    /// Its artifact was there.
    Cached,
    /// Another process makes it.
    Claimed {
        /// Which.
        holder: String,
    },
    /// It failed; the store knows.
    Failed(Box<Failure>),
    /// It was asked to stop and did.
    Stopped,
}

/// An input of a stage with the kind of the stage that makes it.
pub(super) struct KnownInput {
    pub role: String,
    pub kind: StageKind,
    pub key: Key,
}

/// How to run a stage.
pub(super) struct Setting<'a> {
    pub store: &'a Store,
    pub runner: &'a dyn RunStage,
    pub sink: &'a dyn EventSink,
    pub stop: &'a Stop,
    pub threads: usize,
    pub watch: Watch,
    /// Whether the process runs nothing else, so that its peak memory is the stage's.
    pub alone: bool,
}

/// Runs `stage` unless it is cached or claimed. Everything that goes wrong is a failure of the
/// stage.
pub(super) fn execute(stage: &Stage, inputs: &[KnownInput], setting: &Setting<'_>) -> Execution {
    let store = setting.store;
    match begin_and_run(stage, inputs, setting) {
        Ok(execution) => execution,
        Err(error) => {
            // What this process could not do another may have done, or be doing.
            if let Ok(state) = store.lookup(stage.kind, &stage.key)
                && let Some(execution) = by_another(&state)
            {
                return execution;
            }
            // The store itself failed. Whether it can still take the record is not sure.
            let failure = store.failure(stage, FailureKind::Error, error.to_string(), Vec::new());
            let _ = store.record_failure(&failure);
            Execution::Failed(Box::new(failure))
        }
    }
}

fn begin_and_run(
    stage: &Stage,
    inputs: &[KnownInput],
    setting: &Setting<'_>,
) -> Result<Execution, StoreError> {
    let attempt = match setting.store.begin(stage)? {
        Begin::Attempt(attempt) => attempt,
        Begin::Cached(_) => return Ok(Execution::Cached),
        Begin::Claimed(holder) => {
            return Ok(Execution::Claimed {
                holder: holder.to_string(),
            });
        }
    };
    if let Some(damage) = attempt.set_aside() {
        setting.sink.emit(&Event::SetAside {
            key: stage.key.clone(),
            text: damage.to_string(),
        });
    }
    setting.sink.emit(&Event::Started {
        key: stage.key.clone(),
        kind: stage.kind,
        label: stage.label.clone(),
        pid: std::process::id(),
        attempt: attempt.attempts(),
    });
    let (started, clock) = (SystemTime::now(), Instant::now());
    let notes = Notes::new(setting.sink);
    let ran = run(stage, inputs, &attempt, setting, &notes)?;
    match ran.result {
        Ok(()) => {
            attempt.publish(Provenance {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: option_env!("AMLP_RUN_COMMIT").map(str::to_owned),
                host: host_name(),
                device: ran.device,
                threads: setting.threads,
                started: rfc3339(started),
                wall_s: clock.elapsed().as_secs_f64(),
                peak_memory_bytes: setting.alone.then(peak_memory).flatten(),
                micro_batch: ran.micro_batch,
                attempts: 0, // The attempt counts itself.
            })?;
            Ok(Execution::Ran {
                wall_s: clock.elapsed().as_secs_f64(),
            })
        }
        Err(StageError::Stopped) => Ok(Execution::Stopped),
        // The folders of a stage that was taken over are the other's now.
        Err(StageError::Failed { .. }) if attempt.is_lost() => taken_over(stage, setting.store),
        Err(StageError::Failed { kind, message }) => {
            let kind = match kind {
                FailureKind::Error | FailureKind::Panic if memory::says_so(&message) => {
                    FailureKind::OutOfMemory
                }
                kind => kind,
            };
            let failure = attempt.fail(kind, message, notes.take())?;
            Ok(Execution::Failed(Box::new(failure)))
        }
    }
}

/// What a stage comes to that another process has made, or is making.
pub(super) fn by_another(state: &State) -> Option<Execution> {
    match state {
        State::Cached => Some(Execution::Cached),
        State::Running { holder } => Some(Execution::Claimed {
            holder: holder.to_string(),
        }),
        _ => None,
    }
}

/// What came of a stage that another process has taken over.
fn taken_over(stage: &Stage, store: &Store) -> Result<Execution, StoreError> {
    let state = store.lookup(stage.kind, &stage.key)?;
    if let Some(execution) = by_another(&state) {
        return Ok(execution);
    }
    Ok(match state {
        State::Failed { failure } => Execution::Failed(failure),
        _ => {
            let message = "another process took the stage over and gave it up";
            let failure = store.failure(stage, FailureKind::Died, message, Vec::new());
            store.record_failure(&failure)?;
            Execution::Failed(Box::new(failure))
        }
    })
}

/// How a stage ended, and what it recorded of itself.
struct Ran {
    result: Result<(), StageError>,
    device: Option<String>,
    micro_batch: Option<usize>,
}

fn run(
    stage: &Stage,
    inputs: &[KnownInput],
    attempt: &Attempt,
    setting: &Setting<'_>,
    notes: &Notes<'_>,
) -> Result<Ran, StoreError> {
    let mut folders = Vec::with_capacity(inputs.len());
    for input in inputs {
        if !setting.store.lookup(input.kind, &input.key)?.is_cached() {
            let message = format!(
                "its input '{}' ({} {}) is not in the store",
                input.role, input.kind, input.key
            );
            return Ok(Ran {
                result: Err(StageError::new(message)),
                device: None,
                micro_batch: None,
            });
        }
        setting.store.mark_used(input.kind, &input.key);
        let dir = setting.store.artifact_dir(input.kind, &input.key);
        folders.push((input.role.clone(), input.key.clone(), dir));
    }
    let mut cx = StageContext::new(
        &stage.key,
        attempt.output(),
        attempt.work(),
        folders,
        setting.threads,
        notes,
        setting.stop,
    );
    let result = panics::catch(setting.watch, || setting.runner.run(stage, &mut cx))
        .unwrap_or_else(|message| {
            Err(StageError::Failed {
                kind: FailureKind::Panic,
                message,
            })
        });
    Ok(Ran {
        result,
        device: cx.device().map(str::to_owned),
        micro_batch: cx.micro_batch(),
    })
}

/// Passes events on and keeps the last notes, which are the log of a stage without a process.
struct Notes<'a> {
    sink: &'a dyn EventSink,
    last: Mutex<VecDeque<String>>,
}

impl<'a> Notes<'a> {
    fn new(sink: &'a dyn EventSink) -> Self {
        Self {
            sink,
            last: Mutex::new(VecDeque::new()),
        }
    }

    fn take(&self) -> Vec<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *last).into()
    }
}

impl EventSink for Notes<'_> {
    fn emit(&self, event: &Event) {
        if let Event::Note { text, .. } = event {
            if let Some(log) = StageLog::current() {
                log.say(text);
            }
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(text.clone());
        }
        self.sink.emit(event);
    }

    fn tick(&self) {
        self.sink.tick();
    }
}

/// Largest resident memory of this process so far, in bytes.
fn peak_memory() -> Option<u64> {
    // SAFETY: an all-zero `rusage` is a valid value, and the call writes to it only.
    let (status, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), usage)
    };
    let peak = u64::try_from(usage.ru_maxrss).ok()?;
    // Linux counts kibibytes, macOS bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    (status == 0).then_some(peak.saturating_mul(unit))
}
