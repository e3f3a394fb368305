//! Options of BootMAE (`methods/masked.md` section 3.6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions, inside, is, up_to, within};

/// Options of BootMAE (`methods/masked.md` section 3.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BootmaeOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches; `int(N (1 - ratio))` stay visible.
    pub ratio: f64,
    /// Share of patches that are masked as blocks.
    pub blocks: f64,
    /// Least and greatest size of a block, as shares of the patches; 16 and 60 of 196 where none are
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_area: Option<[f64; 2]>,
    /// Levels whose features reach the pixel decoder, finest first.
    #[serde(skip_serializing_if = "is::<2>")]
    pub skips: usize,
    /// Residual blocks of the feature branch.
    #[serde(skip_serializing_if = "is::<2>")]
    pub feature_blocks: usize,
    /// Decay of the averaged teacher in the first epoch; it rises to `ema_mid` over 100 epochs.
    pub ema_start: f64,
    /// Decay after 100 epochs; it rises to `ema_end` over 300 more.
    pub ema_mid: f64,
    /// Decay from epoch 400 on.
    pub ema_end: f64,
    /// Steps per epoch that these decays were made for: with fewer, a decay is taken to the power
    /// `ema_steps / steps`, so that the teacher keeps its horizon in epochs. 0 is off.
    pub ema_steps: usize,
    /// Weight of the feature loss after its rise over the first quarter of the epochs.
    pub feature_weight: f64,
    /// Weigh the inside of masked blocks up to twice as much as single patches.
    pub weight_mask: bool,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for BootmaeOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.75,
            blocks: 120.0 / 196.0,
            block_area: None,
            skips: 2,
            feature_blocks: 2,
            ema_start: 0.999,
            ema_mid: 0.9999,
            ema_end: 0.99999,
            ema_steps: 312,
            feature_weight: 1.0,
            weight_mask: true,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for BootmaeOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("bootmae.blocks", self.blocks, 0.0, 1.0)?;
        if let Some([least, most]) = self.block_area {
            up_to("bootmae.block_area", least, 0.0, most)?;
            up_to("bootmae.block_area", most, 0.0, 1.0)?;
        }
        within("bootmae.skips", self.skips as f64, 0.0, 64.0)?;
        within(
            "bootmae.feature_blocks",
            self.feature_blocks as f64,
            1.0,
            64.0,
        )?;
        within("bootmae.ema_start", self.ema_start, 0.0, 1.0)?;
        within("bootmae.ema_mid", self.ema_mid, 0.0, 1.0)?;
        within("bootmae.ema_end", self.ema_end, 0.0, 1.0)?;
        within("bootmae.feature_weight", self.feature_weight, 0.0, 1e6)?;
        check("bootmae", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1.5e-4, 256.0, original)
    }
}
