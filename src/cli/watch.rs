//! `watch`: the progress of a run of another process, as that process would show it.

use std::time::Duration;

use super::args::WatchArgs;
use super::chosen::Chosen;
use super::exit::{CliError, ExitStatus};
use super::forecast::outlook;
use crate::engine::events::EngineKind;
use crate::engine::{RunState, Tracker, progress};

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(300);

pub(super) fn watch(args: &WatchArgs) -> Result<ExitStatus, CliError> {
    let chosen = Chosen::find(&args.choice)?;
    if chosen.origin.engine == EngineKind::Slurm {
        return super::slurm::watch(&chosen);
    }
    let new_tracker = || Tracker::new(chosen.folder.id(), chosen.origin.clone());
    let mut tracker = new_tracker();
    let mut follower = chosen.folder.follow();
    let past = follower.poll().map_err(CliError::internal)?;
    for entry in &past {
        tracker.take(entry);
    }
    if tracker.state() == RunState::Running {
        let plan = chosen.plan()?;
        let reporter = progress::reporter(false, new_tracker(), || match chosen.origin.slots {
            0 => None,
            slots => outlook(&chosen.store, &plan, slots),
        });
        reporter.catch_up(&past);
        loop {
            // Asked before the log is read: what a process wrote before it ended is in it then.
            let state = tracker.state();
            for entry in &follower.poll().map_err(CliError::internal)? {
                reporter.take(entry);
                tracker.take(entry);
            }
            if state != RunState::Running || tracker.is_over() {
                break;
            }
            reporter.tick();
            std::thread::sleep(INTERVAL);
        }
    }
    let report = tracker.report(&chosen.store);
    if tracker.state() == RunState::Died {
        eprint!("{}", report.failures_text());
        return Err(CliError::internal(format!(
            "run {} died: its process is gone",
            chosen.folder.id()
        ))
        .hint("the same `amlp-run run` goes on with it; finished stages are in the store"));
    }
    eprint!("{}", report.summary());
    std::process::exit(report.exit_code());
}
