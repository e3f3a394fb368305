//! Arguments of `weights`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::Format;

#[derive(Debug, Args)]
pub struct WeightsArgs {
    #[command(subcommand)]
    pub(super) what: WeightsWhat,
}

#[derive(Debug, Subcommand)]
pub(super) enum WeightsWhat {
    /// List the tensors of a safetensors file or a checkpoint of PyTorch
    Show(ShowArgs),
    /// Write the network of a training to a safetensors file that PyTorch loads
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// File of weights: safetensors, .pth, .pt
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A fine-tuning gives the whole network, a pre-training its encoder. Names and \
    shapes are those of docs/pytorch.md; what the network is stands as JSON under 'amlp' in the \
    header of the file."
)]
pub(super) struct ExportArgs {
    /// Key of a fine-tuning or a pre-training, or its beginning
    #[arg(value_name = "KEY")]
    pub key: String,
    /// File to write
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: PathBuf,
    /// Store of artifacts
    #[arg(long, env = "AMLP_STORE", default_value = ".amlp", value_name = "DIR")]
    pub store: PathBuf,
}
