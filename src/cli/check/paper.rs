//! `check paper`: contradictions inside the published numbers.

use crate::cli::args::{CheckPaperArgs, Format};
use crate::cli::exit::{CliError, ExitStatus};
use crate::report::{Ledger, lint};

pub(super) fn paper(args: &CheckPaperArgs) -> Result<ExitStatus, CliError> {
    let ledger = match &args.ledger {
        Some(path) => Ledger::open(path).map_err(CliError::usage)?,
        None => Ledger::embedded().map_err(CliError::internal)?,
    };
    let report = lint::lint(&ledger);
    if args.format == Format::Json {
        let text = serde_json::to_string(&report).map_err(CliError::internal)?;
        println!("{text}");
    } else {
        print!("{}", report.text());
    }
    Ok(ExitStatus::Done)
}
