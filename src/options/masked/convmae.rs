//! Options of ConvMAE (`methods/masked.md` section 3.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions, is, within};

/// Blocks of the decoder by default.
const BLOCKS: usize = 4;

/// Options of ConvMAE (`methods/masked.md` section 3.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvmaeOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches; `int(N (1 - ratio))` stay visible.
    pub ratio: f64,
    /// Predict pixels normalised per patch.
    pub norm_pix: bool,
    /// Residual blocks of the decoder.
    #[serde(skip_serializing_if = "is::<BLOCKS>")]
    pub blocks: usize,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for ConvmaeOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.75,
            norm_pix: true,
            blocks: BLOCKS,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for ConvmaeOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        within("convmae.blocks", self.blocks as f64, 1.0, 64.0)?;
        check("convmae", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1.5e-4, 256.0, original)
    }
}
