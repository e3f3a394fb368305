//! Why a cell of a table is empty: what stands in the way of its scores or measurements.

use std::collections::HashMap;

use super::table;
use crate::plan::{Key, Stage, StageKind};
use crate::stage::Found;
use crate::store::{State, Store};

/// What the stages of a plan left for tables, and reasons where there is nothing.
pub(super) struct Scores<'a> {
    store: &'a Store,
    /// All by key.
    stages: HashMap<&'a Key, &'a Stage>,
    /// Obstacles that were looked for; whole rows share them.
    known: HashMap<&'a Key, Option<String>>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(store: &'a Store, stages: &'a [Stage]) -> Self {
        Self {
            store,
            stages: stages.iter().map(|s| (&s.key, s)).collect(),
            known: HashMap::new(),
        }
    }

    /// What the stage `key` left, or why there is nothing: one that was never run is explained by
    /// the first stage before it that failed or cannot run.
    pub(super) fn of(&mut self, key: &Key) -> Result<Found, String> {
        let kind = self.stages.get(key).map_or(StageKind::Evaluate, |s| s.kind);
        table::found(self.store, kind, key)
            .map_err(|own| self.obstacle(key).unwrap_or_else(|| own.to_owned()))
    }

    /// The first thing that went wrong on the way to `key`, inputs first.
    fn obstacle(&mut self, key: &Key) -> Option<String> {
        if let Some(found) = self.known.get(key) {
            return found.clone();
        }
        let stage = self.stages.get(key).copied()?;
        let found = self.look(stage);
        self.known.insert(&stage.key, found.clone());
        found
    }

    fn look(&mut self, stage: &'a Stage) -> Option<String> {
        if stage.lacks_data() {
            return Some("the data set is not there".to_owned());
        }
        match self.store.lookup(stage.kind, &stage.key) {
            Ok(State::Cached) => None,
            Ok(State::Failed { failure }) => {
                Some(format!("{} failed: {}", stage.kind, failure.message))
            }
            Ok(State::Running { .. }) => Some(format!("{} is still running", stage.kind)),
            Ok(State::Damaged { reason }) => {
                Some(format!("the {} artifact is damaged: {reason}", stage.kind))
            }
            Ok(State::Missing) => stage.inputs.iter().find_map(|i| self.obstacle(&i.key)),
            Err(error) => Some(error.to_string()),
        }
    }
}
