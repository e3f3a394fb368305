//! What each kind of stage reads: the fields that enter its key, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Key;
use crate::options::{
    Aggregation, BackboneOptions, ClusterOptions, FinetuneOptions, HausdorffMode, InitPart,
    LayoutOptions, MeasureOptions, MetricOptions, PatchClusters, PhantomOptions, PrepareOptions,
    PretrainOptions, SliceUse, SplitOptions, Tokens,
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

/// A setting of pre-training that an earlier search chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceSpec {
    /// What was searched: the input `choice.<step>` says which candidate won.
    pub step: String,
    /// What each candidate sets, to be laid over `pretrain`.
    pub candidates: Vec<Value>,
}

impl ChoiceSpec {
    /// Role of the input that says which candidate won.
    #[must_use]
    pub fn role(&self) -> String {
        format!("choice.{}", self.step)
    }
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
    /// Settings that are only known once earlier searches are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ChoiceSpec>,
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
    /// The validation cases instead of the test cases: for a search, which must not see these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub validation: bool,
}

/// A measurement. Inputs `index`, `prepared`, `split`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureSpec {
    /// What is measured.
    pub measure: MeasureOptions,
    /// Version of its method.
    pub measure_version: u32,
    /// The clustering that it is about.
    pub clusters: PatchClusters,
    /// Slices.
    pub slices: SliceSpec,
    /// Seed.
    pub seed: u64,
}

/// A candidate of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectCandidate {
    /// Name of its row.
    pub name: String,
    /// Evaluations, one per seed.
    pub runs: Vec<(u64, Key)>,
}

/// The best of several runs, by their mean over seeds. Its inputs are all evaluations that its
/// candidates name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectSpec {
    /// What is searched.
    pub step: String,
    /// Metric, by name; the mean over regions.
    pub metric: String,
    /// Unit of averaging.
    pub aggregation: Aggregation,
    /// HD95 that counts.
    pub hausdorff: HausdorffMode,
    /// Candidates; the first of equals wins.
    pub candidates: Vec<SelectCandidate>,
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
    /// Part of a measurement that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// A cell of a table, before metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableCell {
    /// Row, by position.
    pub row: usize,
    /// Column, by position.
    pub column: usize,
    /// Percent of labelled training cases; 0 in a table without label ratios.
    pub label: u32,
    /// Evaluations or measurements, one per seed.
    pub runs: Vec<(u64, Key)>,
    /// The search that it is a candidate of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<TableSearch>,
}

/// A candidate's place in a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSearch {
    /// The stage that chooses.
    pub select: Key,
    /// Which of its candidates the row is.
    pub candidate: usize,
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

/// Writes a table. Its inputs are all stages that its cells name.
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
    /// What is measured, where the cells are no scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<MeasureOptions>,
}
