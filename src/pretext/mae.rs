//! MAE (He et al. 2022) on the U-Net: the encoder sees visible patches only, a light decoder with
//! skips reconstructs the masked ones (`methods/masked.md` section 3.1).

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::Tensor;

use super::amlp::patch_losses;
use super::part::Meter;
use super::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target};
use super::{About, Family, Setup};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::mask::target::Normalisation;
use crate::nn::backbone::Encoder;
use crate::nn::head::LightDecoder;
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, MaeOptions, TaskOptions, patch_side};
use crate::train::{Moment, TrainError};

/// MAE as a pretext task.
pub type Mae = Masking<MaeLike<MaeOptions>>;

/// What sets apart the methods whose network and loss are those of MAE.
pub trait MaeKind: TaskOptions {
    /// What lists and keys say of it.
    const ABOUT: About;

    /// Side of a patch, where one is given.
    fn patch(&self) -> Option<usize>;

    /// Share of masked patches.
    fn ratio(&self) -> f64;

    /// What is predicted.
    fn target(&self) -> Target<'static>;

    /// Levels of the decoder with a skip, finest first, where not all have one.
    fn skips(&self) -> Option<usize>;

    /// Probability of a flip along each axis.
    fn flip(&self) -> f64 {
        0.0
    }
}

impl MaeKind for MaeOptions {
    const ABOUT: About = About {
        doc: "reconstructs the masked 75 % of an image from the visible rest, which alone is encoded",
        family: Family::Masked,
        year: 2022,
        paper: "He et al., CVPR 2022, arXiv 2111.06377",
        version: 1,
    };

    fn patch(&self) -> Option<usize> {
        self.patch
    }

    fn ratio(&self) -> f64 {
        self.ratio
    }

    fn skips(&self) -> Option<usize> {
        self.skips
    }

    fn target(&self) -> Target<'static> {
        if self.norm_pix {
            Target::Normalised(Normalisation::Mae)
        } else {
            Target::Image
        }
    }
}

/// A method with the network and the loss of MAE; it keeps nothing beside the network.
pub struct MaeLike<O>(PhantomData<O>);

/// A sparse encoder and a decoder on its densified features.
#[derive(Module, Debug)]
pub struct MaeNetwork {
    /// What is handed on.
    pub encoder: Encoder,
    /// What is dropped.
    pub decoder: LightDecoder,
}

impl MaeNetwork {
    /// The network for images of the frame, with skips from the `skips` finest levels, or from all.
    ///
    /// # Errors
    /// A backbone out of range.
    pub fn init(
        frame: &Frame<'_>,
        skips: Option<usize>,
        init: &mut Initialiser,
    ) -> Result<Self, TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let skips = skips.unwrap_or(frame.backbone.depth);
        Ok(Self {
            encoder: Encoder::init(frame.backbone, channels, init)?,
            decoder: LightDecoder::init(init, frame.backbone, frame.sparse, channels, skips),
        })
    }

    /// Mean squared error of the masked patches, each the mean over its values; the spread of the
    /// bottleneck goes into `meter`.
    #[must_use]
    pub fn loss(&self, seen: &Seen, meter: &mut Meter) -> Tensor<1> {
        let features = seen.encode(&self.encoder);
        if let Some(bottleneck) = features.last() {
            meter.add(seen.n, [seen.spread(bottleneck.clone())]);
        }
        let output = self.decoder.forward(&features, &seen.known);
        let losses = patch_losses(output, seen.target.clone(), seen.grid.side());
        seen.masked_mean(losses)
    }
}

impl<O: MaeKind> Masked for MaeLike<O> {
    const ABOUT: About = O::ABOUT;
    const MEASURED: &'static [&'static str] = &["emb_std"];
    const SPARSE: bool = true;
    type Options = O;
    type Model = MaeNetwork;

    fn patch(options: &O, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch(), backbone.depth)
    }

    fn hiding(options: &O, grid: Grid) -> Hiding {
        let masked = count_masked(grid.patches(), options.ratio(), Rounding::KeepDown);
        Hiding::Random(masked)
    }

    fn target<'a>(options: &O, _: &Setup<'a>, _: Grid) -> Result<Target<'a>, TrainError> {
        Ok(options.target())
    }

    fn flip(options: &O) -> f64 {
        options.flip()
    }

    fn start(
        options: &O,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, MaeNetwork), TrainError> {
        Ok((
            Self(PhantomData),
            MaeNetwork::init(frame, options.skips(), init)?,
        ))
    }

    fn loss(
        &mut self,
        model: &MaeNetwork,
        seen: &Seen,
        _: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        Ok(model.loss(seen, meter))
    }

    fn encoder(model: &MaeNetwork) -> Weights {
        Weights::of(&model.encoder)
    }
}
