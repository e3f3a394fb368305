//! Arguments of `cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::{Format, ManifestArgs};
use crate::plan::StageKind;

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub(super) what: CacheWhat,
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheWhat {
    /// Count artifacts and bytes by kind, or list the artifacts of a kind
    Ls(LsArgs),
    /// Read every byte of every artifact; set damaged ones aside
    Verify(VerifyArgs),
    /// Show what no table was made from, and remove it with --delete
    Gc(GcArgs),
    /// Write tables with their lineage to one file that verifies itself
    Export(ExportArgs),
    /// Take a file of tables into the store
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// Store of artifacts [default: .amlp beside the project]
    #[arg(long, env = "AMLP_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// List the artifacts of this kind (phantom, index, split, prepare, cluster, pretrain, finetune, evaluate, tabulate)
    #[arg(long, short = 'k', value_name = "KIND", value_parser = kind)]
    pub kind: Option<StageKind>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Verify a file of tables instead; needs no store, no data, no GPU
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// Keep what was made or used within so many days, whatever it is for
    #[arg(long, default_value_t = 1.0, value_name = "DAYS")]
    pub older_than: f64,
    /// Keep what a manifest plans, in all its profiles and on all devices; may be repeated
    #[arg(long, value_name = "FILE")]
    pub keep: Vec<PathBuf>,
    /// Only this profile of the manifests to keep
    #[arg(long, short = 'p', value_name = "NAME", requires = "keep")]
    pub profile: Option<String>,
    /// Folder of a data set of the manifests to keep
    #[arg(long = "data", value_name = "NAME=DIR", requires = "keep")]
    pub data: Vec<String>,
    /// Remove artifacts that were set aside as damaged, too
    #[arg(long)]
    pub damaged: bool,
    /// Remove it
    #[arg(long)]
    pub delete: bool,
    /// Every artifact, not only the counts
    #[arg(long, short = 'v')]
    pub verbose: bool,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Manifest
    #[arg(value_name = "MANIFEST")]
    pub file: PathBuf,
    /// This table only; may be repeated [default: all]
    #[arg(long, value_name = "TABLE")]
    pub table: Vec<String>,
    /// File to write
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
    /// The fine-tuned models too
    #[arg(long)]
    pub with_models: bool,
    /// Every artifact that the tables were made from
    #[arg(long, conflicts_with = "with_models")]
    pub all: bool,
    #[command(flatten)]
    pub manifest: ManifestArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// File of tables
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the tables below this folder
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreArgs,
}

fn kind(name: &str) -> Result<StageKind, String> {
    StageKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| {
            let known: Vec<&str> = StageKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("kinds: {}", known.join(", "))
        })
}
