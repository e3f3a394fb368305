//! Options of G-L.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local::LEAST;
use crate::options::{
    self, Frame, LrDecay, Misfit, OptimiserOptions, TaskOptions, inside, is, is_default, within,
};

/// Cells per side by default.
const CELLS: usize = 3;

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// Which images attract each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attraction {
    /// A slice, its augmented copy, and those of the same part of the next volume (`G^D`).
    #[default]
    AcrossVolumes,
    /// A slice and two augmented copies of it (`G^D-`).
    WithinSlice,
}

/// Where the parts of a volume begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartBounds {
    /// At `k S / P` of `S` slices: every slice belongs to a part.
    #[default]
    Even,
    /// At `k floor(S / P)`, as in the released code: up to `P - 1` last slices are never drawn.
    Floor,
}

/// For what brightness and contrast are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JitterPer {
    /// For each copy of an image.
    #[default]
    Image,
    /// Once for all images of a batch, as in the released code.
    Batch,
}

/// Options of G-L.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlOptions {
    /// Temperature.
    pub temperature: f64,
    /// Parts of equal height into which a volume is cut.
    pub parts: usize,
    /// Where the parts of a volume begin.
    #[serde(skip_serializing_if = "is_default")]
    pub bounds: PartBounds,
    /// Draw volumes one by one, so that a batch may hold one twice, as in the released code.
    #[serde(skip_serializing_if = "is_default")]
    pub repeat_volumes: bool,
    /// Which images attract each other.
    pub attraction: Attraction,
    /// Width of the hidden layer; 0 is the channels of the bottleneck.
    pub hidden: usize,
    /// Length of an embedding.
    pub width: usize,
    /// Cells per side to which the bottleneck is averaged before the head.
    #[serde(skip_serializing_if = "is::<CELLS>")]
    pub cells: usize,
    /// Shift of brightness and change of contrast.
    pub jitter: f64,
    /// For what brightness and contrast are drawn.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter_per: JitterPer,
    /// Where changed intensities end; 1 is the greatest of the volume, 1.5 is published.
    #[serde(skip_serializing_if = "is_one")]
    pub brightest: f64,
    /// The local stage.
    #[serde(skip_serializing_if = "is_default")]
    pub local: GlLocalOptions,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

/// The local stage of G-L: after the global one the encoder stands still, and the first blocks of
/// the decoder learn. They are handed on with the encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlLocalOptions {
    /// Whether there is one.
    pub enabled: bool,
    /// Its share of the epochs; the global stage has the rest. Each has a schedule of its own.
    pub share: f64,
    /// Blocks of the decoder; 0 is as many as lead to a quarter of the resolution, at least one.
    pub blocks: usize,
    /// Length of the vector of a region.
    pub width: usize,
}

impl Default for GlLocalOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            share: 0.5,
            blocks: 0,
            width: 128,
        }
    }
}

impl GlLocalOptions {
    /// Blocks of the decoder of a network of `depth`.
    pub(super) fn blocks(&self, depth: usize) -> usize {
        match self.blocks {
            0 => depth.saturating_sub(2).max(1),
            n => n,
        }
    }

    /// Epochs of the global stage, of `epochs` in all.
    pub(super) fn global_epochs(&self, epochs: usize) -> usize {
        if self.enabled {
            let local = (self.share * epochs as f64).round() as usize;
            epochs - local.clamp(1, epochs.saturating_sub(1).max(1)).min(epochs)
        } else {
            epochs
        }
    }
}

impl Default for GlOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            parts: 4,
            bounds: PartBounds::default(),
            repeat_volumes: false,
            attraction: Attraction::default(),
            hidden: 0,
            width: 128,
            cells: CELLS,
            jitter: 0.3,
            jitter_per: JitterPer::default(),
            brightest: 1.0,
            local: GlLocalOptions::default(),
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for GlOptions {
    fn canonical(&self) -> Self {
        let mut options = self.clone();
        if !options.local.enabled {
            options.local = GlLocalOptions::default();
        }
        options
    }

    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("gl.temperature", self.temperature, 0.0, 100.0)?;
        within("gl.parts", self.parts as f64, 2.0, 1000.0)?;
        within("gl.hidden", self.hidden as f64, 0.0, 65536.0)?;
        within("gl.width", self.width as f64, 1.0, 65536.0)?;
        within("gl.cells", self.cells as f64, 1.0, 64.0)?;
        within("gl.jitter", self.jitter, 0.0, 1.0)?;
        within("gl.brightest", self.brightest, 1.0, 10.0)?;
        let pass = frame.pretrain.pass();
        if pass < 2 * self.parts
            || (pass < frame.pretrain.batch && !pass.is_multiple_of(self.parts))
        {
            return Err(Misfit::new(
                &["pretrain.micro_batch", "pretrain.batch", "gl.parts"],
                format!(
                    "{pass} images per pass do not hold {} parts of two volumes or more",
                    self.parts
                ),
            )
            .hint("a multiple of gl.parts, at least twice as many"));
        }
        if self.local.enabled {
            self.local.check(frame)?;
        }
        Ok(())
    }

    fn optimiser(&self, _: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            lr: 1e-3,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            warmup_epochs: 0.0,
            decay: LrDecay::Constant,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.unscaled(original)
    }
}

impl GlLocalOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("gl.local.share", self.share, 0.0, 1.0)?;
        within("gl.local.width", self.width as f64, 1.0, 65536.0)?;
        let depth = frame.backbone.depth;
        within("gl.local.blocks", self.blocks as f64, 0.0, depth as f64)?;
        if frame.pretrain.epochs < 2 {
            return Err(Misfit::new(
                &["gl.local.enabled", "pretrain.epochs"],
                "one epoch does not hold two stages".to_owned(),
            ));
        }
        let map = frame
            .image
            .map(|side| side >> (depth - self.blocks(depth).min(depth)));
        if map.iter().any(|&side| side < LEAST) {
            return Err(Misfit::new(
                &["gl.local.blocks", "prepare.crop.size", "backbone.depth"],
                format!(
                    "after {} blocks the decoder has maps of {} x {}: regions need {LEAST} x {LEAST}",
                    self.blocks(depth),
                    map[0],
                    map[1]
                ),
            )
            .hint("more blocks of the decoder"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{BackboneOptions, PretrainOptions};

    #[test]
    fn the_stages_share_the_epochs() {
        let local = |share| GlLocalOptions {
            enabled: true,
            share,
            ..GlLocalOptions::default()
        };
        assert_eq!(GlLocalOptions::default().global_epochs(10), 10);
        assert_eq!(local(0.5).global_epochs(10), 5);
        assert_eq!(local(0.01).global_epochs(10), 9);
        assert_eq!(local(0.99).global_epochs(10), 1);
        assert_eq!(local(0.5).global_epochs(2), 1);
    }

    #[test]
    fn blocks_lead_to_a_quarter_of_the_resolution() {
        let local = GlLocalOptions::default();
        assert_eq!([1, 2, 3, 4, 5].map(|d| local.blocks(d)), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn a_stage_that_is_off_is_no_difference() {
        let off = GlOptions {
            local: GlLocalOptions {
                share: 0.3,
                ..GlLocalOptions::default()
            },
            ..GlOptions::default()
        };
        assert_eq!(off.canonical(), GlOptions::default());
        // And leaves no trace in keys.
        let json = serde_json::to_value(off.canonical()).unwrap();
        assert!(json.get("local").is_none() && json.get("recipe").is_none());
    }

    #[test]
    fn small_maps_and_single_epochs_are_refused() {
        let backbone = BackboneOptions::default();
        let check = |image, epochs| {
            let pretrain = PretrainOptions {
                epochs,
                ..PretrainOptions::default()
            };
            let frame = Frame {
                image,
                backbone: &backbone,
                pretrain: &pretrain,
            };
            let mut options = GlOptions::default();
            options.local.enabled = true;
            options
                .check(&frame)
                .map_err(|misfit| misfit.keys[0].clone())
        };
        assert_eq!(check([160, 144], 800), Ok(()));
        assert_eq!(check([160, 16], 800), Err("gl.local.blocks".to_owned()));
        assert_eq!(check([160, 160], 1), Err("gl.local.enabled".to_owned()));
    }
}
