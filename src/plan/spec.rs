//! What each kind of stage reads: the fields that enter its key, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Key;
use crate::options::{
    Aggregation, BackboneOptions, ClusterOptions, FinetuneOptions, HausdorffMode, InitPart,
    LayoutOptions, MetricOptions, PhantomOptions, PrepareOptions, PretrainOptions, SliceUse,
    SplitOptions, Tokens,
};

/// Writes synthetic patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhantomSpec {
    /// What to write.
    pub options: PhantomOptions,
}

/// Lists the cases of a data set. Input `phantom` where the patients are synthetic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexSpec {
    /// Layout.
    pub layout: String,
    /// Options of the layout.
    pub files: LayoutOptions,
    /// Digest of all files of the data set; `None` for phantoms, whose key says it, and for data
    /// that is not there.
    pub fingerprint: Option<String>,
}

/// Draws folds and label subsets. Input `index`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    /// Shares, seed of the folds.
    pub split: SplitOptions,
    /// Seed of the label subsets.
    pub seed: u64,
}

/// Makes slices from volumes. Input `index`, and `phantom` where the patients are synthetic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareSpec {
    /// Channels.
    pub modalities: Vec<String>,
    /// Options.
    pub prepare: PrepareOptions,
    /// Cases at most, the first in name order; 0 is no limit.
    pub max_cases: usize,
}

/// Which slices a stage takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceSpec {
    /// Selection.
    pub slices: SliceUse,
    /// Share of non-zero pixels below which a slice is empty; 0 where it is not read.
    pub min_nonzero: f64,
    /// Slices per case at most; 0 is no limit.
    pub per_case: usize,
}

/// Clusters the patches of the training slices. Inputs `prepared`, `split`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Side of a patch.
    pub patch: usize,
    /// Algorithm.
    pub cluster: ClusterOptions,
    /// Slices.
    pub slices: SliceSpec,
    /// Seed.
    pub seed: u64,
}

/// A tokenizer of patches. Inputs `prepared`, `split`, and `teacher` where it learns from a finished
/// pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizeSpec {
    /// Patches and tokenizer.
    pub tokens: Tokens,
    /// Version of the tokenizer.
    pub tokenizer_version: u32,
    /// Network.
    pub backbone: BackboneOptions,
    /// Training.
    pub tokenize: PretrainOptions,
    /// Slices.
    pub slices: SliceSpec,
    /// Seed.
    pub seed: u64,
}

/// Pre-training. Inputs `prepared`, `split`, and `labels` where the task starts from a clustering,
/// `codes` where it predicts those of a tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainSpec {
    /// Pretext task.
    pub pretext: String,
    /// Its version.
    pub pretext_version: u32,
    /// Its options, under its name.
    #[serde(flatten)]
    pub options: BTreeMap<String, Value>,
    /// Network.
    pub backbone: BackboneOptions,
    /// Training.
    pub pretrain: PretrainOptions,
    /// Slices.
    pub slices: SliceSpec,
    /// Seed.
    pub seed: u64,
}

/// A file of weights that a training starts from: its content, not its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitSpec {
    /// Digest of the file; empty where nobody has looked at it.
    pub digest: String,
    /// What is taken from it.
    pub part: InitPart,
    /// What stands before the network's names in it.
    pub prefix: String,
}

/// Fine-tuning. Inputs `index`, `prepared`, `split`, and `encoder` where there was pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneSpec {
    /// Network.
    pub backbone: BackboneOptions,
    /// Training, without the name of a file of weights.
    pub finetune: FinetuneOptions,
    /// The file that it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitSpec>,
    /// Slices.
    pub slices: SliceSpec,
    /// Percent of labelled training cases.
    pub label: u32,
    /// Seed.
    pub seed: u64,
}

/// Prediction and scoring of the test cases. Inputs `index`, `prepared`, `split`, `model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateSpec {
    /// How scores are computed.
    pub metric: MetricOptions,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Data set as shown (`phantom-hecktor`).
    pub dataset: String,
    /// Data set in the ledger.
    pub published: String,
    /// Modality.
    pub modality: String,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// Name.
    pub name: String,
    /// Name in the ledger.
    pub published: String,
    /// `setting` in the ledger.
    pub setting: String,
}

/// A cell of a table, before metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableCell {
    /// Row, by position.
    pub row: usize,
    /// Column, by position.
    pub column: usize,
    /// Percent of labelled training cases.
    pub label: u32,
    /// Evaluations, one per seed.
    pub runs: Vec<(u64, Key)>,
}

/// A data set in the header of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableData {
    /// Name as shown.
    pub name: String,
    /// Layout.
    pub layout: String,
    /// Whether the patients are synthetic.
    pub phantom: bool,
}

/// Writes a table. Its inputs are all evaluations that its cells name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TabulateSpec {
    /// Experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// Number or name of the table.
    pub table: String,
    /// Title.
    pub title: String,
    /// Columns.
    pub columns: Vec<TableColumn>,
    /// Rows.
    pub rows: Vec<TableRow>,
    /// Label ratios.
    pub labels: Vec<u32>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Metrics.
    pub metrics: Vec<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// Cells.
    pub cells: Vec<TableCell>,
    /// How scores were computed.
    pub metric: MetricOptions,
    /// Unit of averaging.
    pub aggregation: Aggregation,
    /// HD95 that is shown.
    pub hausdorff: HausdorffMode,
    /// Data sets.
    pub data: Vec<TableData>,
    /// Device class.
    pub device: String,
    /// Digest of the ledger of published numbers.
    pub ledger: String,
}
