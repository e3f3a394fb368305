//! Whose optimiser a method is trained with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimiserOptions;

/// Whose optimiser a method is trained with; epochs and batch are the study's in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// The study's `pretrain.optimiser`: the same for all methods.
    #[default]
    Paper,
    /// That of the method's own paper or code, the learning rate scaled to the batch.
    Original,
}

impl Recipe {
    /// `original` with its learning rate `lr` per `images` images scaled to `batch`, where it is
    /// asked for.
    pub(crate) fn scaled(
        self,
        batch: usize,
        lr: f64,
        images: f64,
        original: OptimiserOptions,
    ) -> Option<OptimiserOptions> {
        (self == Self::Original).then(|| OptimiserOptions {
            lr: lr * batch as f64 / images,
            ..original
        })
    }

    /// `original` as it is, whatever the batch, where it is asked for.
    pub(crate) fn unscaled(self, original: OptimiserOptions) -> Option<OptimiserOptions> {
        (self == Self::Original).then_some(original)
    }
}
