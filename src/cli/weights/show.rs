//! `weights show`: what a file of weights holds, without reading its numbers.

use serde_json::json;

use super::super::args::Format;
use super::super::exit::{CliError, ExitStatus};
use super::args::ShowArgs;
use crate::nn::foreign::WeightsFile;

pub(super) fn show(args: &ShowArgs) -> Result<ExitStatus, CliError> {
    let file = WeightsFile::open(&args.file).map_err(CliError::data)?;
    if args.format == Format::Json {
        let tensors: Vec<_> = file
            .entries()
            .iter()
            .map(|(name, e)| json!({ "name": name, "dtype": e.dtype, "shape": e.shape }))
            .collect();
        println!("{}", json!({ "digest": file.digest(), "tensors": tensors }));
        return Ok(ExitStatus::Done);
    }
    let longest = file.entries().keys().map(String::len).max().unwrap_or(0);
    let mut numbers = 0u64;
    for (name, entry) in file.entries() {
        println!("{name:longest$}  {:5} {:?}", entry.dtype, entry.shape);
        let sizes = entry.shape.iter().map(|&n| n as u64);
        numbers = numbers.saturating_add(sizes.fold(1, u64::saturating_mul));
    }
    println!("{} tensors, {numbers} numbers", file.entries().len());
    Ok(ExitStatus::Done)
}
