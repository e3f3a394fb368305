//! `status` for a run on Slurm: what store and queue say beside its log.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cli::chosen::Chosen;
use crate::cli::exit::CliError;
use crate::engine::RunStatus;
use crate::engine::events::{EngineKind, RunFolder};
use crate::engine::slurm::{self, JobsStatus, QueuedJob, StageStatus, Standing};

/// Most names in a list.
const SHOWN: usize = 10;

/// Where the run stands.
pub(in crate::cli) fn status(chosen: &Chosen) -> Result<(RunStatus, JobsStatus), CliError> {
    let queue = slurm::queue().map_err(super::no_slurm)?;
    let plan = chosen.plan()?;
    slurm::run_status(&chosen.folder, &plan, &chosen.store, &queue).map_err(CliError::internal)
}

/// The queue, where one of `runs` is on Slurm and Slurm answers. Without it there is still the log.
pub(in crate::cli) fn queue_for(runs: &[RunFolder]) -> Option<Vec<QueuedJob>> {
    let is_slurm = |run: &RunFolder| run.origin().is_ok_and(|o| o.engine == EngineKind::Slurm);
    if !runs.iter().any(is_slurm) {
        return None;
    }
    slurm::queue().ok()
}

/// What waits and why, what runs where, and what was lost, for people.
pub(in crate::cli) fn lines(jobs: &JobsStatus) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_lines(jobs, &mut text);
    text
}

fn write_lines(jobs: &JobsStatus, text: &mut String) -> std::fmt::Result {
    let of = |standing: Standing| jobs.stages.iter().filter(move |s| s.state == standing);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in of(Standing::Pending) {
        let reason = stage.reason.as_deref().unwrap_or("unknown");
        *reasons.entry(reason).or_default() += 1;
    }
    if !reasons.is_empty() {
        let words: Vec<String> = reasons.iter().map(|(r, n)| format!("{n} {r}")).collect();
        writeln!(text, "\nwaiting: {}", words.join(", "))?;
    }
    let running: Vec<&StageStatus> = of(Standing::Running).collect();
    if !running.is_empty() {
        writeln!(text, "\non nodes:")?;
        for stage in running.iter().take(SHOWN) {
            let job = stage.job.as_deref().unwrap_or("no job of this run");
            let node = stage.node.as_deref().unwrap_or("unknown");
            writeln!(text, "  {node}: {} (job {job})", stage.label)?;
        }
        more(running.len(), text)?;
    }
    let lost: Vec<&StageStatus> = of(Standing::Lost).collect();
    if !lost.is_empty() {
        writeln!(
            text,
            "\n{} lost (neither done nor in the queue; `amlp-run retry` submits them):",
            lost.len()
        )?;
        for stage in lost.iter().take(SHOWN) {
            writeln!(text, "  {}", stage.label)?;
        }
        more(lost.len(), text)?;
    }
    Ok(())
}

fn more(count: usize, text: &mut String) -> std::fmt::Result {
    match count.saturating_sub(SHOWN) {
        0 => Ok(()),
        n => writeln!(text, "  and {n} more"),
    }
}
