//! What runs inside a job: some stages of a frozen plan one after the other, without a dispatcher.
//!
//! The store is asked first, so that a job that was submitted twice, or comes again after a node
//! was lost, does nothing twice. Before the time limit Slurm warns with SIGUSR1; the training then
//! writes its checkpoint and the job puts itself back into the queue for another term, under the
//! same number, so that what waits for it goes on waiting.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::command::{self, Tool};
use crate::engine::events::{Entry, RunFolder, read_plan};
use crate::engine::execute::{self, Execution, Setting};
use crate::engine::panics::Watch;
use crate::engine::process::Log;
use crate::engine::worker::{WorkerExit, known_inputs};
use crate::engine::{EngineError, Event, EventSink, RunStage, Stop};
use crate::plan::{Key, Plan, Stage};
use crate::store::{Failure, FailureKind, State, Store, StoreError, disk, unix_now};

/// How often a stage is looked at that another process makes.
const POLL: Duration = Duration::from_secs(2);

/// What a job is to do.
#[derive(Clone, Debug)]
pub struct Orders<'a> {
    /// The frozen plan.
    pub plan: &'a Path,
    /// Stages, in order.
    pub keys: &'a [Key],
    /// The store.
    pub store: &'a Store,
    /// File to which events are appended.
    pub events: &'a Path,
    /// Whether a failure is no failure of the job where none of its other stages reads what
    /// failed: those that wait for the job may not need it, and notice if they do.
    pub lenient: bool,
    /// Whether this is the second attempt, at half the memory.
    pub halved: bool,
}

/// Carries `orders` out in this process.
///
/// # Errors
/// The plan cannot be read or lacks a stage, or there is no place for events.
pub fn work(orders: &Orders<'_>, runner: &dyn RunStage) -> Result<WorkerExit, EngineError> {
    let plan = read_plan(orders.plan)?;
    let stages = orders
        .keys
        .iter()
        .map(|key| {
            plan.get(key).ok_or_else(|| EngineError::UnknownKey {
                path: orders.plan.to_owned(),
                key: key.clone(),
            })
        })
        .collect::<Result<Vec<&Stage>, EngineError>>()?;
    let term = Term {
        plan: &plan,
        folder: RunFolder::of_plan(orders.plan),
        store: orders.store,
        runner,
        sink: EventFile::append(orders.events)?,
        stop: Stop::on_signals(),
        may_halve: !orders.halved,
    };
    let mut worst = WorkerExit::Done;
    for (i, stage) in stages.iter().enumerate() {
        let exit = term.run(stage)?;
        match exit {
            WorkerExit::Done => {}
            WorkerExit::Stopped => return Ok(term.stopped(stage)),
            _ => {
                let is_read = stages[i + 1..].iter().any(|s| reads(s, stage));
                if worst == WorkerExit::Done && (is_read || !orders.lenient) {
                    worst = exit;
                }
            }
        }
    }
    Ok(worst)
}

fn reads(stage: &Stage, other: &Stage) -> bool {
    stage.inputs.iter().any(|input| input.key == other.key)
}

/// One stay of a job on a node.
struct Term<'a> {
    plan: &'a Plan,
    folder: RunFolder,
    store: &'a Store,
    runner: &'a dyn RunStage,
    sink: EventFile,
    stop: Stop,
    may_halve: bool,
}

impl Term<'_> {
    /// Runs a stage to its end, whoever makes it.
    fn run(&self, stage: &Stage) -> Result<WorkerExit, EngineError> {
        let inputs = known_inputs(self.plan, stage)?;
        let began = unix_now();
        let mut told = false;
        loop {
            if self.stop.is_raised() {
                return Ok(WorkerExit::Stopped);
            }
            match self.store.lookup(stage.kind, &stage.key)? {
                State::Cached => {
                    self.sink.emit(&Event::Cached {
                        key: stage.key.clone(),
                        kind: stage.kind,
                        label: stage.label.clone(),
                    });
                    return Ok(WorkerExit::Done);
                }
                State::Running { holder } => {
                    if !told {
                        self.wait_for(stage, holder.to_string());
                        told = true;
                    }
                    std::thread::sleep(POLL);
                    continue;
                }
                // Who made it has failed while we waited: we would fail as well.
                State::Failed { failure } if told && failure.when_unix >= began => {
                    return Ok(exit_of(&failure));
                }
                _ => {}
            }
            if let Some(cause) = self.obstacle(stage)? {
                self.sink.emit(&Event::Skipped {
                    key: stage.key.clone(),
                    kind: stage.kind,
                    label: stage.label.clone(),
                    because: cause,
                });
                return Ok(WorkerExit::Failed);
            }
            let log = Log::open(&self.folder, stage)?;
            let _ = capture_errors(&log);
            let setting = Setting {
                store: self.store,
                runner: self.runner,
                sink: &self.sink,
                stop: &self.stop,
                threads: rayon::current_num_threads(),
                watch: Watch { id: 0, print: true },
                alone: true,
            };
            match execute::execute(stage, &inputs, &setting) {
                Execution::Ran { wall_s } => {
                    self.sink.emit(&Event::Done {
                        key: stage.key.clone(),
                        kind: stage.kind,
                        label: stage.label.clone(),
                        wall_s,
                    });
                    self.sink.gained.store(true, Ordering::Relaxed);
                    return Ok(WorkerExit::Done);
                }
                // Somebody was quicker.
                Execution::Cached | Execution::Claimed { .. } => {}
                Execution::Failed(failure) => {
                    let is_memory = failure.failure == FailureKind::OutOfMemory;
                    if self.may_halve && is_memory && self.runner.may_halve(stage) {
                        self.halve(stage, &failure);
                    }
                    return Ok(self.failed(*failure, &log));
                }
                Execution::Stopped => {
                    self.sink.emit(&Event::Stopped {
                        key: stage.key.clone(),
                    });
                    return Ok(WorkerExit::Stopped);
                }
            }
        }
    }

    fn wait_for(&self, stage: &Stage, holder: String) {
        self.sink.emit(&Event::Waiting {
            key: stage.key.clone(),
            label: stage.label.clone(),
            holder,
        });
    }

    /// Puts a worker at half the memory in the place of this process. Comes back only where that
    /// cannot be started.
    fn halve(&self, stage: &Stage, failure: &Failure) {
        self.sink.emit(&Event::Retrying {
            key: stage.key.clone(),
            message: failure.message.clone(),
        });
        if let Ok(exe) = std::env::current_exe() {
            let arguments = std::env::args_os().skip(1);
            let error = Command::new(exe).args(arguments).arg("--halve").exec();
            tracing::warn!("cannot start at half the memory: {error}");
        }
    }

    /// Records a failure with the last lines of the log.
    fn failed(&self, mut failure: Failure, log: &Log) -> WorkerExit {
        let lines = log.last_lines();
        if !lines.is_empty() {
            failure.log = lines;
        }
        failure.log_file = log.path();
        let _ = self.store.record_failure(&failure);
        let exit = exit_of(&failure);
        self.sink.emit(&Event::Failed { failure });
        exit
    }

    /// The stage for want of which `stage` cannot run: of those before it the first that is not
    /// there, with all it reads.
    fn obstacle(&self, stage: &Stage) -> Result<Option<Key>, StoreError> {
        for input in &stage.inputs {
            let Some(made_by) = self.plan.get(&input.key) else {
                continue;
            };
            if !self.store.lookup(made_by.kind, &made_by.key)?.is_cached() {
                let deeper = self.obstacle(made_by)?;
                return Ok(Some(deeper.unwrap_or_else(|| made_by.key.clone())));
            }
        }
        Ok(None)
    }

    /// After a stop before `stage` was done: goes back to the queue where that is of use.
    fn stopped(&self, stage: &Stage) -> WorkerExit {
        let Ok(job) = std::env::var("SLURM_JOB_ID") else {
            return WorkerExit::Stopped;
        };
        if !self.stop.is_warned() {
            // Cancelled or preempted: whoever did that knows what comes next.
            return WorkerExit::Stopped;
        }
        if !self.sink.gained.load(Ordering::Relaxed) {
            let message = "a term of the job ended before the stage got anywhere: \
                           its time limit is too short, see [slurm] in the manifest";
            let failure = self
                .store
                .failure(stage, FailureKind::Error, message, Vec::new());
            let _ = self.store.record_failure(&failure);
            self.sink.emit(&Event::Failed { failure });
            return WorkerExit::Failed;
        }
        let mut scontrol = Command::new(Tool::Scontrol.name());
        scontrol.args(["requeue", &job]);
        if let Err(error) = command::run(Tool::Scontrol, scontrol) {
            self.sink.emit(&Event::Note {
                key: stage.key.clone(),
                text: format!("the job cannot go back to the queue: {error}"),
            });
        }
        WorkerExit::Stopped
    }
}

fn exit_of(failure: &Failure) -> WorkerExit {
    match failure.failure {
        FailureKind::Data => WorkerExit::Data,
        _ => WorkerExit::Failed,
    }
}

/// Makes the log of a stage the standard error of this process.
fn capture_errors(log: &Log) -> std::io::Result<()> {
    // SAFETY: both descriptors are open; the old standard error is closed by the call.
    let status = unsafe { libc::dup2(log.file().as_raw_fd(), libc::STDERR_FILENO) };
    if status < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Appends events to a file, one write for each line.
struct EventFile {
    file: Mutex<File>,
    /// Whether a stage was done or got further in this term.
    gained: AtomicBool,
}

impl EventFile {
    fn append(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            disk::create_dir(folder)?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(StoreError::writing("create", path))?;
        Ok(Self {
            file: Mutex::new(file),
            gained: AtomicBool::new(false),
        })
    }
}

impl EventSink for EventFile {
    fn emit(&self, event: &Event) {
        if matches!(event, Event::Progress { .. }) {
            self.gained.store(true, Ordering::Relaxed);
        }
        let Some(line) = Entry::line(event) else {
            return;
        };
        // A log that cannot be written must not end a training.
        let _ = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
    }
}
