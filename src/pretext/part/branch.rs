//! An encoder with a projection on its pooled bottleneck.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::backbone::{Encoder, UNet};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::pretext::Setup;
use crate::train::TrainError;

/// What a contrastive method trains, and what its teacher copies.
#[derive(Module, Debug)]
pub struct Branch {
    /// The part that is handed on.
    pub encoder: Encoder,
    /// Head.
    pub head: Projection,
}

impl Branch {
    /// A branch through `widths` after the channels of the bottleneck; 0 is as many as those.
    ///
    /// # Errors
    /// A network out of range, or images that do not fit it.
    pub fn init(
        setup: &Setup<'_>,
        widths: &[usize],
        kind: ProjectionKind,
        init: &mut Initialiser,
    ) -> Result<Self, TrainError> {
        let [channels, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let encoder = Encoder::init(setup.backbone, channels, init)?;
        let features = bottleneck(setup);
        let widths: Vec<usize> = std::iter::once(&features)
            .chain(widths)
            .map(|&w| if w == 0 { features } else { w })
            .collect();
        let head = Projection::init(init, &widths, kind);
        Ok(Self { encoder, head })
    }

    /// Embeddings of images, `[n, c, h, w]` to `[n, d]`.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.encoder.pooled(images))
    }
}

/// A width as an option gives it, or `otherwise` where that is 0.
#[must_use]
pub fn width_or(option: usize, otherwise: usize) -> usize {
    match option {
        0 => otherwise,
        n => n,
    }
}

/// Channels of the bottleneck.
#[must_use]
pub fn bottleneck(setup: &Setup<'_>) -> usize {
    setup.backbone.width << setup.backbone.depth
}
