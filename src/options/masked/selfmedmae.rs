//! Options of SelfMedMAE (`methods/masked.md` section 3.7).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Recipe, check, skips};
use crate::options::{Frame, Misfit, OptimiserOptions, TaskOptions, within};

/// Options of SelfMedMAE (`methods/masked.md` section 3.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelfmedmaeOptions {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches; `int(N (1 - ratio))` stay visible. The default is that of the scripts.
    pub ratio: f64,
    /// Probability of a flip, for each axis.
    pub flip: f64,
    /// Levels of the decoder that have a skip, finest first; all where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skips: Option<usize>,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for SelfmedmaeOptions {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 0.125,
            flip: 0.2,
            skips: None,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for SelfmedmaeOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        within("selfmedmae.flip", self.flip, 0.0, 1.0)?;
        skips("selfmedmae", self.skips, frame)?;
        check("selfmedmae", self.patch, self.ratio, frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            warmup_epochs: 10.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 6.4e-3, 256.0, original)
    }
}
