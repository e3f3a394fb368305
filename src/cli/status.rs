//! `status`: where a run stands.

use rayon::prelude::*;
use serde_json::{Value, json};

use super::args::{Format, StatusArgs};
use super::chosen::{self, Chosen};
use super::exit::{CliError, ExitStatus};
use super::slurm;
use crate::engine::events::{EngineKind, Origin, RunFolder};
use crate::engine::progress;
use crate::engine::slurm::{JobsStatus, run_status};
use crate::engine::{RunReport, RunState, RunStatus, duration};
use crate::store::Store;

/// Width of lines where the terminal does not say.
const WIDTH: usize = 120;

pub(super) fn status(args: &StatusArgs) -> Result<ExitStatus, CliError> {
    if args.all {
        return list(&chosen::store(&args.choice)?, args.format);
    }
    let chosen = Chosen::find(&args.choice)?;
    let (mut status, jobs) = match chosen.origin.engine {
        EngineKind::Local => (
            RunStatus::read(&chosen.folder).map_err(CliError::internal)?,
            None,
        ),
        EngineKind::Slurm => {
            let (status, jobs) = slurm::status(&chosen)?;
            (status, Some(jobs))
        }
    };
    status
        .compare(&chosen.store, &chosen.plan()?)
        .map_err(CliError::internal)?;
    match args.format {
        Format::Json => {
            let mut value = json(&status, &chosen.folder, &chosen.origin)?;
            if let Some(jobs) = &jobs {
                value["stages"] = json!(jobs.stages);
            }
            println!("{value}");
        }
        Format::Text => print!("{}", text(&status, &chosen, jobs.as_ref())),
    }
    Ok(ExitStatus::Done)
}

/// Seconds for people.
fn time(seconds: f64) -> String {
    duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn json(status: &RunStatus, folder: &RunFolder, origin: &Origin) -> Result<Value, CliError> {
    let mut value = serde_json::to_value(status).map_err(CliError::internal)?;
    value["folder"] = json!(folder.dir);
    if let Some(running) = value["running"].as_array_mut() {
        for (value, stage) in running.iter_mut().zip(&status.running) {
            let log = folder.log_file(&stage.key);
            value["log"] = json!(log.exists().then_some(log));
        }
    }
    value["command"] = json!(origin.command);
    value["retry_of"] = json!(origin.retry_of);
    Ok(value)
}

/// The command line as it was typed, without the folder of the program.
fn command(origin: &Origin) -> String {
    let mut words = origin.command.clone();
    if let Some(program) = words.first_mut()
        && let Some(name) = std::path::Path::new(program.as_str()).file_name()
    {
        *program = name.to_string_lossy().into_owned();
    }
    words.join(" ")
}

/// `12 of 40 stages done, 1 failed, 3 skipped, 25 cached before`.
fn counts(status: &RunStatus) -> String {
    let mut words = vec![format!("{} of {} stages done", status.done, status.total)];
    for (count, what) in [
        (status.running.len(), "running"),
        (status.failed.len(), "failed"),
        (status.skipped.len(), "skipped"),
        (status.mended.len(), "of them made since"),
        (status.cached, "cached before"),
    ] {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    words.join(", ")
}

fn text(status: &RunStatus, chosen: &Chosen, jobs: Option<&JobsStatus>) -> String {
    let wall = time(status.wall_s);
    let process = match (&chosen.origin.process, status.state) {
        (_, RunState::Running) if jobs.is_some() => " (on Slurm)".to_owned(),
        (Some(process), RunState::Running) => format!(" ({process})"),
        _ => String::new(),
    };
    let state = match status.state {
        RunState::Running => format!("is running for {wall}{process}"),
        RunState::Finished => format!("finished after {wall}"),
        RunState::Interrupted => format!("was interrupted after {wall}"),
        RunState::Died if jobs.is_some() => format!("ended after {wall} with stages lost"),
        RunState::Died => format!("died after {wall}: its process is gone"),
    };
    let mut text = format!("run {} {state}\n", status.run);
    if !chosen.origin.command.is_empty() {
        text.push_str(&format!("  {}\n", command(&chosen.origin)));
    }
    if let Some(run) = &chosen.origin.retry_of {
        text.push_str(&format!("  tries again what failed in run {run}\n"));
    }
    text.push_str(&format!("  {}\n", counts(status)));
    if !status.running.is_empty() {
        text.push('\n');
        let width = console::Term::stdout()
            .size_checked()
            .map_or(WIDTH, |(_, width)| usize::from(width));
        for line in progress::stages(&status.running, usize::MAX, width) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    if let Some(jobs) = jobs {
        text.push_str(&slurm::lines(jobs));
    }
    let (mended, open): (Vec<_>, Vec<_>) = status
        .failed
        .iter()
        .cloned()
        .partition(|failure| status.mended.contains(&failure.key));
    if !open.is_empty() {
        let report = RunReport {
            failed: open,
            skipped: status.skipped.clone(),
            failures: chosen.store.paths().failures(),
            ..RunReport::default()
        };
        text.push('\n');
        text.push_str(report.failures_text().trim_end());
        text.push('\n');
    }
    for failure in mended {
        text.push_str(&format!("\nfailed, made since: {}\n", failure.label));
    }
    text.push_str(&format!("\nfolder: {}\n", chosen.folder.dir.display()));
    text
}

/// All runs, the last one last.
fn list(store: &Store, format: Format) -> Result<ExitStatus, CliError> {
    let runs = RunFolder::all(store).map_err(CliError::internal)?;
    let queue = slurm::queue_for(&runs);
    let all: Vec<(RunStatus, Origin, RunFolder)> = runs
        .into_par_iter()
        .map(|run| {
            let origin = run.origin()?;
            let status = match (&queue, origin.engine) {
                (Some(queue), EngineKind::Slurm) => run_status(&run, &run.plan()?, store, queue)?.0,
                _ => RunStatus::read(&run)?,
            };
            Ok((status, origin, run))
        })
        .collect::<Result<_, crate::engine::EngineError>>()
        .map_err(CliError::internal)?;
    if format == Format::Json {
        let values = all
            .iter()
            .map(|(status, origin, run)| json(status, run, origin))
            .collect::<Result<Vec<_>, _>>()?;
        println!("{}", Value::Array(values));
        return Ok(ExitStatus::Done);
    }
    for (status, origin, _) in &all {
        println!(
            "{:<28} {:<11} {:>7}  {}",
            status.run,
            status.state.name(),
            time(status.wall_s),
            counts(status)
        );
        println!("    {}", command(origin));
    }
    Ok(ExitStatus::Done)
}
