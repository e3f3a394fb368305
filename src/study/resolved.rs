//! The resolved study.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::options::{
    BackboneOptions, ClaimKind, ClaimOver, EvaluateOptions, FinetuneOptions, LayoutOptions,
    MeasureOptions, PhantomOptions, PrepareOptions, PretrainOptions, SliceOptions, SplitOptions,
};

/// A manifest under one profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resolved {
    /// Name of the experiment: the folder of its results.
    pub name: String,
    /// Profile; `paper` where none was asked for.
    pub profile: String,
    /// Data sets that its studies read.
    pub data: BTreeMap<String, ResolvedData>,
    /// Tables.
    pub studies: Vec<ResolvedStudy>,
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedData {
    /// Name in the manifest.
    pub name: String,
    /// Layout.
    pub layout: String,
    /// Folder, where one is given.
    pub root: Option<String>,
    /// Name in the published ledger.
    pub published: String,
    /// Options of the layout.
    pub files: LayoutOptions,
    /// Synthetic patients instead of the folder.
    pub phantom: Option<PhantomOptions>,
}

impl ResolvedData {
    /// Name in tables; the word `phantom` cannot be removed from synthetic data.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.phantom.is_some() {
            format!("phantom-{}", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// A column of a table: one or several modalities of a data set, as channels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Column {
    /// Name of the data set in the manifest.
    pub data: String,
    /// Channels.
    pub modalities: Vec<String>,
}

impl Column {
    /// `T1`, or `FLAIR+T1` for several channels.
    #[must_use]
    pub fn modality(&self) -> String {
        self.modalities.join("+")
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.data, self.modality())
    }
}

/// Label ratio of the cells of a study that has none.
pub const NO_RATIO: u32 = 0;

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedStudy {
    /// Number or name.
    pub table: String,
    /// Title.
    pub title: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// Label ratios in percent; [`NO_RATIO`] alone where there is a measurement.
    pub labels: Vec<u32>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// What is measured instead of trained and scored.
    pub measure: Option<MeasureOptions>,
    /// Metrics, or quantities of the measurement, by registry name.
    pub metrics: Vec<String>,
    /// Regions to show; `mean` is their mean.
    pub regions: Vec<String>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Claims.
    pub claims: Vec<ResolvedClaim>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Name in the published ledger.
    pub published: String,
    /// `setting` in the published ledger.
    pub setting: String,
    /// Part of the measurement that it shows.
    pub part: Option<String>,
    /// What it tries, in a search.
    pub candidate: Option<Candidate>,
    /// One cell for each label ratio and column.
    pub cells: Vec<Cell>,
}

/// A row of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The keys that its step searches, joined by `+`.
    pub step: String,
    /// What it sets, to be laid over the options of pre-training.
    pub patch: Value,
}

/// One cell of a row, before metrics and seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Column, by position.
    pub column: usize,
    /// Percent of labelled training cases.
    pub label: u32,
    /// What it is computed with.
    pub settings: CellSettings,
}

/// A pretext task with the options that it reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretextSpec {
    /// Registry name.
    pub name: String,
    /// Options of the method, canonical.
    pub options: Value,
}

/// A file of weights on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InitFile {
    /// Where it lies.
    pub path: String,
    /// Digest of its content.
    pub digest: String,
}

/// What a cell is computed with; options that have no effect stand at their defaults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSettings {
    /// Pretext task; `None` is training from scratch.
    pub pretext: Option<PretextSpec>,
    /// Network.
    pub backbone: BackboneOptions,
    /// Pre-training.
    pub pretrain: PretrainOptions,
    /// Fine-tuning.
    pub finetune: FinetuneOptions,
    /// The file of `finetune.init`, once somebody has looked at it.
    pub init: Option<InitFile>,
    /// Preparation.
    pub prepare: PrepareOptions,
    /// Slice selection.
    pub slices: SliceOptions,
    /// Split.
    pub split: SplitOptions,
    /// Metrics.
    pub evaluate: EvaluateOptions,
}

/// A claim whose rows exist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedClaim {
    /// The sentence.
    pub text: String,
    /// What it says.
    pub kind: ClaimKind,
    /// Rows from best to worst; where one is best or worst, the others as they come.
    pub order: Vec<String>,
    /// The column that is better than each of `columns`, where the claim is about columns.
    pub best_column: Option<Column>,
    /// Metric.
    pub metric: String,
    /// Regions; `mean` is their mean.
    pub regions: Vec<String>,
    /// Least difference: 0, the margin, or minus what a row may be worse by.
    pub least: f64,
    /// Columns that it is about.
    pub columns: Vec<Column>,
    /// Label ratios that it is about.
    pub labels: Vec<u32>,
    /// Label ratio of each row of `order`, where they differ; `labels` then holds the same.
    pub at: Option<Vec<u32>>,
    /// How its columns enter.
    pub over: ClaimOver,
}

impl ResolvedClaim {
    /// Rows that are compared: the better and the worse, by position in `order`.
    #[must_use]
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let n = self.order.len();
        match self.kind {
            _ if self.best_column.is_some() => (0..n).map(|i| (i, i)).collect(),
            ClaimKind::Best => (1..n).map(|i| (0, i)).collect(),
            ClaimKind::Worst => (1..n).map(|i| (i - 1, n - 1)).collect(),
            _ => (1..n).map(|i| (i - 1, i)).collect(),
        }
    }
}
