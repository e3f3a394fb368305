//! The network of AMLP: the shared U-Net, and what the options add to it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::nn::backbone::UNet;
use crate::nn::head::CategoryHead;
use crate::nn::init::Initialiser;
use crate::nn::layer::as_type;
use crate::options::{AmlpOptions, BackboneOptions, CclMode, MaskFill};
use crate::train::TrainError;

/// Reconstruction network; only its encoder is handed on.
#[derive(Module, Debug)]
pub struct Network {
    /// U-Net from an image to an image of the same channels.
    pub unet: UNet,
    /// Trainable tile `[c, p, p]` of masked patches, with [`MaskFill::Learned`].
    pub tile: Option<Param<Tensor<3>>>,
    /// Classifier of patches, with [`CclMode::Head`].
    pub head: Option<CategoryHead>,
}

impl Network {
    /// The network for images of `channels`.
    ///
    /// # Errors
    /// A backbone out of range; a head whose cells are not the patches.
    pub fn init(
        options: &AmlpOptions,
        backbone: &BackboneOptions,
        channels: usize,
        init: &mut Initialiser,
    ) -> Result<Self, TrainError> {
        let unet = UNet::init(backbone, channels, channels, init)?;
        let side = options.patch;
        let tile = (options.fill == MaskFill::Learned)
            .then(|| init.truncated_normal([channels, side, side], 0.02));
        let head = if options.ccl.mode == CclMode::Head {
            let stride = 1 << backbone.depth;
            if side != stride {
                return Err(TrainError::Options {
                    field: "ccl.mode",
                    reason: format!(
                        "\"head\" needs patches of the bottleneck's stride {stride} (2^depth), patch is {side}"
                    ),
                });
            }
            Some(CategoryHead::init(init, backbone.width << backbone.depth))
        } else {
            None
        };
        Ok(Self { unet, tile, head })
    }

    /// Reconstruction `[n, c, h, w]` and, with a head, the probability of category 1 per patch.
    ///
    /// `pixels` `[n, 1, h, w]` is 1 where the tile goes; it is needed with a tile only.
    #[must_use]
    pub fn forward(
        &self,
        input: Tensor<4>,
        pixels: Option<Tensor<4>>,
    ) -> (Tensor<4>, Option<Tensor<2>>) {
        let input = match (&self.tile, pixels) {
            (Some(tile), Some(pixels)) => {
                let [_, _, h, w] = input.dims();
                let tile = tile.val();
                let [_, side, _] = tile.dims();
                let tiled = tile.repeat(&[1, h / side, w / side]).unsqueeze::<4>();
                input + pixels * tiled
            }
            _ => input,
        };
        let Some(head) = &self.head else {
            return (self.unet.forward(input), None);
        };
        let features = self.unet.features(input);
        let deepest = features
            .last()
            .map(|x| as_type(x.value.clone(), DType::F32));
        let category = deepest.map(|x| head.forward(x));
        (self.unet.decode(features), category)
    }
}
