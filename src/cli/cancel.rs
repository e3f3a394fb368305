//! `cancel`: asks the process of a run to write checkpoints and end.

use super::args::CancelArgs;
use super::chosen::Chosen;
use super::exit::{CliError, ExitStatus};
use crate::engine::events::EngineKind;
use crate::engine::{RunState, RunStatus};
use crate::store::host_name;

pub(super) fn cancel(args: &CancelArgs) -> Result<ExitStatus, CliError> {
    let chosen = Chosen::find(&args.choice)?;
    if chosen.origin.engine == EngineKind::Slurm {
        return super::slurm::cancel(&chosen);
    }
    let run = chosen.folder.id();
    let status = RunStatus::read(&chosen.folder).map_err(CliError::internal)?;
    match status.state {
        RunState::Running => {}
        over => {
            println!("run {run} is over: it {}", words(over));
            return Ok(ExitStatus::Done);
        }
    }
    let Some(process) = &chosen.origin.process else {
        return Err(CliError::usage(format!(
            "run {run} did not record its process"
        )));
    };
    if process.host != host_name() {
        return Err(
            CliError::usage(format!("run {run} is {process}, not on this machine"))
                .hint(format!("run this command on {}", process.host)),
        );
    }
    let pid = libc::pid_t::try_from(process.pid).map_err(CliError::internal)?;
    // SAFETY: a plain system call. The process is the run's own: its start time was compared.
    if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(CliError::internal(format!(
            "cannot signal {process}: {error}"
        )));
    }
    println!(
        "asked run {run} ({process}) to end; its trainings write checkpoints first. Once more ends \
         it at once"
    );
    Ok(ExitStatus::Done)
}

fn words(state: RunState) -> &'static str {
    match state {
        RunState::Running => "is running",
        RunState::Finished => "finished",
        RunState::Interrupted => "was interrupted",
        RunState::Died => "died",
    }
}
