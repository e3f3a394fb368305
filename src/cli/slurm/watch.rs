//! `watch` for a run on Slurm: its end is what the queue and the store say it is.

use std::time::{Duration, Instant};

use crate::cli::chosen::Chosen;
use crate::cli::exit::{CliError, ExitStatus};
use crate::engine::slurm::Standing;
use crate::engine::{RunReport, RunState, Tracker, progress};

/// How often the log is looked at, and how often the queue.
const INTERVAL: Duration = Duration::from_millis(500);
const QUEUE_INTERVAL: Duration = Duration::from_secs(10);

pub(in crate::cli) fn watch(chosen: &Chosen) -> Result<ExitStatus, CliError> {
    let new_tracker = || Tracker::new(chosen.folder.id(), chosen.origin.clone());
    let reporter = progress::reporter(false, new_tracker(), || None);
    let mut follower = chosen.folder.follow();
    reporter.catch_up(&follower.poll().map_err(CliError::internal)?);
    let (mut status, mut jobs) = super::status(chosen)?;
    let mut asked = Instant::now();
    let mut told = String::new();
    while !jobs.is_over() {
        for entry in &follower.poll().map_err(CliError::internal)? {
            reporter.take(entry);
        }
        reporter.tick();
        std::thread::sleep(INTERVAL);
        if asked.elapsed() < QUEUE_INTERVAL {
            continue;
        }
        asked = Instant::now();
        match super::status(chosen) {
            Ok(now) => (status, jobs) = now,
            // A controller that restarts is no reason to stop watching.
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    eprintln!("{text}");
                    told = text;
                }
            }
        }
    }
    for entry in &follower.poll().map_err(CliError::internal)? {
        reporter.take(entry);
    }
    drop(reporter);
    let report = RunReport {
        failed: status.failed.clone(),
        skipped: status.skipped.clone(),
        ran: jobs.keys(Standing::Done),
        cached: status.cached,
        unfinished: jobs.count(Standing::Lost),
        interrupted: status.state == RunState::Interrupted,
        wall: Duration::try_from_secs_f64(status.wall_s).unwrap_or_default(),
        failures: chosen.store.paths().failures(),
        ..RunReport::default()
    };
    eprint!("{}", report.summary());
    eprint!("{}", super::lines(&jobs));
    std::process::exit(report.exit_code());
}
