//! `work`: stages of a frozen plan, in a process of its own. It never plans.

use super::args::WorkArgs;
use super::exit::{CliError, ExitStatus};
use super::table::write_frozen;
use crate::engine::events::read_plan;
use crate::engine::slurm::{self, Frozen, Orders};
use crate::engine::worker::{self, WorkerExit};
use crate::plan::Key;
use crate::report::Ledger;
use crate::stage::Runner;
use crate::store::Store;

pub(super) fn work(args: &WorkArgs) -> Result<ExitStatus, CliError> {
    crate::nn::memory::keep_freed();
    let keys = args
        .keys
        .iter()
        .map(|key| key.parse())
        .collect::<Result<Vec<Key>, _>>()
        .map_err(CliError::usage)?;
    let store = Store::open(&args.store).map_err(CliError::internal)?;
    let frozen = match &args.tables {
        Some(path) => Frozen::read(path).map_err(CliError::internal)?,
        None => Frozen::default(),
    };
    let ledger = match &frozen.ledger {
        Some(text) => Ledger::read("the published numbers", text.as_bytes()),
        None => Ledger::embedded(),
    };
    let device = args.device.parse().map_err(CliError::usage)?;
    let runner = Runner {
        checkpoints: args.checkpoints.every(),
        halve: args.halve,
        every_step: args.every_step,
        ..Runner::new(device, ledger.map_err(CliError::internal)?)
    };
    let exit = match (&args.events, keys.as_slice()) {
        (Some(events), keys) => {
            let orders = Orders {
                plan: &args.plan,
                keys,
                store: &store,
                events,
                lenient: args.lenient,
                halved: args.halve,
            };
            slurm::work(&orders, &runner)
        }
        (None, [key]) => worker::work(&args.plan, key, &store, &runner),
        (None, _) => return Err(CliError::usage("several keys need --events")),
    };
    let exit = exit.map_err(CliError::internal)?;
    if exit != WorkerExit::Stopped {
        write_tables(args, &keys, &store, &frozen, &runner.ledger)?;
    }
    // The worker's codes are the engine's own protocol, finer than the documented ones.
    std::process::exit(exit.code())
}

/// The files of the tables among the stages, with holes where a stage before them failed.
fn write_tables(
    args: &WorkArgs,
    keys: &[Key],
    store: &Store,
    frozen: &Frozen,
    ledger: &Ledger,
) -> Result<(), CliError> {
    if frozen.results.is_empty() {
        return Ok(());
    }
    let plan = read_plan(&args.plan).map_err(CliError::internal)?;
    for key in keys {
        if let (Some(stage), Some(folder)) = (plan.get(key), frozen.results.get(key)) {
            write_frozen(store, &plan, stage, ledger, folder)?;
        }
    }
    Ok(())
}
