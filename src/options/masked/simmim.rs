//! Options of SimMIM (`methods/masked.md` section 3.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions};

/// Options of SimMIM (`methods/masked.md` section 3.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimmimOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches, rounded up.
    pub ratio: f64,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for SimmimOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.6,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for SimmimOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        check("simmim", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            betas: [0.9, 0.999],
            warmup_epochs: 10.0,
            clip_norm: 5.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1e-4, 512.0, original)
    }
}
