//! `weights`: networks between this program and others. A file per subverb.

mod args;
mod export;
mod show;

pub use args::WeightsArgs;

use super::exit::{CliError, ExitStatus};
use args::WeightsWhat;

pub(super) fn weights(args: &WeightsArgs) -> Result<ExitStatus, CliError> {
    match &args.what {
        WeightsWhat::Show(a) => show::show(a),
        WeightsWhat::Export(a) => export::export(a),
    }
}
