//! A trainable tile in place of masked patches (`methods/masked.md` section 1.3, `learned`).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::nn::backbone::Visible;
use crate::nn::init::Initialiser;

/// `[c, p, p]`, the same for every masked patch.
#[derive(Module, Debug)]
pub struct MaskTile {
    /// The tile.
    pub tile: Param<Tensor<3>>,
}

impl MaskTile {
    /// A tile for patches of `side` with `channels`.
    pub fn init(init: &mut Initialiser, channels: usize, side: usize) -> Self {
        Self {
            tile: init.truncated_normal([channels, side, side], 0.02),
        }
    }

    /// Images with the tile at masked patches.
    #[must_use]
    pub fn fill(&self, images: Tensor<4>, visible: &Visible) -> Tensor<4> {
        let [_, _, h, w] = images.dims();
        let tile = self.tile.val();
        let [_, side, _] = tile.dims();
        let tiled: Tensor<4> = tile.repeat(&[1, h / side, w / side]).unsqueeze();
        visible.or(images, tiled)
    }
}
