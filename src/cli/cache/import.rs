//! `cache import`: a file of tables into the store.

use std::path::Path;

use super::super::exit::{CliError, ExitStatus};
use super::super::table::make_folder;
use super::args::ImportArgs;
use super::rebuild::check_tables;
use crate::stage::TABLE_FILES;
use crate::store::bundle::{Bundle, BundleError};

pub(super) fn import(args: &ImportArgs) -> Result<ExitStatus, CliError> {
    if !args.file.is_file() {
        return Err(CliError::usage(format!(
            "'{}' is no file",
            args.file.display()
        )));
    }
    let store = super::open(&args.store)?;
    let (bundle, imported) =
        store
            .import(&args.file, check_tables)
            .map_err(|error| match error {
                BundleError::Damaged { .. } => CliError::data(error),
                other => CliError::internal(other),
            })?;
    println!(
        "{} artifacts and {} records imported, {} artifacts were there",
        imported.artifacts, imported.records, imported.known
    );
    let Some(results) = &args.results else {
        return Ok(ExitStatus::Done);
    };
    for table in &bundle.contents.tables {
        let folder = results.join(table.folder());
        make_folder(&store, &folder)?;
        write_table(&bundle, table, &folder)
            .map_err(|e| CliError::internal(format!("{}: {e}", folder.display())))?;
        println!("{}", folder.join(table.file("csv")).display());
    }
    Ok(ExitStatus::Done)
}

fn write_table(
    bundle: &Bundle,
    table: &crate::store::bundle::TableEntry,
    folder: &Path,
) -> std::io::Result<()> {
    for extension in TABLE_FILES {
        let bytes = bundle.table(table, extension).unwrap_or_default();
        std::fs::write(folder.join(table.file(extension)), bytes)?;
    }
    Ok(())
}
