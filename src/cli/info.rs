//! `info`: header and statistics of a NIfTI file.

use super::args::{Format, InfoArgs};
use super::exit::{CliError, ExitStatus};
use crate::data::volume::info as read_info;

pub(super) fn info(args: &InfoArgs) -> Result<ExitStatus, CliError> {
    let info = read_info(&args.file).map_err(CliError::data)?;
    if args.format == Format::Json {
        println!("{}", serde_json::to_string(&info).map_err(CliError::internal)?);
        return Ok(ExitStatus::Done);
    }
    println!("{info}");
    Ok(ExitStatus::Done)
}
