//! Options of the optimiser and its learning-rate schedule (`methods/masked.md` section 1.7).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

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

/// Rule of an update. All but `lars` are PyTorch's, number for number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserKind {
    /// AdamW: moments of the gradient, decay apart from it.
    #[default]
    Adamw,
    /// Adam: moments of the gradient, to which the decay is added first.
    Adam,
    /// Stochastic gradient descent with momentum; the decay is added to the gradient.
    Sgd,
    /// `sgd` whose gradients are first scaled, tensor by tensor, to `trust` times the length of
    /// their parameters (You et al. 2017, LARS). One-dimensional parameters are not scaled.
    Lars,
}

/// Momentum of stochastic gradient descent where none is given.
const MOMENTUM: f64 = 0.9;
/// Length of a scaled gradient of LARS where none is given: that of SimCLR, BYOL and SwAV.
const TRUST: f64 = 1e-3;

fn is_default_momentum(momentum: &f64) -> bool {
    *momentum == MOMENTUM
}

fn is_default_trust(trust: &f64) -> bool {
    *trust == TRUST
}

/// The optimiser. One-dimensional parameters and biases are never decayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserOptions {
    /// Rule of an update.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: OptimiserKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Decay of the first and second moment (AdamW, Adam).
    pub betas: [f64; 2],
    /// Added to the root of the second moment (AdamW, Adam).
    pub eps: f64,
    /// Momentum (`sgd`, `lars`).
    #[serde(skip_serializing_if = "is_default_momentum")]
    pub momentum: f64,
    /// Length of a scaled gradient, in lengths of its parameter (`lars`).
    #[serde(skip_serializing_if = "is_default_trust")]
    pub trust: f64,
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
            kind: OptimiserKind::Adamw,
            lr: 1e-4,
            min_lr: 0.0,
            weight_decay: 0.05,
            betas: [0.9, 0.95],
            eps: 1e-8,
            momentum: MOMENTUM,
            trust: TRUST,
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

    /// The same optimiser with what its rule does not read at one value.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self.kind {
            OptimiserKind::Adamw | OptimiserKind::Adam => Self {
                momentum: MOMENTUM,
                trust: TRUST,
                ..self
            },
            OptimiserKind::Sgd => Self {
                betas: Self::pretraining().betas,
                eps: Self::pretraining().eps,
                trust: TRUST,
                ..self
            },
            OptimiserKind::Lars => Self {
                betas: Self::pretraining().betas,
                eps: Self::pretraining().eps,
                ..self
            },
        }
    }
}

impl Default for OptimiserOptions {
    fn default() -> Self {
        Self::pretraining()
    }
}

/// The optimiser of fine-tuning. One-dimensional parameters and biases are never decayed.
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
    /// Rule of an update.
    #[serde(skip_serializing_if = "is_default")]
    kind: OptimiserKind,
    /// Peak learning rate.
    lr: f64,
    /// Learning rate at the end.
    min_lr: f64,
    /// Weight decay.
    weight_decay: f64,
    /// Decay of the first and second moment (AdamW, Adam).
    betas: [f64; 2],
    /// Added to the root of the second moment (AdamW, Adam).
    eps: f64,
    /// Momentum (`sgd`, `lars`).
    #[serde(skip_serializing_if = "is_default_momentum")]
    momentum: f64,
    /// Length of a scaled gradient, in lengths of its parameter (`lars`).
    #[serde(skip_serializing_if = "is_default_trust")]
    trust: f64,
    /// Epochs of linear warm-up from 0; at most half of all epochs are used for it.
    warmup_epochs: f64,
    /// Shape after the warm-up.
    decay: LrDecay,
    /// Global gradient norm above which gradients are scaled down; 0 is off.
    clip_norm: f64,
}
