//! Pictures of the runs behind tables: which slices and models are shown.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use burn::tensor::Device;

use super::gather::Stages;
use crate::cli::exit::CliError;
use crate::nn::device::{self, DeviceChoice};
use crate::plan::{Key, PretrainSpec, Stage, TabulateSpec};
use crate::report::html::{Categories, Gallery, GalleryRow, Pictures, Prediction, Reconstruction};
use crate::stage::{Sources, TestSlice, categories, reconstruction};
use crate::store::{State, Store};

/// Label ratio whose models are shown where a table has it: that of the paper's Figure 4.
const LABEL: u32 = 10;
/// Models that predict for a page at most.
const MODELS: usize = 600;

/// The pictures of all tables.
pub(super) fn gather(
    store: &Store,
    stages: &Stages<'_>,
    specs: &[&TabulateSpec],
) -> Result<Pictures, CliError> {
    // Small work, and the same on every machine.
    let device = device::open(DeviceChoice::Cpu).map_err(CliError::internal)?;
    let mut painter = Painter {
        store,
        stages,
        device,
        pictures: Pictures::default(),
        slices: HashMap::new(),
        predicted: HashMap::new(),
        shown: HashSet::new(),
    };
    for spec in specs {
        painter.gallery(spec);
        painter.pretrained(spec);
    }
    Ok(painter.pictures)
}

struct Painter<'a> {
    store: &'a Store,
    stages: &'a Stages<'a>,
    device: Device,
    pictures: Pictures,
    /// Test slices by the prepared cases that they are of.
    slices: HashMap<&'a Key, Option<std::rc::Rc<TestSlice>>>,
    /// Predictions by model.
    predicted: HashMap<&'a Key, Prediction>,
    /// Models, and pre-trainings, that the page shows already.
    shown: HashSet<&'a Key>,
}

/// Where a stage's slices come from.
struct Folders {
    index: PathBuf,
    prepared: PathBuf,
    split: PathBuf,
}

impl Folders {
    fn sources(&self) -> Sources<'_> {
        Sources {
            index: &self.index,
            prepared: &self.prepared,
            split: &self.split,
        }
    }
}

impl<'a> Painter<'a> {
    fn input(&self, stage: &Stage, role: &str) -> Option<&'a Stage> {
        self.stages.get(stage.input(role)?).copied()
    }

    /// Folder of the artifact of a stage that is done.
    fn folder(&self, stage: &Stage) -> Option<PathBuf> {
        let state = self.store.lookup(stage.kind, &stage.key);
        matches!(state, Ok(State::Cached)).then(|| self.store.artifact_dir(stage.kind, &stage.key))
    }

    /// Folders behind an evaluation.
    fn folders(&self, evaluation: &Stage) -> Option<Folders> {
        let of = |role: &str| self.folder(self.input(evaluation, role)?);
        Some(Folders {
            index: of("index")?,
            prepared: of("prepared")?,
            split: of("split")?,
        })
    }

    /// The evaluation of a row in a column, for the first seed.
    fn evaluation(
        &self,
        spec: &TabulateSpec,
        row: usize,
        column: usize,
        label: u32,
    ) -> Option<&'a Stage> {
        let cell = spec
            .cells
            .iter()
            .find(|c| c.row == row && c.column == column && c.label == label)?;
        let (_, key) = cell.runs.first()?;
        self.stages.get(key).copied()
    }

    fn gallery(&mut self, spec: &TabulateSpec) {
        let Some(label) = shown_label(spec) else {
            return;
        };
        let models: Vec<&Key> = (0..spec.rows.len())
            .flat_map(|row| (0..spec.columns.len()).map(move |column| (row, column)))
            .filter_map(|(row, column)| {
                let evaluation = self.evaluation(spec, row, column, label)?;
                evaluation
                    .input("model")
                    .and_then(|k| self.stages.get_key_value(k))
                    .map(|(k, _)| *k)
            })
            .collect();
        // A table whose models are all shown adds nothing.
        if models.iter().all(|m| self.shown.contains(m)) {
            return;
        }
        let new = models
            .iter()
            .filter(|m| !self.predicted.contains_key(*m))
            .count();
        if self.predicted.len() + new > MODELS {
            self.pictures.notes.push(format!(
                "table {}: no segmentations, a page holds those of {MODELS} models",
                spec.table
            ));
            return;
        }
        let rows: Vec<GalleryRow> = (0..spec.columns.len())
            .filter_map(|column| self.gallery_row(spec, column, label))
            .collect();
        if rows.is_empty() {
            return;
        }
        self.shown.extend(models);
        self.pictures.galleries.push(Gallery {
            table: spec.table.clone(),
            label,
            seed: spec.seeds.first().copied().unwrap_or_default(),
            rows,
        });
    }

    fn gallery_row(
        &mut self,
        spec: &TabulateSpec,
        column: usize,
        label: u32,
    ) -> Option<GalleryRow> {
        let evaluations: Vec<(usize, &Stage)> = (0..spec.rows.len())
            .filter_map(|row| Some((row, self.evaluation(spec, row, column, label)?)))
            .collect();
        let slice = evaluations
            .iter()
            .find_map(|(_, evaluation)| self.slice(evaluation))?;
        let predictions: Vec<Prediction> = evaluations
            .iter()
            .map(|(row, evaluation)| self.prediction(&spec.rows[*row].name, evaluation, &slice))
            .collect();
        predictions
            .iter()
            .any(|p| p.masks.is_ok())
            .then(|| GalleryRow {
                column: column_name(spec, column),
                slice: slice.name.clone(),
                image: slice.image.clone(),
                regions: slice.regions.clone(),
                reference: slice.reference.clone(),
                predictions,
            })
    }

    /// The slice that is shown of an evaluation's test cases.
    fn slice(&mut self, evaluation: &Stage) -> Option<std::rc::Rc<TestSlice>> {
        let prepared = self.input(evaluation, "prepared")?;
        if let Some(known) = self.slices.get(&prepared.key) {
            return known.clone();
        }
        let found = match TestSlice::find(&self.folders(evaluation)?.sources()) {
            Ok(slice) => Some(std::rc::Rc::new(slice)),
            Err(error) => {
                self.pictures
                    .notes
                    .push(format!("{}: {error}", prepared.label));
                None
            }
        };
        self.slices.insert(&prepared.key, found.clone());
        found
    }

    fn prediction(&mut self, method: &str, evaluation: &Stage, slice: &TestSlice) -> Prediction {
        let none = |reason: &str| Prediction {
            method: method.to_owned(),
            key: String::new(),
            masks: Err(reason.to_owned()),
        };
        let Some(model) = self.input(evaluation, "model") else {
            return none("no model");
        };
        if let Some(known) = self.predicted.get(&model.key) {
            return Prediction {
                method: method.to_owned(),
                ..known.clone()
            };
        }
        let Some(folder) = self.folder(model) else {
            return none("not trained");
        };
        // A row may prepare its images in another way than the one whose slice is shown.
        let own = self.slice(evaluation);
        if own.is_some_and(|own| own.image != slice.image) {
            return none("prepared in another way");
        }
        let made = slice.prediction(method, model.key.as_str(), &folder, &self.device);
        self.predicted.insert(&model.key, made.clone());
        made
    }

    /// Categories and reconstructions of the last row of each column that has them.
    fn pretrained(&mut self, spec: &TabulateSpec) {
        let Some(label) = shown_label(spec) else {
            return;
        };
        for column in 0..spec.columns.len() {
            let rows = (0..spec.rows.len()).rev();
            let mut wanted = [true, true];
            for row in rows {
                let Some(evaluation) = self.evaluation(spec, row, column, label) else {
                    continue;
                };
                let encoder = self
                    .input(evaluation, "model")
                    .and_then(|m| self.input(m, "encoder"));
                let Some(encoder) = encoder else { continue };
                let name = (&spec.rows[row].name, column_name(spec, column));
                if wanted[0] {
                    wanted[0] = !self.categories(evaluation, encoder, &name);
                }
                if wanted[1] {
                    wanted[1] = !self.reconstruction(evaluation, encoder, &name);
                }
            }
        }
    }

    /// Says whether there are categories to show, or were.
    fn categories(
        &mut self,
        evaluation: &Stage,
        encoder: &'a Stage,
        (method, column): &(&String, String),
    ) -> bool {
        let Some(clusters) = self.input(encoder, "labels") else {
            return false;
        };
        let found = (|| {
            let spec: PretrainSpec = serde_json::from_value(encoder.spec.clone()).ok()?;
            let folders = self.folders(evaluation)?;
            let (from, folder) = (self.folder(clusters)?, self.folder(encoder)?);
            Some(categories(&spec, &folders.sources(), &from, &folder))
        })();
        match found {
            Some(Ok(Some((slices, first, last)))) => {
                if self.shown.insert(&encoder.key) {
                    self.pictures.categories.push(Categories {
                        column: column.clone(),
                        method: (*method).clone(),
                        key: encoder.key.to_string(),
                        slices,
                        first,
                        last,
                    });
                }
                true
            }
            Some(Err(error)) => {
                self.pictures
                    .notes
                    .push(format!("{}: {error}", encoder.label));
                false
            }
            _ => false,
        }
    }

    /// Says whether there is a reconstruction to show, or was.
    fn reconstruction(
        &mut self,
        evaluation: &Stage,
        encoder: &'a Stage,
        (method, column): &(&String, String),
    ) -> bool {
        let key = encoder.key.to_string();
        if self.pictures.reconstructions.iter().any(|r| r.key == key) {
            return true;
        }
        let found = (|| {
            let spec: PretrainSpec = serde_json::from_value(encoder.spec.clone()).ok()?;
            let folders = self.folders(evaluation)?;
            let folder = self.folder(encoder)?;
            Some(reconstruction(
                &spec,
                &folders.sources(),
                &folder,
                &self.device,
            ))
        })();
        match found {
            Some(Ok(Some(made))) => {
                self.pictures.reconstructions.push(Reconstruction {
                    column: column.clone(),
                    method: (*method).clone(),
                    key,
                    ..made
                });
                true
            }
            Some(Err(error)) => {
                self.pictures
                    .notes
                    .push(format!("{}: {error}", encoder.label));
                false
            }
            _ => false,
        }
    }
}

/// The label ratio of which models are shown: the paper's, or the largest.
fn shown_label(spec: &TabulateSpec) -> Option<u32> {
    if spec.labels.contains(&LABEL) {
        Some(LABEL)
    } else {
        spec.labels.iter().copied().max()
    }
}

fn column_name(spec: &TabulateSpec, column: usize) -> String {
    let c = &spec.columns[column];
    format!("{} {}", c.dataset, c.modality)
}
