//! The run that `status`, `watch`, `cancel`, `retry` and `trace` are about.

use std::path::Path;

use super::args::RunChoice;
use super::exit::CliError;
use crate::engine::events::{Origin, RunFolder};
use crate::plan::Plan;
use crate::store::Store;
use crate::study::project_root;

/// A run of a store.
pub(super) struct Chosen {
    pub store: Store,
    pub folder: RunFolder,
    pub origin: Origin,
}

/// The store that is meant: the one that is named, or that of the project around this folder.
pub(super) fn store(choice: &RunChoice) -> Result<Store, CliError> {
    let dir = choice
        .store
        .clone()
        .unwrap_or_else(|| project_root(Path::new("any.toml")).join(".amlp"));
    Store::open(dir).map_err(CliError::usage)
}

impl Chosen {
    /// Finds the run that is meant.
    pub(super) fn find(choice: &RunChoice) -> Result<Self, CliError> {
        let store = store(choice)?;
        let place = store.paths().root().display().to_string();
        let found = match &choice.run {
            Some(name) => RunFolder::find(&store, name),
            None => RunFolder::last(&store),
        };
        let folder = found
            .map_err(CliError::internal)?
            .ok_or_else(|| match &choice.run {
                Some(name) => CliError::usage(format!("no single run of '{place}' is '{name}'"))
                    .hint("`amlp-run status --all` lists them"),
                None => CliError::usage(format!("the store '{place}' has no run"))
                    .hint("name another one with --store DIR, or go to the project's folder"),
            })?;
        let origin = folder.origin().map_err(CliError::internal)?;
        Ok(Self {
            store,
            folder,
            origin,
        })
    }

    /// Its frozen plan.
    pub(super) fn plan(&self) -> Result<Plan, CliError> {
        self.folder.plan().map_err(CliError::internal)
    }
}
