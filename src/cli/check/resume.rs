//! `check resume`: trainings killed at random steps must leave what undisturbed ones leave.

use serde_json::json;

use crate::cli::args::{CheckResumeArgs, Format};
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::session::{self, Session};
use crate::engine::rehearsal::{Outcome, Pick, Rehearsal, RehearsalError, pick};
use crate::engine::{LocalOptions, Stop, Tracker, progress};
use crate::stage::Runner;

pub(super) fn resume(args: &CheckResumeArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(std::slice::from_ref(&args.file), &args.manifest)?;
    session.device.check().map_err(CliError::usage)?;
    let missing = session.missing_data();
    let plan = session.runnable();
    let how = match (args.all, args.trainings) {
        (true, _) => Pick::All,
        (false, Some(count)) => Pick::First(count.get()),
        (false, None) => Pick::Distinct,
    };
    let trainings = pick(&plan, how);
    if trainings.is_empty() && !missing.is_empty() {
        return Err(session::missing_data_error(&missing));
    }

    crate::nn::memory::keep_freed();
    let runner = Runner::new(session.device, session::ledger(&session.root)?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let exe = std::env::current_exe().map_err(CliError::internal)?;
    let options = LocalOptions {
        jobs: cores.min(trainings.len()).max(1),
        threads_per_job: (cores / trainings.len().max(1)).max(1),
        worker_args: vec!["--device".into(), session.device.to_string().into()],
        stop: Stop::on_signals(),
        ..LocalOptions::new(exe)
    };
    let scratch = tempfile::Builder::new()
        .prefix("amlp-run-resume-")
        .tempdir()
        .map_err(CliError::internal)?;
    let rehearsal = Rehearsal {
        plan: &plan,
        cached: &session.store,
        scratch: scratch.path(),
        runner: &runner,
        options: &options,
        kills: args.kills,
        seed: args.seed,
    };
    let tracker = Tracker::new(String::new(), options.origin.clone());
    let reporter = progress::reporter(args.quiet, tracker, || None);
    let mut tell = |outcome: &Outcome| {
        if args.format == Format::Text {
            println!("{}", line(outcome));
        }
    };
    let played = rehearsal.play(&trainings, &*reporter, &mut tell);
    drop(reporter);
    let outcomes = match played {
        Ok(outcomes) => outcomes,
        Err(RehearsalError::Stopped) => {
            drop(scratch);
            std::process::exit(130);
        }
        Err(error @ (RehearsalError::Undisturbed(_) | RehearsalError::Failed { .. })) => {
            // The message names logs in it.
            let _ = scratch.keep();
            return Err(CliError::new(ExitStatus::Failed, error));
        }
        Err(error) => return Err(CliError::internal(error)),
    };
    let equal = outcomes.iter().all(Outcome::is_equal);
    if args.format == Format::Json {
        println!("{}", json!({ "equal": equal, "stages": outcomes }));
    } else {
        println!("{}", total(&outcomes));
    }
    Ok(if equal {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

fn line(outcome: &Outcome) -> String {
    let verdict = if outcome.is_equal() {
        format!("{} files equal", outcome.files)
    } else {
        format!("DIFFERS: {}", outcome.differs.join("; "))
    };
    let kills: Vec<String> = outcome.kills.iter().map(|k| k.at.to_string()).collect();
    let kills = match kills.as_slice() {
        [] => String::new(),
        kills => format!(", killed at {}", kills.join(" and ")),
    };
    format!("{}: {verdict}{kills}", outcome.label)
}

fn total(outcomes: &[Outcome]) -> String {
    let trainings = outcomes.iter().filter(|o| o.kind.is_training()).count();
    let kills: usize = outcomes.iter().map(|o| o.kills.len()).sum();
    let different = outcomes.iter().filter(|o| !o.is_equal()).count();
    let verdict = match different {
        0 => "everything is equal to the undisturbed run".to_owned(),
        n => format!("{n} of {} stages differ", outcomes.len()),
    };
    format!("{trainings} trainings, {kills} kills: {verdict}")
}
