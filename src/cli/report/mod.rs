//! `report`: one self-contained page from cached artifacts only.

mod gather;
mod pictures;
mod stages;
mod trainings;

use super::args::ReportArgs;
use super::exit::{CliError, ExitStatus};
use super::session::Session;
use crate::report::html::html;

pub(super) fn report(args: &ReportArgs) -> Result<ExitStatus, CliError> {
    let session = Session::open(&args.files, &args.manifest)?;
    let input = gather::gather(&session, args)?;
    let holes = input
        .tables
        .iter()
        .flat_map(|t| &t.input.cells)
        .any(|c| c.mean.is_none());
    let page = html(&input);
    let unwritable = |e: std::io::Error| {
        CliError::internal(format!("cannot write '{}': {e}", args.out.display()))
    };
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    std::fs::write(&args.out, page).map_err(unwritable)?;
    println!("{}", args.out.display());
    Ok(if holes {
        ExitStatus::Failed
    } else {
        ExitStatus::Done
    })
}
