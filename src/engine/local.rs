//! A pool of slots on this machine: cheap stages on threads, each training in a process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::events::{Both, KindCount, Origin, RunLog};
use super::execute::{self, Execution, KnownInput, Setting};
use super::panics::{self, Watch};
use super::process::{Launcher, Processes};
use super::schedule::{Graph, Lane, Schedule};
use super::stage_log::Route;
use super::{EngineError, Event, EventSink, RunReport, RunStage, Skipped, Stop};
use crate::plan::{Plan, Stage, StageKind};
use crate::store::{Failure, FailureKind, State, Store, host_name, unix_now};

/// How often stop flags are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// How often stages that other processes make are looked at.
const POLL: Duration = Duration::from_millis(300);

/// Stack of a thread that runs stages.
const STACK: usize = 16 << 20;

/// How a run uses this machine.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// How many stages run at a time.
    pub jobs: usize,
    /// How many threads each may keep busy.
    pub threads_per_job: usize,
    /// Whether the first failure stops the run. Otherwise everything runs that still can.
    pub fail_fast: bool,
    /// How often a stage is tried again whose process died or ran out of memory, which a neighbour
    /// may have used up.
    pub retries: u32,
    /// The program, for workers: `EXE work --plan FILE --key KEY --store DIR ARGS...`.
    pub exe: PathBuf,
    /// Further arguments of workers.
    pub worker_args: Vec<OsString>,
    /// `CUDA_VISIBLE_DEVICES` of the slots, which share them in turn; empty leaves it alone. With
    /// GPUs, everything that computes on one runs in a process that sees no other.
    pub gpus: Vec<String>,
    /// Further slots for stages that compute on no device, so that they keep no GPU waiting; with 0
    /// they share the slots of the others.
    pub host_jobs: usize,
    /// Asks the run to stop.
    pub stop: Stop,
    /// How the run was started, for its folder.
    pub origin: Origin,
}

impl LocalOptions {
    /// One job with all threads, going on after failures, one retry for workers that died.
    #[must_use]
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self {
            jobs: 1,
            threads_per_job: std::thread::available_parallelism().map_or(1, usize::from),
            fail_fast: false,
            retries: 1,
            exe: exe.into(),
            worker_args: Vec::new(),
            gpus: Vec::new(),
            host_jobs: 0,
            stop: Stop::new(),
            origin: Origin::here(),
        }
    }
}

/// Runs what is missing of `plan`, and only that.
///
/// Events go to `events` and to a log in the store. Failures of stages are in the report.
///
/// # Errors
/// The plan is no graph in order, the store cannot be read, or the run's folder cannot be made.
pub fn run(
    plan: &Plan,
    store: &Store,
    options: &LocalOptions,
    runner: &dyn RunStage,
    events: &dyn EventSink,
) -> Result<RunReport, EngineError> {
    let start = Instant::now();
    let graph = Graph::of(plan)?;
    let cached = look_up(plan, store)?;
    let mut report = RunReport {
        failures: store.paths().failures(),
        ..RunReport::default()
    };
    let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
    let open = count(&graph.needed(&cached));
    if open == 0 {
        report.cached = count(&cached);
        report.unneeded = plan.stages.len() - report.cached;
        report.wall = start.elapsed();
        return Ok(report);
    }
    let log = RunLog::create(store, plan, &options.origin)?;
    // From here on a collection of garbage sees this run and spares what it plans with. What went
    // just before shows in this second look.
    let cached = look_up(plan, store)?;
    let schedule = Schedule::new(plan, graph, &cached);
    let open = schedule.to_run().count();
    report.cached = count(&cached);
    report.unneeded = plan.stages.len() - report.cached - open;
    report.folder = Some(log.folder().dir.clone());
    let sink = Both(&log, events);
    sink.emit(&Event::RunStarted {
        pid: std::process::id(),
        host: host_name(),
        stages: plan.stages.len(),
        cached: report.cached,
        to_run: count_kinds(plan, &schedule),
    });
    let stop = options.stop.child();
    let processes = Processes::default();
    let shared = Shared {
        plan,
        store,
        options,
        runner,
        sink: &sink,
        stop: &stop,
        slots: slots(options)?,
        halved: Mutex::default(),
        launcher: Launcher {
            exe: &options.exe,
            args: &options.worker_args,
            folder: log.folder(),
            store,
            sink: &sink,
            stop: &stop,
            processes: &processes,
            threads: options.threads_per_job.max(1),
        },
    };
    std::thread::scope(|scope| Dispatcher::new(&shared, schedule, &mut report, open).run(scope));
    report.halved = shared
        .halved
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    report.interrupted = options.stop.is_raised() && report.unfinished > 0;
    report.wall = start.elapsed();
    report.log_error = log.broken();
    sink.emit(&Event::RunFinished {
        ran: report.ran.len(),
        cached: report.cached,
        failed: report.failed.len(),
        skipped: report.skipped.len(),
        interrupted: report.interrupted,
        wall_s: report.wall.as_secs_f64(),
    });
    Ok(report)
}

/// Which stages of `plan` are cached.
fn look_up(plan: &Plan, store: &Store) -> Result<Vec<bool>, EngineError> {
    let states = store.lookup_all(&plan.stages)?;
    Ok(states.iter().map(State::is_cached).collect())
}

/// The stages to run by kind, without kinds that have none.
fn count_kinds(plan: &Plan, schedule: &Schedule) -> Vec<KindCount> {
    StageKind::ALL
        .into_iter()
        .map(|kind| KindCount {
            kind,
            count: schedule
                .to_run()
                .filter(|&i| plan.stages[i].kind == kind)
                .count(),
        })
        .filter(|entry| entry.count > 0)
        .collect()
}

/// A place for one stage at a time.
struct Slot {
    /// Threads for cheap stages; trainings have those of their process.
    pool: rayon::ThreadPool,
    watch: Watch,
    lane: Lane,
}

fn slots(options: &LocalOptions) -> Result<Vec<Slot>, EngineError> {
    // Zero is the worker's own watch.
    static WATCHES: AtomicU64 = AtomicU64::new(1);
    let threads = options.threads_per_job.max(1);
    let jobs = options.jobs.max(1);
    (0..jobs + options.host_jobs)
        .map(|i| {
            let lane = match options.host_jobs {
                0 => Lane::Any,
                _ if i < jobs => Lane::Device,
                _ => Lane::Host,
            };
            let watch = Watch {
                id: WATCHES.fetch_add(1, Ordering::Relaxed),
                print: false,
            };
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .stack_size(STACK)
                .start_handler(move |_| panics::watch_thread(watch))
                .build()
                .map_err(|e| EngineError::Threads {
                    threads,
                    reason: e.to_string(),
                })?;
            Ok(Slot { pool, watch, lane })
        })
        .collect()
}

/// What all threads of a run share.
struct Shared<'a> {
    plan: &'a Plan,
    store: &'a Store,
    options: &'a LocalOptions,
    runner: &'a dyn RunStage,
    sink: &'a dyn EventSink,
    stop: &'a Stop,
    slots: Vec<Slot>,
    /// Names of the stages that ran out of memory and went on with half of it.
    halved: Mutex<Vec<String>>,
    launcher: Launcher<'a>,
}

impl Shared<'_> {
    /// Runs a stage to its end, in a process if it is a training.
    fn execute(&self, stage: &Stage, inputs: &[KnownInput], slot: usize) -> Execution {
        let pinned = !self.options.gpus.is_empty() && stage.kind.on_device();
        if stage.kind.is_training() || pinned {
            return self.execute_in_process(stage, slot);
        }
        let Slot { pool, watch, .. } = &self.slots[slot];
        let setting = Setting {
            store: self.store,
            runner: self.runner,
            sink: self.sink,
            stop: self.stop,
            threads: pool.current_num_threads(),
            watch: *watch,
            alone: false,
        };
        let log = self.launcher.folder.log_file(&stage.key);
        let route = Route::new(*watch, log.clone());
        let mut execution = pool.install(|| execute::execute(stage, inputs, &setting));
        if let Execution::Failed(failure) = &mut execution {
            route.say(&failure.message);
            failure.log_file = log.exists().then_some(log);
            let _ = self.store.record_failure(failure);
        }
        execution
    }

    fn execute_in_process(&self, stage: &Stage, slot: usize) -> Execution {
        let gpus = &self.options.gpus;
        let gpu = (!gpus.is_empty()).then(|| gpus[slot % gpus.len()].as_str());
        let mut tries_left = self.options.retries;
        let mut halves_left = u32::from(self.runner.may_halve(stage));
        let mut halve = false;
        loop {
            let execution = self.launcher.run(stage, slot, gpu, halve);
            // The worker remembers it: told twice it would halve twice.
            halve = false;
            let Execution::Failed(failure) = execution else {
                return execution;
            };
            let starved = failure.failure == FailureKind::OutOfMemory;
            let again = if self.stop.is_raised() {
                false
            } else if starved && halves_left > 0 {
                halves_left -= 1;
                halve = true;
                self.note_halved(stage);
                true
            } else if (starved || failure.failure == FailureKind::Died) && tries_left > 0 {
                tries_left -= 1;
                true
            } else {
                false
            };
            if again {
                let half = if halve {
                    "; once more with half the images per pass"
                } else {
                    ""
                };
                self.sink.emit(&Event::Retrying {
                    key: stage.key.clone(),
                    message: format!("{}{half}", failure.message),
                });
                continue;
            }
            // The worker's own record lacks the log, and a dead worker left none.
            let _ = self.store.record_failure(&failure);
            return Execution::Failed(failure);
        }
    }

    fn note_halved(&self, stage: &Stage) {
        let mut halved = self.halved.lock().unwrap_or_else(PoisonError::into_inner);
        halved.push(stage.label.clone());
    }

    /// A failure of the engine's own while it ran `stage`.
    fn broken(&self, stage: &Stage, message: String) -> Execution {
        let failure = self
            .store
            .failure(stage, FailureKind::Panic, message, Vec::new());
        let _ = self.store.record_failure(&failure);
        Execution::Failed(Box::new(failure))
    }
}

/// A stage that another process makes.
struct Waiting {
    stage: usize,
    /// When the waiting began, in seconds since 1970.
    since: f64,
}

/// Hands stages to slots until nothing can run any more.
struct Dispatcher<'a, 'r> {
    shared: &'a Shared<'a>,
    schedule: Schedule,
    report: &'r mut RunReport,
    /// Stages of which nothing final is known.
    open: usize,
    free: Vec<usize>,
    running: usize,
    waiting: Vec<Waiting>,
    /// The disk is full: what is not begun would fail too.
    full: bool,
    polled: Instant,
    /// Level of the stop flag that the processes know of.
    told: u32,
    results: (Sender<Settled>, Receiver<Settled>),
}

/// Slot, position of the stage, what came of it.
type Settled = (usize, usize, Execution);

impl<'a, 'r> Dispatcher<'a, 'r> {
    fn new(
        shared: &'a Shared<'a>,
        schedule: Schedule,
        report: &'r mut RunReport,
        open: usize,
    ) -> Self {
        Self {
            free: (0..shared.slots.len()).rev().collect(),
            shared,
            schedule,
            report,
            open,
            running: 0,
            waiting: Vec::new(),
            full: false,
            polled: Instant::now(),
            told: 0,
            results: mpsc::channel(),
        }
    }

    fn run<'scope>(mut self, scope: &'scope Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        loop {
            let level = self.shared.stop.level();
            if level == 0 && !self.full {
                self.fill_slots(scope);
            } else {
                self.pass_on(level);
                self.waiting.clear();
            }
            if self.running == 0 && self.waiting.is_empty() {
                break;
            }
            match self.results.1.recv_timeout(TICK) {
                Ok((slot, i, execution)) => {
                    self.free.push(slot);
                    self.running -= 1;
                    self.settle(i, execution);
                }
                // This thread holds a sender, so the channel stays open.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if !self.waiting.is_empty() && self.polled.elapsed() >= POLL {
                self.poll();
            }
            self.shared.sink.tick();
        }
        self.report.unfinished = self.open;
    }

    fn fill_slots<'scope>(&mut self, scope: &'scope Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        let mut waits = Vec::new();
        while let Some(slot) = self.free.pop() {
            let Some(i) = self.schedule.next(self.shared.slots[slot].lane) else {
                waits.push(slot);
                continue;
            };
            self.running += 1;
            let shared = self.shared;
            let stage = &shared.plan.stages[i];
            let inputs: Vec<KnownInput> = stage
                .inputs
                .iter()
                .zip(self.schedule.inputs(i))
                .map(|(input, &j)| KnownInput {
                    role: input.role.clone(),
                    kind: shared.plan.stages[j].kind,
                    key: input.key.clone(),
                })
                .collect();
            let results = self.results.0.clone();
            let work = move || {
                // Whatever happens the dispatcher must hear of it, or it would wait for ever.
                let watch = shared.slots[slot].watch;
                let execution = panics::catch(watch, || shared.execute(stage, &inputs, slot))
                    .unwrap_or_else(|message| shared.broken(stage, message));
                let _ = results.send((slot, i, execution));
            };
            let name = format!("stage {}", stage.key.short());
            let started = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, work);
            if let Err(e) = started {
                let execution = shared.broken(stage, format!("cannot start a thread: {e}"));
                let _ = self.results.0.send((slot, i, execution));
            }
        }
        waits.reverse();
        self.free = waits;
    }

    /// Tells the processes to stop, or kills them.
    fn pass_on(&mut self, level: u32) {
        if level > self.told {
            let signal = if level == 1 {
                libc::SIGTERM
            } else {
                libc::SIGKILL
            };
            self.shared.launcher.processes.signal(signal);
            self.told = level;
        }
    }

    /// Takes in what came of the stage at `i`.
    fn settle(&mut self, i: usize, execution: Execution) {
        let stage = &self.shared.plan.stages[i];
        let (key, kind, label) = (stage.key.clone(), stage.kind, stage.label.clone());
        match execution {
            Execution::Ran { wall_s } => {
                self.open -= 1;
                self.report.ran.push(key.clone());
                self.schedule.done(i);
                self.shared.sink.emit(&Event::Done {
                    key,
                    kind,
                    label,
                    wall_s,
                });
            }
            Execution::Cached => {
                self.open -= 1;
                self.report.cached += 1;
                self.schedule.done(i);
                self.shared.sink.emit(&Event::Cached { key, kind, label });
            }
            Execution::Claimed { holder } => {
                self.waiting.push(Waiting {
                    stage: i,
                    since: unix_now(),
                });
                self.shared
                    .sink
                    .emit(&Event::Waiting { key, label, holder });
            }
            Execution::Failed(failure) => self.fail(i, *failure),
            Execution::Stopped => {
                self.shared.sink.emit(&Event::Stopped { key });
                if !self.shared.stop.is_raised() {
                    // Somebody stopped just this worker. It is a failure of the stage only if
                    // nobody starts it again: the run would wait for it for ever otherwise.
                    let failure = self.shared.store.failure(
                        stage,
                        FailureKind::Died,
                        "the stage was asked to stop from outside the run",
                        Vec::new(),
                    );
                    let _ = self.shared.store.record_failure(&failure);
                    self.fail(i, failure);
                }
            }
        }
    }

    fn fail(&mut self, i: usize, failure: Failure) {
        self.open -= 1;
        self.full |= failure.failure == FailureKind::Full;
        let because = failure.key.clone();
        self.shared.sink.emit(&Event::Failed {
            failure: failure.clone(),
        });
        self.report.failed.push(failure);
        for j in self.schedule.failed(i) {
            self.open -= 1;
            let stage = &self.shared.plan.stages[j];
            self.shared.sink.emit(&Event::Skipped {
                key: stage.key.clone(),
                kind: stage.kind,
                label: stage.label.clone(),
                because: because.clone(),
            });
            self.report.skipped.push(Skipped {
                key: stage.key.clone(),
                kind: stage.kind,
                label: stage.label.clone(),
                because: because.clone(),
            });
        }
        if self.shared.options.fail_fast && !self.shared.stop.is_raised() {
            self.shared.stop.raise();
        }
    }

    /// Looks at the stages that others make.
    fn poll(&mut self) {
        self.polled = Instant::now();
        for waiting in std::mem::take(&mut self.waiting) {
            let stage = &self.shared.plan.stages[waiting.stage];
            match self.shared.store.lookup(stage.kind, &stage.key) {
                Ok(State::Running { .. }) => self.waiting.push(waiting),
                Ok(State::Cached) => self.settle(waiting.stage, Execution::Cached),
                Ok(State::Failed { failure }) if failure.when_unix >= waiting.since => {
                    self.settle(waiting.stage, Execution::Failed(failure));
                }
                // They gave up without a word: it is ours now.
                Ok(_) => {
                    // A worker of ours has not watched their claim as we have.
                    let _ = self.shared.store.clear_stale_claim(&stage.key);
                    self.schedule.put_back(waiting.stage);
                }
                Err(error) => {
                    let failure = self.shared.store.failure(
                        stage,
                        FailureKind::Error,
                        error.to_string(),
                        Vec::new(),
                    );
                    self.settle(waiting.stage, Execution::Failed(Box::new(failure)));
                }
            }
        }
    }
}
