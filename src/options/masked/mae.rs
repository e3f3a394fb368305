//! Options of MAE (`methods/masked.md` section 3.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check, skips};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions};

/// Options of MAE (`methods/masked.md` section 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaeOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches; `int(N (1 - ratio))` stay visible.
    pub ratio: f64,
    /// Predict pixels normalised per patch.
    pub norm_pix: bool,
    /// Levels of the decoder that have a skip, finest first; all where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skips: Option<usize>,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for MaeOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.75,
            norm_pix: true,
            skips: None,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for MaeOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        skips("mae", self.skips, frame)?;
        check("mae", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1.5e-4, 256.0, original)
    }
}
