//! `weights export`: the network of an artifact as a file for other programs.

use super::super::exit::{CliError, ExitStatus};
use super::args::ExportArgs;
use crate::plan::{Key, StageKind};
use crate::stage::export_weights;
use crate::store::Store;

/// Digits of a key that are enough to look for it.
const ENOUGH: usize = 4;

pub(super) fn export(args: &ExportArgs) -> Result<ExitStatus, CliError> {
    let store = Store::open(&args.store).map_err(CliError::internal)?;
    let (kind, key) = find(&store, args)?;
    let artifact = store.artifact(kind, &key).map_err(CliError::data)?;
    export_weights(&artifact, &args.out).map_err(CliError::data)?;
    println!("{}", args.out.display());
    Ok(ExitStatus::Done)
}

/// The training whose key begins with what was typed.
fn find(store: &Store, args: &ExportArgs) -> Result<(StageKind, Key), CliError> {
    let mut found = Vec::new();
    for kind in [StageKind::Finetune, StageKind::Pretrain] {
        let keys = store.keys(kind).map_err(CliError::internal)?;
        let named = keys
            .into_iter()
            .filter(|k| args.key.len() >= ENOUGH && k.as_str().starts_with(&args.key));
        found.extend(named.map(|key| (kind, key)));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CliError::data(format!(
            "no training '{}' in {}",
            args.key,
            args.store.display()
        ))
        .hint("`amlp-run cache ls --kind finetune` and `--kind pretrain` list their keys")),
        several => Err(CliError::usage(format!(
            "{several} trainings have keys that begin with '{}'",
            args.key
        ))),
    }
}
