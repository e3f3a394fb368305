//! Arguments of all verbs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// A study written in TOML becomes a graph of content-addressed stages, and the graph becomes
/// tables.
#[derive(Debug, Parser)]
#[command(
    name = "amlp-run",
    version,
    max_term_width = 100,
    after_help = "`amlp-run FILE...` is short for `amlp-run run FILE...`.\n\n\
        Exit codes: 0 done, 1 internal error, 2 usage or manifest error, 3 some stages failed \
        (tables show holes with the reason), 4 data missing or invalid, 5 a claim is contradicted, \
        130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plan a manifest, run what is missing, write its tables
    Run(RunArgs),
    /// Show what would run, what is cached, and why
    Plan(PlanArgs),
    /// Show where the last run stands, or another one
    Status(StatusArgs),
    /// Show the progress of a run of another process until it ends
    Watch(WatchArgs),
    /// Ask a run to write its checkpoints and end
    Cancel(CancelArgs),
    /// Run again what failed in a run, and what was skipped because of it
    Retry(RetryArgs),
    /// Show where the time of a run went, or export it for TensorBoard and trace viewers
    Trace(TraceArgs),
    /// Write the tables from cached artifacts only
    Table(TableArgs),
    /// Judge the paper's sentences on cached scores
    Claims(ClaimsArgs),
    /// Write a page of tables, curves and pictures from cached artifacts only
    Report(ReportArgs),
    /// Show where a table cell or a stage comes from
    Why(WhyArgs),
    /// Compare the plans of two manifests
    Diff(DiffArgs),
    /// List methods, backbones, clusterings, layouts and metrics
    List(ListArgs),
    /// List the devices of this build on this machine
    Devices(DevicesArgs),
    /// Check data on disk, trainings that are killed, or the published numbers
    Check(CheckArgs),
    /// Write synthetic patients in a data set's own layout
    Phantom(PhantomArgs),
    /// Show header and statistics of a NIfTI file
    Info(InfoArgs),
    /// Score a segmentation against its reference
    Score(ScoreArgs),
    /// Segment an image with a trained artifact
    Predict(PredictArgs),
    /// List weights of other programs, and write ours for them
    Weights(super::weights::WeightsArgs),
    /// List, verify and clean the store; move tables between stores
    Cache(super::cache::CacheArgs),
    /// Print the JSON Schema of manifests
    Schema,
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print a generated page of the documentation
    #[command(hide = true)]
    Reference(ReferencePageArgs),
    /// Run one key of a frozen plan
    #[command(hide = true)]
    Work(WorkArgs),
}

/// Arguments of `reference`.
#[derive(Debug, clap::Args)]
pub struct ReferencePageArgs {
    /// Page
    #[arg(default_value = "cli")]
    pub page: ReferencePage,
}

/// A generated page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReferencePage {
    /// All verbs: docs/cli.md.
    Cli,
    /// All keys of a manifest: docs/manifest.md.
    Manifest,
}

/// Form of results on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Form of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// Graphviz, collapsed by kind.
    Dot,
}

/// What a manifest is read with.
#[derive(Clone, Debug, Default, Args)]
pub struct ManifestArgs {
    /// Profile of the manifest (`smoke`, `small`, ...); the paper's setting without one
    #[arg(long, short = 'p', value_name = "NAME")]
    pub profile: Option<String>,
    /// Override a key, e.g. `pretrain.epochs=100`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Part of the study only, e.g. `table=IV,method=AMLP,data=hecktor/CT,label=5,seed=1`
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
    /// Folder of a data set, e.g. `brats2018=/data/BraTS`
    #[arg(long = "data", value_name = "NAME=DIR")]
    pub data: Vec<String>,
    /// Device: auto, cpu, libtorch, libtorch:N, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Store of artifacts [default: .amlp beside the project]
    #[arg(long, env = "AMLP_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
}

impl ManifestArgs {
    /// Roots of data sets by name, absolute: they are meant from where the command is typed.
    pub fn roots(&self) -> Result<BTreeMap<String, String>, super::CliError> {
        super::session::roots(&self.data)
    }
}

/// What runs stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Processes of this machine.
    #[default]
    Local,
    /// Jobs of Slurm.
    Slurm,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Manifests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Stages at a time [default: one per GPU, otherwise one per core]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Threads of each [default: its share of the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// GPUs to use, as CUDA_VISIBLE_DEVICES names them [default: all, with --device auto]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub gpus: Vec<String>,
    /// What runs the stages: this machine, or jobs of Slurm (see docs/slurm.md)
    #[arg(long, value_enum, default_value_t)]
    pub engine: Engine,
    /// Stop at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// How often a training is tried again whose process died or ran out of memory
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub retries: u32,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Show the plan and stop; with `--engine slurm` the scripts of the jobs
    #[arg(long)]
    pub dry_run: bool,
    /// No progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// Write event files of TensorBoard while trainings run
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Folder of the tables [default: results beside the project]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Manifests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
    /// Stages at a time, for the forecast [default: as `run` has it]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Every stage, not only the counts
    #[arg(long, short = 'v')]
    pub verbose: bool,
}

/// Which run a command is about.
#[derive(Clone, Debug, Default, Args)]
pub struct RunChoice {
    /// Name of the run, or its beginning [default: the last one]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Store of artifacts [default: .amlp of this folder or of one above]
    #[arg(long, env = "AMLP_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub choice: RunChoice,
    /// List all runs
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub choice: RunChoice,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    pub choice: RunChoice,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    pub choice: RunChoice,
    /// No progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub choice: RunChoice,
    /// Write a trace for chrome://tracing and Perfetto
    #[arg(long, value_name = "FILE")]
    pub chrome: Option<PathBuf>,
    /// Write event files of TensorBoard, a folder for each training
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct TableArgs {
    /// Manifests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Folder of the tables [default: results beside the project]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
}

/// Form of judgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClaimsFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// One comparison a line.
    Csv,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 5 if any claim is contradicted, otherwise 3 if results of any are \
    missing, otherwise 0. What is decided when: docs/claims.md. Claims judged on phantoms say \
    nothing about the paper."
)]
pub struct ClaimsArgs {
    /// Manifests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: ClaimsFormat,
    /// Every comparison, not only those that matter most
    #[arg(long, short = 'v')]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Manifests
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Page to write
    #[arg(long, short = 'o', default_value = "report.html", value_name = "FILE")]
    pub out: PathBuf,
    /// No slices and segmentations: quicker, smaller, and no image of a patient leaves the store
    #[arg(long)]
    pub no_pictures: bool,
}

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Manifest
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Table, or the beginning of a stage's key
    #[arg(value_name = "TABLE|KEY")]
    pub what: String,
    /// Row of the table
    #[arg(value_name = "ROW")]
    pub row: Option<String>,
    /// Column: data/modality/label/metric, e.g. `hecktor/CT/5/DSC`
    #[arg(long = "col", value_name = "COLUMN")]
    pub column: Option<String>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One manifest
    pub a: PathBuf,
    /// The other
    pub b: PathBuf,
    /// Profile of the other [default: the same]
    #[arg(long, value_name = "NAME")]
    pub other_profile: Option<String>,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub what: Option<Listed>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Pretext tasks
    Methods,
    /// Networks
    Backbones,
    /// Clusterings
    Clusterings,
    /// Layouts of data sets
    Data,
    /// Metrics
    Metrics,
    /// Measurements, with their quantities
    Measures,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(subcommand)]
    pub what: CheckWhat,
}

#[derive(Debug, Subcommand)]
pub enum CheckWhat {
    /// What is missing, unpaired or misplaced in the data sets of a manifest, by file
    Data(CheckDataArgs),
    /// Kill trainings at random steps, resume them, compare with undisturbed ones
    Resume(CheckResumeArgs),
    /// Contradictions inside the published numbers
    Paper(CheckPaperArgs),
}

#[derive(Debug, Args)]
pub struct CheckDataArgs {
    /// Manifest
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Weights, curves, label tables and scores are compared by hash. The default \
    takes one pre-training of each method and combination of its options, one fine-tuning after it \
    and one from scratch. Inputs that are in the store are used, and nothing is written there. \
    Exit codes: 0 all equal, 3 something differs."
)]
pub struct CheckResumeArgs {
    /// Manifest
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Kills of each training
    #[arg(long, default_value_t = 2, value_name = "K")]
    pub kills: usize,
    /// How many trainings, the distinct ones first
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub trainings: Option<std::num::NonZeroUsize>,
    /// Every training of the plan
    #[arg(long)]
    pub all: bool,
    /// Seed of the steps
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// No progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct CheckPaperArgs {
    /// Another ledger than the built-in one
    #[arg(long, value_name = "CSV")]
    pub ledger: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct PhantomArgs {
    /// Data set to stand in for
    #[arg(value_enum)]
    pub kind: PhantomArg,
    /// Patients
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub cases: usize,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Size of the volumes: 1 is the data set's own
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub scale: f64,
    /// Seed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// Kinds of phantoms.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PhantomArg {
    /// Four MR contrasts with nested lesions
    Brats2018,
    /// CT and PET with one tumour
    Hecktor2020,
    /// Abdominal CT with eleven organs
    Abd110,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// NIfTI file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Segmentation
    #[arg(long, short = 'p', value_name = "FILE")]
    pub prediction: PathBuf,
    /// Reference
    #[arg(long, short = 'r', value_name = "FILE")]
    pub reference: PathBuf,
    /// Regions: brats (WT, TC, ET; enhancing is 4), brats2023 (enhancing is 3) [default: one per label]
    #[arg(long, value_name = "NAME")]
    pub regions: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Key of a fine-tuned model (or its beginning), or the folder of its artifact
    #[arg(long, value_name = "KEY|DIR")]
    pub model: String,
    /// Image, once per channel in the model's order
    #[arg(long = "image", short = 'i', required = true, value_name = "FILE")]
    pub images: Vec<PathBuf>,
    /// Label file to write
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
    /// Device
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Store of artifacts
    #[arg(long, env = "AMLP_STORE", default_value = ".amlp", value_name = "DIR")]
    pub store: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct WorkArgs {
    /// Frozen plan
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// Stage to run; several, in order, where nobody listens (--events)
    #[arg(long = "key", value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    /// File to which events are appended [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// A failure counts only where a later stage reads what failed
    #[arg(long, requires = "events")]
    pub lenient: bool,
    /// Record of where the files of tables go
    #[arg(long, value_name = "FILE", requires = "events")]
    pub tables: Option<PathBuf>,
    /// Store of artifacts
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Device
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Half the images per pass of the attempt before, which ran out of memory
    #[arg(long)]
    pub halve: bool,
    /// Tell of every step
    #[arg(long)]
    pub every_step: bool,
}

/// How often a training keeps where it stands.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckpointArgs {
    /// Minutes between two checkpoints of a training, beside those at the ends of long epochs and
    /// at a stop; 0 is after every step
    #[arg(long, default_value_t = 5.0, value_name = "N", value_parser = minutes)]
    pub checkpoint_minutes: f64,
}

impl CheckpointArgs {
    /// The time between two checkpoints.
    pub fn every(self) -> Duration {
        Duration::from_secs_f64(self.checkpoint_minutes * 60.0)
    }

    /// The same for a worker.
    pub fn arguments(self) -> [OsString; 2] {
        let minutes = self.checkpoint_minutes.to_string();
        ["--checkpoint-minutes".into(), minutes.into()]
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // A year; no more fits a duration for sure.
    if (0.0..=525_600.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("not between 0 and 525600".to_owned())
    }
}

/// Puts `run` before the first argument where that is a file rather than a verb or a flag.
pub fn with_default_verb(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = arguments.into_iter().collect();
    let command = Cli::command();
    let is_verb =
        |word: &str| word == "help" || command.get_subcommands().any(|c| c.get_name() == word);
    // Options before the file belong to `run` too: amlp-run --profile smoke FILE.
    let own = ["--help", "-h", "--version", "-V"];
    if let Some(first) = all.get(1) {
        let first = first.to_string_lossy();
        if !is_verb(&first) && !own.contains(&first.as_ref()) {
            all.insert(1, "run".into());
        }
    }
    all
}
