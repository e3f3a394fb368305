//! Why a cell of a table is empty: what stands in the way of its scores.

use std::collections::HashMap;

use super::table;
use crate::plan::{Key, Stage};
use crate::stage::Evaluation;
use crate::store::{State, Store};

/// Scores of the evaluations of a plan, and reasons where there are none.
pub(super) struct Scores<'a> {
    store: &'a Store,
    all: &'a [Stage],
    /// All by key, once an obstacle is looked for.
    stages: HashMap<&'a Key, &'a Stage>,
    /// Obstacles that were looked for; whole rows share them.
    known: HashMap<&'a Key, Option<String>>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(store: &'a Store, stages: &'a [Stage]) -> Self {
        Self {
            store,
            all: stages,
            stages: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// The scores of the evaluation `key`, or why there are none: an evaluation that was never
    /// run is explained by the first stage before it that failed or cannot run.
    pub(super) fn of(&mut self, key: &Key) -> Result<Evaluation, String> {
        table::scores(self.store, key)
            .map_err(|own| self.obstacle(key).unwrap_or_else(|| own.to_owned()))
    }

    /// The first thing that went wrong on the way to `key`, inputs first.
    fn obstacle(&mut self, key: &Key) -> Option<String> {
        if let Some(found) = self.known.get(key) {
            return found.clone();
        }
        if self.stages.is_empty() {
            self.stages = self.all.iter().map(|s| (&s.key, s)).collect();
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
