//! Options of AdamW and its learning-rate schedule (`methods/masked.md` section 1.7).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LrDecay {
    /// Half a cosine from `lr` to `min_lr`.
    #[default]
    Cosine,
    /// `lr` throughout.
    Constant,
}

/// AdamW. One-dimensional parameters and biases are never decayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserOptions {
    /// Peak learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Epochs of linear warm-up from 0; at most half of all epochs are used for it.
    pub warmup_epochs: f64,
    /// Shape after the warm-up.
    pub decay: LrDecay,
    /// Global gradient norm above which gradients are scaled down; 0 is off.
    pub clip_norm: f64,
}

impl OptimiserOptions {
    /// The paper's pre-training optimiser; the warm-up of 40 epochs is ours.
    #[must_use]
    pub fn pretraining() -> Self {
        Self {
            lr: 1e-4,
            min_lr: 0.0,
            weight_decay: 0.05,
            betas: [0.9, 0.95],
            eps: 1e-8,
            warmup_epochs: 40.0,
            decay: LrDecay::Cosine,
            clip_norm: 0.0,
        }
    }

    /// The paper's fine-tuning optimiser.
    #[must_use]
    pub fn finetuning() -> Self {
        Self {
            weight_decay: 1e-4,
            betas: [0.9, 0.999],
            warmup_epochs: 0.0,
            ..Self::pretraining()
        }
    }
}

impl Default for OptimiserOptions {
    fn default() -> Self {
        Self::pretraining()
    }
}

/// AdamW of fine-tuning. One-dimensional parameters and biases are never decayed.
///
/// The same options as [`OptimiserOptions`]; what a manifest leaves out has the values of
/// [`OptimiserOptions::finetuning`] instead.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    remote = "OptimiserOptions",
    default = "OptimiserOptions::finetuning",
    deny_unknown_fields
)]
pub(super) struct FinetuningOptimiser {
    /// Peak learning rate.
    lr: f64,
    /// Learning rate at the end.
    min_lr: f64,
    /// Decoupled weight decay.
    weight_decay: f64,
    /// Decay of the first and second moment.
    betas: [f64; 2],
    /// Added to the root of the second moment.
    eps: f64,
    /// Epochs of linear warm-up from 0; at most half of all epochs are used for it.
    warmup_epochs: f64,
    /// Shape after the warm-up.
    decay: LrDecay,
    /// Global gradient norm above which gradients are scaled down; 0 is off.
    clip_norm: f64,
}
