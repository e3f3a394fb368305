//! `cache verify`: every byte of every artifact, or of a file of tables.

use std::path::Path;

use serde_json::json;

use super::super::args::Format;
use super::super::exit::{CliError, ExitStatus};
use super::args::VerifyArgs;
use super::rebuild::check_tables;
use super::size::size;
use crate::store::bundle::{Bundle, BundleError};

pub(super) fn verify(args: &VerifyArgs) -> Result<ExitStatus, CliError> {
    if let Some(file) = &args.file {
        return verify_file(file, args.format);
    }
    let store = super::open(&args.store)?;
    let found = store.verify(true).map_err(CliError::internal)?;
    if args.format == Format::Json {
        println!(
            "{}",
            json!({
                "checked": found.checked,
                "bytes": found.bytes,
                "damaged": found.damaged,
            })
        );
    } else {
        for damage in &found.damaged {
            println!("{damage}");
        }
        let state = match found.damaged.len() {
            0 => "all whole".to_owned(),
            n => format!("{n} damaged; the next run makes them anew"),
        };
        println!(
            "{} artifacts, {} read: {state}",
            found.checked,
            size(found.bytes)
        );
    }
    Ok(if found.damaged.is_empty() {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

fn verify_file(path: &Path, format: Format) -> Result<ExitStatus, CliError> {
    let read = Bundle::read(path, None).and_then(|bundle| {
        check_tables(&bundle)
            .map(|()| bundle)
            .map_err(|reason| BundleError::Damaged {
                path: path.to_owned(),
                reason,
            })
    });
    let bundle = match read {
        Ok(bundle) => bundle,
        Err(error @ BundleError::Damaged { .. }) => {
            return Err(CliError::new(ExitStatus::Failed, error));
        }
        Err(error) => return Err(CliError::usage(error)),
    };
    let contents = &bundle.contents;
    let bytes: u64 = contents.entries.iter().map(|entry| entry.size).sum();
    if format == Format::Json {
        println!(
            "{}",
            json!({
                "program": contents.program,
                "tables": contents.tables,
                "entries": contents.entries.len(),
                "records": bundle.records().len(),
                "bytes": bytes,
            })
        );
        return Ok(ExitStatus::Done);
    }
    for table in &contents.tables {
        println!(
            "table {} of {}, rebuilt from its scores: the same bytes",
            table.table,
            table.folder()
        );
    }
    println!(
        "{} entries, {}, {} records down to the data: all whole",
        contents.entries.len(),
        size(bytes),
        bundle.records().len()
    );
    Ok(ExitStatus::Done)
}
