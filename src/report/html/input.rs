//! What a report is made from: plain values, gathered beforehand.

use std::collections::BTreeMap;

use super::super::TableInput;
use super::super::claim::Judgement;
use super::super::picture::{Agreement, Grey, PatchGrid};

/// A report before it is written.
#[derive(Clone, Debug, Default)]
pub struct ReportInput {
    /// Where it comes from.
    pub origins: Vec<Origin>,
    /// Tables, in the order of the manifests.
    pub tables: Vec<ReportTable>,
    /// Claims of the studies, judged.
    pub claims: Vec<Judgement>,
    /// All stages of the plans, inputs first.
    pub stages: Vec<StageFact>,
    /// Pictures of slices.
    pub pictures: Pictures,
    /// Test scores by evaluation. Empty where there are too many for a page.
    pub cases: BTreeMap<String, CaseScores>,
}

/// Case and value by metric, as [`super::super::Place::column_metric`] names it.
pub type CaseScores = BTreeMap<String, Vec<(String, Option<f64>)>>;

/// A manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// The file.
    pub manifest: String,
    /// Words behind it on a command line that mean the same study: `--profile smoke`.
    pub arguments: String,
}

/// A table with what is known beyond it.
#[derive(Clone, Debug)]
pub struct ReportTable {
    /// The table.
    pub input: TableInput,
    /// Which of [`ReportInput::origins`] it is of.
    pub origin: usize,
    /// For each cell of the table, its runs.
    pub runs: Vec<Vec<Run>>,
    /// Where rows are written, by name: `experiments/ablation.toml:23`.
    pub places: BTreeMap<String, String>,
    /// Curves of the trainings behind it.
    pub trainings: Vec<Training>,
}

/// A seed of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Key of its evaluation.
    pub key: String,
}

/// Kinds of trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrainingKind {
    /// Of a pretext task.
    Pretrain,
    /// Of the segmentation.
    Finetune,
}

/// What a training wrote down per epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Kind.
    pub kind: TrainingKind,
    /// Row of the table.
    pub row: usize,
    /// Column of the table.
    pub column: usize,
    /// Percent of labelled training cases; `None` for pre-training, which sees no labels.
    pub label: Option<u32>,
    /// Seed.
    pub seed: u64,
    /// Key of the stage.
    pub key: String,
    /// Epochs, ascending.
    pub epochs: Vec<f64>,
    /// Values by name, one per epoch: `loss`, `lr`, and what the method adds. Not a number where
    /// an epoch has none.
    pub scalars: BTreeMap<String, Vec<f64>>,
}

/// State of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageState {
    /// Its artifact is there.
    Done,
    /// It runs.
    Running,
    /// It failed.
    Failed,
    /// It has not run.
    Missing,
}

impl StageState {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Missing => "missing",
        }
    }
}

/// A stage and where its artifact comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct StageFact {
    /// Identity.
    pub key: String,
    /// Name of the kind.
    pub kind: &'static str,
    /// For people.
    pub label: String,
    /// State.
    pub state: StageState,
    /// Why it has no artifact, where that is known.
    pub reason: Option<String>,
    /// Keys that it reads.
    pub inputs: Vec<String>,
    /// Seconds of the attempt that made it.
    pub wall_s: Option<f64>,
    /// Start in UTC.
    pub started: String,
    /// Machine.
    pub host: String,
    /// Device that computed it.
    pub device: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Commit of the program, where it knew.
    pub commit: Option<String>,
    /// Threads that it was allowed.
    pub threads: usize,
    /// Largest memory of its process.
    pub peak_memory: Option<u64>,
    /// Attempts that it took.
    pub attempts: u32,
    /// Bytes of its artifact.
    pub bytes: u64,
}

/// Pictures of slices.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Segmentations of test slices, per table.
    pub galleries: Vec<Gallery>,
    /// Patch categories of training slices.
    pub categories: Vec<Categories>,
    /// Masked slices and their reconstructions.
    pub reconstructions: Vec<Reconstruction>,
    /// What could not be shown, and why.
    pub notes: Vec<String>,
}

/// Segmentations of one study at one label ratio.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// Table.
    pub table: String,
    /// Percent of labelled training cases.
    pub label: u32,
    /// Seed of the models.
    pub seed: u64,
    /// Slices.
    pub rows: Vec<GalleryRow>,
}

/// A slice with its reference and what models make of it.
#[derive(Clone, Debug)]
pub struct GalleryRow {
    /// Data set and modality.
    pub column: String,
    /// Case and position.
    pub slice: String,
    /// The slice.
    pub image: Grey,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// A mask per region.
    pub reference: Vec<Vec<u8>>,
    /// One per row of the table.
    pub predictions: Vec<Prediction>,
}

/// What one model makes of a slice.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Row of the table.
    pub method: String,
    /// Key of the model.
    pub key: String,
    /// A mask per region, or why there is none.
    pub masks: Result<Vec<Vec<u8>>, String>,
}

/// Patch categories of a training slice, before and after pre-training.
#[derive(Clone, Debug)]
pub struct Categories {
    /// Data set and modality.
    pub column: String,
    /// Row of the table.
    pub method: String,
    /// Key of the pre-training.
    pub key: String,
    /// Slices that are shown.
    pub slices: Vec<CategorySlice>,
    /// The clustering against the lesions, over all training slices.
    pub first: Agreement,
    /// The label table after the last epoch against the lesions, over all training slices.
    pub last: Agreement,
}

/// A slice with the categories of its patches.
#[derive(Clone, Debug)]
pub struct CategorySlice {
    /// Case and position.
    pub slice: String,
    /// The slice.
    pub image: Grey,
    /// The lesion.
    pub lesion: Vec<u8>,
    /// Patches.
    pub grid: PatchGrid,
    /// 1 where a patch holds lesion.
    pub truth: Vec<u8>,
    /// Categories of the clustering.
    pub first: Vec<u8>,
    /// Categories after the last epoch.
    pub last: Vec<u8>,
}

/// A masked slice and its reconstruction.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    /// Data set and modality.
    pub column: String,
    /// Row of the table.
    pub method: String,
    /// Key of the pre-training.
    pub key: String,
    /// Case and position.
    pub slice: String,
    /// Share of masked patches.
    pub ratio: f64,
    /// The slice.
    pub target: Grey,
    /// What the network saw.
    pub input: Grey,
    /// What it made of it.
    pub output: Grey,
    /// Mean squared error inside masked patches, in units of the normalised image.
    pub error: f64,
}
