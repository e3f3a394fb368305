//! The command line: a file per verb, with its arguments, printing and exit code. Nothing else
//! prints.

mod args;
mod cache;
mod cancel;
mod check;
mod chosen;
mod claims;
mod completions;
mod devices;
mod diff;
mod exit;
mod forecast;
mod hole;
mod info;
mod lineage;
mod list;
mod logging;
mod phantom;
mod plan;
mod predict;
mod reference;
mod report;
mod retry;
mod run;
mod schema;
mod score;
mod session;
mod slurm;
mod status;
mod table;
mod trace;
mod watch;
mod weights;
mod why;
mod work;

use std::ffi::OsString;

use clap::Parser;

pub use exit::{CliError, ExitStatus};

use args::{Cli, Command};

/// Whether `arguments` (the first is the program's own name) are a command of this program; nothing
/// runs.
///
/// # Errors
/// What the command line says of them.
pub fn understand(arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    match Cli::try_parse_from(args::with_default_verb(arguments)) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Runs the program on `arguments` (the first is its own name) and returns its exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    let cli = match Cli::try_parse_from(args::with_default_verb(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; clap knows which stream is theirs.
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Done
            };
            let _ = error.print();
            return status.into();
        }
    };
    if !matches!(
        cli.command,
        Command::Run(_) | Command::Retry(_) | Command::Work(_)
    ) {
        end_quietly_on_closed_pipe();
    }
    crate::nn::device::number_by_bus();
    logging::start(matches!(cli.command, Command::Work(_)));
    let result = match cli.command {
        Command::Run(a) => run::run(&a),
        Command::Plan(a) => plan::plan(&a),
        Command::Status(a) => status::status(&a),
        Command::Watch(a) => watch::watch(&a),
        Command::Cancel(a) => cancel::cancel(&a),
        Command::Retry(a) => retry::retry(&a),
        Command::Trace(a) => trace::trace(&a),
        Command::Table(a) => table::table(&a),
        Command::Claims(a) => claims::claims(&a),
        Command::Report(a) => report::report(&a),
        Command::Why(a) => why::why(&a),
        Command::Diff(a) => diff::diff(&a),
        Command::List(a) => list::list(&a),
        Command::Devices(a) => devices::devices(&a),
        Command::Check(a) => check::check(&a),
        Command::Phantom(a) => phantom::phantom(&a),
        Command::Info(a) => info::info(&a),
        Command::Score(a) => score::score(&a),
        Command::Predict(a) => predict::predict(&a),
        Command::Weights(a) => weights::weights(&a),
        Command::Cache(a) => cache::cache(&a),
        Command::Schema => schema::schema(),
        Command::Completions(a) => completions::completions(&a),
        Command::Reference(args) => reference::reference(&args),
        Command::Work(a) => work::work(&a),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            error.print();
            error.status.into()
        }
    }
}

/// `amlp-run list | head` ends like any other command when its reader leaves. Runs and workers do
/// not: their artifacts matter more than who reads their output.
fn end_quietly_on_closed_pipe() {
    #[cfg(unix)]
    // SAFETY: sets a disposition that the system defines, before other threads start.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
