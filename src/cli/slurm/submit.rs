//! `run --engine slurm` and `retry`: submits what is missing and leaves; nobody of ours has to stay.

use std::collections::{BTreeMap, HashMap};

use crate::cli::args::RunArgs;
use crate::cli::chosen::Chosen;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::session::{self, Session};
use crate::cli::table::write_tables;
use crate::engine::events::{EngineKind, Origin};
use crate::engine::slurm::{self, Draft, Frozen, Setup, Submission};
use crate::nn::device::DeviceChoice;
use crate::options::{SlurmJobKind, SlurmOptions};
use crate::plan::DeviceClass;

pub(in crate::cli) fn run(args: &RunArgs, session: &Session) -> Result<ExitStatus, CliError> {
    check_arguments(args)?;
    session.device.check_build().map_err(CliError::usage)?;
    let missing = session.missing_data();
    let options = options(session)?;
    let setup = setup(args, session, options)?;
    let live = if args.dry_run {
        HashMap::new()
    } else {
        let queue = slurm::queue().map_err(super::no_slurm)?;
        slurm::live(&session.store, &queue).map_err(CliError::internal)?
    };
    // With the stages whose data is missing: the tables tell of them, and they become no jobs.
    let draft = slurm::draft(
        session.plan().into_owned(),
        &session.store,
        &live,
        &setup.frozen.options,
    )
    .map_err(CliError::internal)?;
    let has_work = draft.jobs.iter().any(|job| job.kind != SlurmJobKind::Cheap);
    if !missing.is_empty() && !has_work && draft.adopted.is_empty() {
        return Err(session::missing_data_error(&missing));
    }
    if args.dry_run {
        print!("{}", draft.show(&session.store, &setup));
        eprintln!("{}", outline(&draft));
        return Ok(ExitStatus::Done);
    }
    if draft.jobs.is_empty() {
        if draft.adopted.is_empty() {
            write_tables(session, args.results.as_deref(), args.quiet)?;
        } else {
            eprintln!("nothing to submit: {}", outline(&draft));
        }
        return Ok(ExitStatus::Done);
    }
    if wants_gpus(&setup.frozen.options) && session.class == DeviceClass::CpuFlex {
        eprintln!(
            "warning: the jobs ask for GPUs but compute on the CPU; name their device with --device"
        );
    }
    if !args.quiet {
        eprintln!("{}", outline(&draft));
    }
    let submission = draft
        .submit(&session.store, &setup)
        .map_err(CliError::internal)?;
    report(args.quiet, &draft, submission)?;
    if !missing.is_empty() {
        session::missing_data_error(&missing).print();
        return Ok(ExitStatus::Data);
    }
    Ok(ExitStatus::Done)
}

/// Refuses what only means something on this machine.
fn check_arguments(args: &RunArgs) -> Result<(), CliError> {
    let local = [
        ("--jobs", args.jobs.is_some()),
        ("--threads", args.threads.is_some()),
        ("--gpus", !args.gpus.is_empty()),
        ("--fail-fast", args.fail_fast),
    ];
    match local.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(CliError::usage(format!("{name} is for --engine local"))
            .hint("what jobs ask for stands in the manifest's [slurm] table (docs/slurm.md)")),
        None => Ok(()),
    }
}

/// Submits again what failed, was skipped or was lost in a run, from its frozen plan.
pub(in crate::cli) fn retry(chosen: &Chosen, quiet: bool) -> Result<ExitStatus, CliError> {
    let run = chosen.folder.id();
    let queue = slurm::queue().map_err(super::no_slurm)?;
    let plan = chosen.plan()?;
    let (status, _) = slurm::run_status(&chosen.folder, &plan, &chosen.store, &queue)
        .map_err(CliError::internal)?;
    let path = Frozen::file(&chosen.folder);
    let frozen = Frozen::read(&path).map_err(CliError::internal)?;
    let device: DeviceChoice = chosen.origin.device.parse().map_err(CliError::usage)?;
    device.check_build().map_err(CliError::usage)?;
    let setup = Setup {
        exe: std::env::current_exe().map_err(CliError::internal)?,
        root: chosen.origin.project.clone(),
        device: device.alone().to_string(),
        frozen,
        origin: Origin {
            retry_of: Some(run.clone()),
            process: Origin::here().process,
            ..chosen.origin.clone()
        },
    };
    let live = slurm::live(&chosen.store, &queue).map_err(CliError::internal)?;
    let draft = slurm::draft(plan, &chosen.store, &live, &setup.frozen.options)
        .map_err(CliError::internal)?;
    if draft.jobs.is_empty() {
        println!("nothing is left of run {run} that failed or was lost");
        return Ok(ExitStatus::Done);
    }
    for failure in &status.failed {
        chosen
            .store
            .forget_failure(&failure.key)
            .map_err(CliError::internal)?;
    }
    if !quiet {
        eprintln!("{}", outline(&draft));
    }
    let submission = draft
        .submit(&chosen.store, &setup)
        .map_err(CliError::internal)?;
    report(quiet, &draft, submission)?;
    Ok(ExitStatus::Done)
}

/// The `[slurm]` table of all manifests.
fn options(session: &Session) -> Result<SlurmOptions, CliError> {
    let mut all = session.experiments.iter().map(|e| &e.slurm);
    let first = all.next().cloned().unwrap_or_default();
    if all.any(|other| *other != first) {
        return Err(
            CliError::usage("the manifests ask Slurm for different things")
                .hint("submit them one by one: stages that they share run once all the same"),
        );
    }
    Ok(first)
}

fn setup(args: &RunArgs, session: &Session, options: SlurmOptions) -> Result<Setup, CliError> {
    let results = match &args.results {
        Some(dir) => Some(std::path::absolute(dir).map_err(CliError::internal)?),
        None => None,
    };
    let mut folders = BTreeMap::new();
    if !session.partial {
        for experiment in &session.experiments {
            let folder = session.results(results.as_deref(), &experiment.resolved);
            for (key, _) in &experiment.compiled.tables {
                folders.insert(key.clone(), folder.clone());
            }
        }
    }
    let ledger = session.root.join("results").join("published.csv");
    Ok(Setup {
        exe: std::env::current_exe().map_err(CliError::internal)?,
        root: session.root.clone(),
        device: session.device.alone().to_string(),
        frozen: Frozen {
            options,
            arguments: args
                .checkpoints
                .arguments()
                .into_iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            ledger: std::fs::read_to_string(ledger).ok(),
            results: folders,
        },
        origin: Origin {
            engine: EngineKind::Slurm,
            manifests: args.files.clone(),
            project: session.root.clone(),
            results,
            partial: session.partial,
            // What `auto` means here is what the keys were made for.
            device: session.device.alone().to_string(),
            ..Origin::here()
        },
    })
}

fn wants_gpus(options: &SlurmOptions) -> bool {
    [SlurmJobKind::Pretrain, SlurmJobKind::Finetune]
        .into_iter()
        .any(|kind| options.request(kind).gpus.is_some_and(|n| n > 0))
}

/// `42 stages in 12 jobs (3 arrays), 4 in the queue already (17, 18), 3 in the store`.
fn outline(draft: &Draft) -> String {
    let mut words = Vec::new();
    if !draft.jobs.is_empty() {
        let arrays = draft.jobs.iter().filter(|job| job.is_array()).count();
        let mut jobs = counted(draft.jobs.len(), "job");
        if arrays > 0 {
            jobs.push_str(&format!(" ({})", counted(arrays, "array")));
        }
        words.push(format!("{} in {jobs}", counted(draft.stages(), "stage")));
    }
    if draft.adopted() > 0 {
        words.push(format!(
            "{} in the queue already ({})",
            counted(draft.adopted(), "stage"),
            listed(draft.adopted.keys().map(ToString::to_string))
        ));
    }
    words.push(format!("{} in the store", draft.cached));
    words.join(", ")
}

/// `1 job`, `2 jobs`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first few of many.
fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let mut words: Vec<String> = all.take(SHOWN).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

/// Says what was submitted, and why not all of it.
fn report(quiet: bool, draft: &Draft, submission: Submission) -> Result<(), CliError> {
    let numbers = listed(submission.taken.iter().map(|(_, job)| job.to_string()));
    let Some(error) = submission.refused else {
        if !quiet {
            println!("run {}: jobs {numbers}", submission.folder.id());
        }
        return Ok(());
    };
    if submission.taken.is_empty() {
        return Err(super::no_slurm(error));
    }
    let rest = draft.jobs.len() - submission.taken.len();
    Err(CliError::internal(error).hint(format!(
        "{} jobs were submitted and stay ({numbers}), {rest} were not: the same command goes on",
        submission.taken.len(),
    )))
}
