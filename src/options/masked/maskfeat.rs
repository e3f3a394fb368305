//! Options of MaskFeat (`methods/masked.md` section 3.3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check, patch_side};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions, within};

/// Options of MaskFeat (`methods/masked.md` section 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaskfeatOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches, rounded; blocks may leave a few of them visible.
    pub ratio: f64,
    /// Side of the cells of the histograms in pixels, at most a patch; divides the patch.
    pub cell: usize,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for MaskfeatOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.4,
            cell: 8,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for MaskfeatOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        within("maskfeat.cell", self.cell as f64, 1.0, 4096.0)?;
        let side = patch_side(self.patch, frame.backbone.depth);
        if !side.is_multiple_of(self.cell.min(side.max(1))) {
            return Err(Misfit::new(
                &["maskfeat.cell", "maskfeat.patch"],
                format!("cells of {} do not tile a patch of {side}", self.cell),
            ));
        }
        check("maskfeat", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            min_lr: 1e-6,
            betas: [0.9, 0.999],
            warmup_epochs: 30.0,
            clip_norm: 0.02,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 2e-4, 256.0, original)
    }
}
