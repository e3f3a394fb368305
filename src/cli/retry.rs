//! `retry`: what failed in a run, again, from its frozen plan and with its own options.

use std::collections::{BTreeMap, HashSet};

use clap::Parser;

use super::args::{self, Cli, Command, RetryArgs, RunArgs};
use super::chosen::Chosen;
use super::exit::{CliError, ExitStatus};
use super::hole::Scores;
use super::run::Dispatch;
use super::session;
use super::table::Destination;
use crate::engine::events::{EngineKind, Origin};
use crate::engine::{RunState, RunStatus};
use crate::nn::device::DeviceChoice;
use crate::plan::{Key, Plan, StageKind, TabulateSpec};
use crate::store::State;

pub(super) fn retry(args: &RetryArgs) -> Result<ExitStatus, CliError> {
    let chosen = Chosen::find(&args.choice)?;
    if chosen.origin.engine == EngineKind::Slurm {
        return super::slurm::retry(&chosen, args.quiet);
    }
    let run = chosen.folder.id();
    let status = RunStatus::read(&chosen.folder).map_err(CliError::internal)?;
    if status.state == RunState::Running {
        return Err(CliError::usage(format!("run {run} is not over"))
            .hint("`amlp-run watch` waits for it, `amlp-run cancel` ends it"));
    }
    let mut run_args = run_args(&chosen.origin)?;
    run_args.quiet = args.quiet;
    // Paths were meant from where the run was started.
    run_args.tensorboard = run_args.tensorboard.map(|dir| chosen.origin.cwd.join(dir));
    let plan = chosen.plan()?;
    let failed = failed(&chosen, &status, &plan)?;
    if failed.is_empty() {
        let hint = match status.state {
            RunState::Interrupted | RunState::Died => {
                "; it did not end: the same `amlp-run run` goes on with it"
            }
            _ => "",
        };
        println!("nothing is left of run {run} that failed{hint}");
        return Ok(ExitStatus::Done);
    }
    let device: DeviceChoice = chosen.origin.device.parse().map_err(CliError::usage)?;
    device.check().map_err(CliError::usage)?;
    for key in &failed {
        chosen
            .store
            .forget_failure(key)
            .map_err(CliError::internal)?;
    }
    let part = plan.part_of(|stage| failed.contains(&stage.key));
    let dispatch = Dispatch {
        store: &chosen.store,
        device,
        root: &chosen.origin.project,
        origin: Origin {
            retry_of: Some(run),
            process: Origin::here().process,
            ..chosen.origin.clone()
        },
    };
    let report = dispatch.run(&part, &run_args)?;
    write_tables(&chosen, &plan, run_args.quiet)?;
    Ok(if report.is_complete() {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

/// The arguments of the run, read from the command line that it recorded.
fn run_args(origin: &Origin) -> Result<RunArgs, CliError> {
    let words = origin.command.iter().map(Into::into);
    match Cli::try_parse_from(args::with_default_verb(words)) {
        Ok(Cli {
            command: Command::Run(args),
        }) => Ok(args),
        _ => Err(CliError::usage(format!(
            "the run did not record a command line that can be repeated: '{}'",
            origin.command.join(" ")
        ))),
    }
}

/// The stages of the run that failed, by its log or by the store, and that nobody has made since.
fn failed(chosen: &Chosen, status: &RunStatus, plan: &Plan) -> Result<HashSet<Key>, CliError> {
    let logged: HashSet<&Key> = status.failed.iter().map(|failure| &failure.key).collect();
    let states = chosen
        .store
        .lookup_all(&plan.stages)
        .map_err(CliError::internal)?;
    Ok(plan
        .stages
        .iter()
        .zip(states)
        .filter(|(stage, state)| match state {
            State::Failed { .. } => true,
            State::Missing | State::Damaged { .. } => logged.contains(&stage.key),
            State::Cached | State::Running { .. } => false,
        })
        .map(|(stage, _)| stage.key.clone())
        .collect())
}

/// Writes the tables of the run.
fn write_tables(chosen: &Chosen, plan: &Plan, quiet: bool) -> Result<(), CliError> {
    let Origin {
        project,
        results,
        partial,
        ..
    } = &chosen.origin;
    let ledger = session::ledger(project)?;
    let mut experiments: BTreeMap<(String, String), Vec<(Key, TabulateSpec)>> = BTreeMap::new();
    for stage in &plan.stages {
        if stage.kind == StageKind::Tabulate {
            let spec: TabulateSpec =
                serde_json::from_value(stage.spec.clone()).map_err(CliError::internal)?;
            experiments
                .entry((spec.experiment.clone(), spec.profile.clone()))
                .or_default()
                .push((stage.key.clone(), spec));
        }
    }
    let mut scores = Scores::new(&chosen.store, &plan.stages);
    for ((experiment, profile), tables) in &experiments {
        let to = Destination {
            store: &chosen.store,
            ledger: &ledger,
            folder: session::results(project, results.as_deref(), experiment, profile),
            partial: *partial,
            quiet,
        };
        to.write(tables.iter().map(|(key, spec)| (key, spec)), &mut scores)?;
    }
    Ok(())
}
