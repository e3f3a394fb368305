//! How encoders that do not see masked patches work, and the decoders on them (`methods/masked.md`
//! sections 1.4 and 3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Misfit, within};

/// What an encoder sees of masked patches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SparseEncoder {
    /// Nothing: features are 0 there after every convolution and every pooling.
    #[default]
    Sparse,
    /// Zeros in the image; features of masked places are used as they come.
    Dense,
}

/// Places that the statistics of normalisation are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SparseStatistics {
    /// Visible places.
    #[default]
    Visible,
    /// All places, the zeros of masked ones included.
    All,
}

/// How features are made dense for a decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DensifyKind {
    /// A trainable vector at masked places, then a 1x1 convolution.
    #[default]
    Plain,
    /// As in SparK: normalised, a trainable vector at masked places, then a convolution of 1x1 at
    /// the bottleneck and 3x3 on finer levels.
    Spark,
}

/// The sparse encoder of MAE, ConvMAE, BootMAE and SelfMedMAE, and their light decoders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SparseOptions {
    /// What the encoder sees of masked patches.
    pub encoder: SparseEncoder,
    /// Places that the statistics of normalisation are taken from.
    pub statistics: SparseStatistics,
    /// How features are made dense for a decoder.
    pub densify: DensifyKind,
    /// Widths of the decoders as a share of the encoder's.
    pub decoder_width: f64,
}

impl Default for SparseOptions {
    fn default() -> Self {
        Self {
            encoder: SparseEncoder::default(),
            statistics: SparseStatistics::default(),
            densify: DensifyKind::default(),
            decoder_width: 0.5,
        }
    }
}

impl SparseOptions {
    /// Checks the ranges of values.
    ///
    /// # Errors
    /// The option that is out of range.
    pub fn check(&self) -> Result<(), Misfit> {
        within(
            "pretrain.sparse.decoder_width",
            self.decoder_width,
            1e-3,
            4.0,
        )
    }

    /// Channels of a decoder where the encoder has `channels`.
    #[must_use]
    pub fn decoder_channels(&self, channels: usize) -> usize {
        ((channels as f64 * self.decoder_width) as usize).max(1)
    }
}
