//! `run`: plan, run what is missing, write the tables.

use super::args::{Engine, RunArgs};
use super::exit::{CliError, ExitStatus};
use super::session::{self, Session};
use super::table::write_tables;
use crate::engine::{LocalOptions, Stop, local, progress};
use crate::plan::{Plan, StageKind};
use crate::stage::Runner;

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
            verbose: false,
        });
    }
    session.device.check().map_err(CliError::usage)?;
    let missing = session.missing_data();
    let mut plan = session.plan();
    plan.stages.retain(|s| {
        !session
            .experiments
            .iter()
            .any(|e| e.compiled.provisional.contains(&s.key))
    });
    if !plan.stages.iter().any(|s| s.kind.is_training()) && !missing.is_empty() {
        return Err(session::missing_data_error(&missing));
    }
    crate::nn::memory::keep_freed();
    let runner = Runner {
        device: session.device,
        ledger: session::ledger(&session.root)?,
    };
    let options = local_options(args, &session, &plan)?;
    let reporter = progress::reporter(args.quiet);
    let report = local::run(&plan, &session.store, &options, &runner, &*reporter)
        .map_err(CliError::internal)?;
    drop(reporter);
    if !args.quiet || !report.is_complete() {
        eprint!("{}", report.summary());
    }
    if report.interrupted {
        std::process::exit(report.exit_code());
    }
    write_tables(&session, args.results.as_deref(), args.quiet)?;
    if !missing.is_empty() {
        session::missing_data_error(&missing).print();
        return Ok(ExitStatus::Data);
    }
    Ok(if report.is_complete() {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

/// The slots of this machine: one per GPU where the device is one, otherwise one per core.
fn local_options(args: &RunArgs, session: &Session, plan: &Plan) -> Result<LocalOptions, CliError> {
    let exe = std::env::current_exe().map_err(CliError::internal)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let gpus = match args.gpus.as_slice() {
        [] => session.device.gpus(),
        named => named.to_owned(),
    };
    let device = if gpus.is_empty() {
        session.device
    } else {
        session.device.alone()
    };
    let jobs = match args.jobs {
        Some(jobs) => usize::from(jobs),
        None if gpus.is_empty() => cores.min(width(plan, session)?),
        None => gpus.len(),
    };
    // Preparation, clustering and tables keep no GPU waiting.
    let host_jobs = if gpus.is_empty() { 0 } else { cores.min(4) };
    Ok(LocalOptions {
        jobs,
        host_jobs,
        threads_per_job: args
            .threads
            .map_or((cores / jobs.max(host_jobs)).max(1), usize::from),
        gpus,
        fail_fast: args.fail_fast,
        worker_args: vec!["--device".into(), device.to_string().into()],
        stop: Stop::on_signals(),
        ..LocalOptions::new(exe)
    })
}

/// How many trainings can run side by side at most: as many as the largest kind of them has stages
/// to run. One training alone gets all cores.
fn width(plan: &Plan, session: &Session) -> Result<usize, CliError> {
    let states = session
        .store
        .lookup_all(&plan.stages)
        .map_err(CliError::internal)?;
    let missing = |kind: StageKind| {
        plan.stages
            .iter()
            .zip(&states)
            .filter(|(stage, state)| stage.kind == kind && !state.is_cached())
            .count()
    };
    let widest = missing(StageKind::Pretrain).max(missing(StageKind::Finetune));
    Ok(widest.max(1))
}
