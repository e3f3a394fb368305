//! SelfMedMAE (Zhou et al. 2023) on the U-Net: MAE on the images of the task itself, with another
//! ratio, another normalisation and flips (`methods/masked.md` section 3.7). Network and loss are
//! those of [`super::mae`].

use burn::tensor::Tensor;

use super::mae::MaeNetwork;
use super::part::Meter;
use super::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target};
use super::{About, Family, Setup};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::mask::target::Normalisation;
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, SelfmedmaeOptions, patch_side};
use crate::train::{Moment, TrainError};

/// SelfMedMAE as a pretext task.
pub type SelfMedMae = Masking<SelfMedMaeMethod>;

/// The method; it keeps nothing beside the network.
pub struct SelfMedMaeMethod;

impl Masked for SelfMedMaeMethod {
    const ABOUT: About = About {
        doc: "MAE on the task's own images, 12.5 % masked, layer-normalised targets, flips",
        family: Family::Masked,
        year: 2023,
        paper: "Zhou et al., ISBI 2023, arXiv 2203.05573",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std"];
    type Options = SelfmedmaeOptions;
    type Model = MaeNetwork;

    fn patch(options: &SelfmedmaeOptions, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &SelfmedmaeOptions, grid: Grid) -> Hiding {
        let masked = count_masked(grid.patches(), options.ratio, Rounding::KeepDown);
        Hiding::Random(masked)
    }

    fn target<'a>(_: &SelfmedmaeOptions, _: &Setup<'a>, _: Grid) -> Result<Target<'a>, TrainError> {
        Ok(Target::Normalised(Normalisation::LayerNorm))
    }

    fn flip(options: &SelfmedmaeOptions) -> f64 {
        options.flip
    }

    fn start(
        _: &SelfmedmaeOptions,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, MaeNetwork), TrainError> {
        Ok((Self, MaeNetwork::init(frame, init)?))
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
