//! `cache`: what is in the store, whether it is whole, what of it is garbage, and tables on the
//! move. A file per subverb.

mod args;
mod export;
mod gc;
mod import;
mod ls;
mod rebuild;
mod roots;
mod size;
mod verify;

pub use args::CacheArgs;

use std::path::{Path, PathBuf};

use super::exit::{CliError, ExitStatus};
use crate::store::Store;
use crate::study::project_root;
use args::{CacheWhat, StoreArgs};

pub(super) fn cache(args: &CacheArgs) -> Result<ExitStatus, CliError> {
    match &args.what {
        CacheWhat::Ls(a) => ls::ls(a),
        CacheWhat::Verify(a) => verify::verify(a),
        CacheWhat::Gc(a) => gc::gc(a),
        CacheWhat::Export(a) => export::export(a),
        CacheWhat::Import(a) => import::import(a),
    }
}

/// The project around the working directory.
fn project() -> PathBuf {
    project_root(Path::new("manifest.toml"))
}

/// The store of the project around the working directory, or the one asked for.
fn open(args: &StoreArgs) -> Result<Store, CliError> {
    let root = args
        .store
        .clone()
        .unwrap_or_else(|| project().join(".amlp"));
    Store::open(root).map_err(CliError::usage)
}
