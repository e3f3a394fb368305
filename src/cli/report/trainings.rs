//! Curves of the trainings behind tables.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::gather::Stages;
use crate::plan::{Key, Stage, StageKind, TabulateSpec};
use crate::report::html::{Training, TrainingKind};
use crate::stage::curve;
use crate::store::Store;

/// Epochs, and values by name.
type Read = (Vec<f64>, BTreeMap<String, Vec<f64>>);

/// Curves, each read once.
pub(super) struct Curves<'a> {
    store: &'a Store,
    stages: &'a Stages<'a>,
    known: HashMap<&'a Key, Option<Read>>,
}

impl<'a> Curves<'a> {
    pub(super) fn new(store: &'a Store, stages: &'a Stages<'a>) -> Self {
        Self {
            store,
            stages,
            known: HashMap::new(),
        }
    }

    /// The curves behind a table. Runs without one are left out: the table tells why.
    pub(super) fn of(&mut self, spec: &TabulateSpec) -> Vec<Training> {
        let mut found = Vec::new();
        // One pre-training serves all label ratios.
        let mut seen = HashSet::new();
        for cell in &spec.cells {
            for (seed, key) in &cell.runs {
                let model = self.input(key, "model");
                let encoder = model.and_then(|m| self.input(&m.key, "encoder"));
                for (stage, kind) in [
                    (model, TrainingKind::Finetune),
                    (encoder, TrainingKind::Pretrain),
                ] {
                    let Some(stage) = stage else { continue };
                    let label = (kind == TrainingKind::Finetune).then_some(cell.label);
                    if !seen.insert((cell.row, cell.column, label, *seed, &stage.key)) {
                        continue;
                    }
                    let Some((epochs, scalars)) = self.read(stage) else {
                        continue;
                    };
                    found.push(Training {
                        kind,
                        row: cell.row,
                        column: cell.column,
                        label,
                        seed: *seed,
                        key: stage.key.to_string(),
                        epochs,
                        scalars,
                    });
                }
            }
        }
        found
    }

    fn input(&self, key: &Key, role: &str) -> Option<&'a Stage> {
        self.stages.get(self.stages.get(key)?.input(role)?).copied()
    }

    fn read(&mut self, stage: &'a Stage) -> Option<Read> {
        let store = self.store;
        let read = self
            .known
            .entry(&stage.key)
            .or_insert_with(|| load(store, stage.kind, &stage.key));
        read.clone()
    }
}

fn load(store: &Store, kind: StageKind, key: &Key) -> Option<Read> {
    let log = curve(&store.artifact_dir(kind, key)).ok()?;
    let mut scalars: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (i, epoch) in log.iter().enumerate() {
        let own = [("loss", epoch.loss), ("lr", epoch.lr)];
        let added = epoch.scalars.iter().map(|(name, v)| (name.as_str(), *v));
        for (name, value) in own.into_iter().chain(added) {
            let values = scalars
                .entry(name.to_owned())
                .or_insert_with(|| vec![f64::NAN; log.len()]);
            values[i] = value;
        }
    }
    Some((log.iter().map(|e| e.epoch as f64).collect(), scalars))
}
