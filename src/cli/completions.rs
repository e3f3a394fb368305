//! `completions`: for a shell.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::exit::{CliError, ExitStatus};

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitStatus, CliError> {
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "amlp-run",
        &mut std::io::stdout(),
    );
    Ok(ExitStatus::Done)
}
