//! `work`: one key of a frozen plan, in a process of its own. It never plans.

use super::args::WorkArgs;
use super::exit::{CliError, ExitStatus};
use crate::engine::worker;
use crate::report::Ledger;
use crate::stage::Runner;
use crate::store::Store;

pub(super) fn work(args: &WorkArgs) -> Result<ExitStatus, CliError> {
    crate::nn::memory::keep_freed();
    let key = args.key.parse().map_err(CliError::usage)?;
    let store = Store::open(&args.store).map_err(CliError::internal)?;
    let runner = Runner {
        device: args.device.parse().map_err(CliError::usage)?,
        ledger: Ledger::embedded().map_err(CliError::internal)?,
    };
    let exit = worker::work(&args.plan, &key, &store, &runner).map_err(CliError::internal)?;
    // The worker's codes are the engine's own protocol, finer than the documented ones.
    std::process::exit(exit.code())
}
