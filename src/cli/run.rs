//! `run`: plan, run what is missing, write the tables.

use std::path::Path;

use super::args::{Engine, RunArgs};
use super::exit::{CliError, ExitStatus};
use super::forecast::outlook;
use super::session::{self, Session};
use super::table::write_tables;
use crate::engine::events::{Both, Origin, RunFolder, Silent};
use crate::engine::export::tensorboard::TensorBoard;
use crate::engine::{EventSink, LocalOptions, RunReport, Stop, Tracker, local, progress};
use crate::nn::device::DeviceChoice;
use crate::plan::{Plan, StageKind};
use crate::stage::Runner;
use crate::store::Store;

pub(super) fn run(args: &RunArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(&args.files, &args.manifest)?;
    if args.engine == Engine::Slurm {
        return super::slurm::run(args, &session);
    }
    if args.dry_run {
        return super::plan::plan(&super::args::PlanArgs {
            files: args.files.clone(),
            manifest: args.manifest.clone(),
            format: super::args::PlanFormat::Text,
            jobs: args.jobs,
            verbose: false,
        });
    }
    session.device.check().map_err(CliError::usage)?;
    let missing = session.missing_data();
    let plan = session.runnable();
    if !plan.stages.iter().any(|s| s.kind.is_training()) && !missing.is_empty() {
        return Err(session::missing_data_error(&missing));
    }
    let origin = Origin {
        manifests: args.files.clone(),
        project: session.root.clone(),
        results: args
            .results
            .as_ref()
            .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
        partial: session.partial,
        device: session.device.to_string(),
        ..Origin::here()
    };
    let dispatch = Dispatch {
        store: &session.store,
        device: session.device,
        root: &session.root,
        origin,
    };
    let report = dispatch.run(&plan, args)?;
    match write_tables(&session, args.results.as_deref(), args.quiet) {
        // That stages failed is said already, and is what the exit code is about.
        Err(error) if !report.is_complete() => error.print(),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    if !missing.is_empty() {
        session::missing_data_error(&missing).print();
        return Ok(ExitStatus::Data);
    }
    Ok(match report.exit_code() {
        0 => ExitStatus::Done,
        4 => ExitStatus::Data,
        _ => ExitStatus::Failed,
    })
}

/// What a run goes by beside its plan and its arguments.
pub(super) struct Dispatch<'a> {
    pub store: &'a Store,
    pub device: DeviceChoice,
    /// Root of the project.
    pub root: &'a Path,
    pub origin: Origin,
}

impl Dispatch<'_> {
    /// Runs what is missing of `plan` and says what came of it. Ends the process if it was
    /// interrupted: there are no tables to write then.
    pub(super) fn run(self, plan: &Plan, args: &RunArgs) -> Result<RunReport, CliError> {
        crate::nn::memory::keep_freed();
        let runner = Runner::new(self.device, session::ledger(self.root)?);
        let store = self.store;
        let options = self.local_options(args, plan)?;
        let tracker = Tracker::new(String::new(), options.origin.clone());
        let reporter =
            progress::reporter(args.quiet, tracker, || outlook(store, plan, options.jobs));
        let board = args.tensorboard.as_ref().map(TensorBoard::new);
        let board: &dyn EventSink = match &board {
            Some(board) => board,
            None => &Silent,
        };
        let report = local::run(plan, store, &options, &runner, &Both(&*reporter, board))
            .map_err(CliError::internal)?;
        drop(reporter);
        if !args.quiet || !report.is_complete() {
            eprint!("{}", report.summary());
        }
        if !args.quiet
            && let Some(dir) = &report.folder
        {
            let logs = RunFolder { dir: dir.clone() }.logs();
            let count = std::fs::read_dir(&logs).map_or(0, Iterator::count);
            if count > 0 {
                let stages = if count == 1 { "stage" } else { "stages" };
                eprintln!("{count} {stages} left a log: {}", logs.display());
            }
        }
        if report.interrupted {
            std::process::exit(report.exit_code());
        }
        Ok(report)
    }

    /// The slots of this machine: one per GPU where the device is one, otherwise one per core.
    fn local_options(self, args: &RunArgs, plan: &Plan) -> Result<LocalOptions, CliError> {
        let exe = std::env::current_exe().map_err(CliError::internal)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let gpus = match args.gpus.as_slice() {
            [] => self.device.gpus(),
            named => named.to_owned(),
        };
        let device = if gpus.is_empty() {
            self.device
        } else {
            self.device.alone()
        };
        let jobs = match args.jobs {
            Some(jobs) => usize::from(jobs),
            None => default_jobs(&gpus, plan, self.store),
        };
        // Preparation, clustering and tables keep no GPU waiting.
        let host_jobs = if gpus.is_empty() { 0 } else { cores.min(4) };
        let mut worker_args = vec!["--device".into(), device.to_string().into()];
        worker_args.extend(args.checkpoints.arguments());
        Ok(LocalOptions {
            jobs,
            host_jobs,
            threads_per_job: args
                .threads
                .map_or((cores / jobs.max(host_jobs)).max(1), usize::from),
            gpus,
            fail_fast: args.fail_fast,
            retries: args.retries,
            worker_args,
            stop: Stop::on_signals(),
            origin: Origin {
                slots: jobs,
                ..self.origin
            },
            ..LocalOptions::new(exe)
        })
    }
}

/// Stages at a time: one per GPU, otherwise as many trainings as can run side by side, at most one
/// per core. One training alone gets all cores.
pub(super) fn default_jobs(gpus: &[String], plan: &Plan, store: &Store) -> usize {
    if !gpus.is_empty() {
        return gpus.len();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let missing = |kind: StageKind| {
        plan.stages
            .iter()
            .filter(|stage| stage.kind == kind)
            // The run itself looks closer.
            .filter(|stage| !store.artifact_dir(kind, &stage.key).exists())
            .take(cores)
            .count()
    };
    missing(StageKind::Pretrain)
        .max(missing(StageKind::Finetune))
        .max(1)
}
