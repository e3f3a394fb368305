//! `run --engine slurm`: submits what is missing and leaves; nobody of ours has to stay.

use std::collections::{BTreeMap, HashMap};

use super::args::RunArgs;
use super::exit::{CliError, ExitStatus};
use super::session::{self, Session};
use super::table::write_tables;
use crate::engine::EngineError;
use crate::engine::events::{EngineKind, Origin};
use crate::engine::slurm::{self, Draft, Setup, SlurmError, Submission, Tables};
use crate::options::{SlurmJobKind, SlurmOptions};
use crate::plan::DeviceClass;

pub(super) fn run(args: &RunArgs, session: &Session) -> Result<ExitStatus, CliError> {
    session.device.check_build().map_err(CliError::usage)?;
    let missing = session.missing_data();
    let options = options(session)?;
    let setup = setup(args, session, options)?;
    let live = if args.dry_run {
        HashMap::new()
    } else {
        let queue = slurm::queue().map_err(no_slurm)?;
        slurm::live(&session.store, &queue).map_err(CliError::internal)?
    };
    let draft = slurm::draft(
        session.runnable().into_owned(),
        &session.store,
        &live,
        &setup.options,
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
            eprintln!("{}: nothing to submit", outline(&draft));
        }
        return Ok(ExitStatus::Done);
    }
    if wants_gpus(&setup.options) && session.class == DeviceClass::CpuFlex {
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
    report(args, &draft, submission)?;
    if !missing.is_empty() {
        session::missing_data_error(&missing).print();
        return Ok(ExitStatus::Data);
    }
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
        options,
        tables: Tables {
            ledger: std::fs::read_to_string(ledger).ok(),
            results: folders,
        },
        origin: Origin {
            engine: EngineKind::Slurm,
            manifests: args.files.clone(),
            project: session.root.clone(),
            results: args.results.clone(),
            partial: session.partial,
            device: session.device.to_string(),
            ..Origin::here()
        },
    })
}

fn wants_gpus(options: &SlurmOptions) -> bool {
    [SlurmJobKind::Pretrain, SlurmJobKind::Finetune]
        .into_iter()
        .any(|kind| options.request(kind).gpus.is_some_and(|n| n > 0))
}

/// `42 stages in 12 jobs, 4 in the queue, 3 in the store`.
fn outline(draft: &Draft) -> String {
    let arrays = draft.jobs.iter().filter(|job| job.is_array()).count();
    let mut words = vec![match arrays {
        0 => format!("{} stages in {} jobs", draft.stages(), draft.jobs.len()),
        1 => format!(
            "{} stages in {} jobs (1 array)",
            draft.stages(),
            draft.jobs.len()
        ),
        n => format!(
            "{} stages in {} jobs ({n} arrays)",
            draft.stages(),
            draft.jobs.len()
        ),
    }];
    if draft.adopted() > 0 {
        words.push(format!(
            "{} in the queue already ({})",
            draft.adopted(),
            listed(draft.adopted.keys().map(ToString::to_string))
        ));
    }
    words.push(format!("{} in the store", draft.cached));
    words.join(", ")
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
fn report(args: &RunArgs, draft: &Draft, submission: Submission) -> Result<(), CliError> {
    let numbers = listed(submission.taken.iter().map(|(_, job)| job.to_string()));
    let Some(error) = submission.refused else {
        if !args.quiet {
            println!("run {}: jobs {numbers}", submission.folder.id());
        }
        return Ok(());
    };
    if submission.taken.is_empty() {
        return Err(no_slurm(error));
    }
    let rest = draft.jobs.len() - submission.taken.len();
    Err(CliError::internal(error).hint(format!(
        "{} jobs were submitted and stay ({numbers}), {rest} were not: the same command goes on",
        submission.taken.len(),
    )))
}

fn no_slurm(error: SlurmError) -> CliError {
    let hint = matches!(error, SlurmError::Missing { .. })
        .then_some("run this where jobs are submitted from (a login node), or use --engine local");
    let error = CliError::internal(EngineError::from(error));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
