//! MaskFeat (Wei et al. 2022) on the U-Net: a trainable tile in place of masked blocks, and
//! histograms of oriented gradients of what they held (`methods/masked.md` section 3.3).

use burn::module::Module;
use burn::tensor::Tensor;

use super::part::Meter;
use super::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target, squared};
use super::{About, Family, Setup};
use crate::mask::block::{Blocks, Ending};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::mask::target::BINS;
use crate::nn::backbone::Encoder;
use crate::nn::head::{MaskTile, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, MaskfeatOptions, patch_side};
use crate::train::{Moment, TrainError};

/// MaskFeat as a pretext task.
pub type MaskFeat = Masking<MaskFeatMethod>;

/// The method; it keeps nothing beside the network.
pub struct MaskFeatMethod;

/// A dense encoder between a tile and a layer.
#[derive(Module, Debug)]
pub struct MaskFeatNetwork {
    /// What is handed on.
    pub encoder: Encoder,
    /// What stands at masked patches.
    pub tile: MaskTile,
    /// From a cell of the bottleneck to the histograms of its patch.
    pub head: Conv2d,
}

/// Side of the cells of the histograms: as asked for, at most a patch.
fn cell(options: &MaskfeatOptions, grid: Grid) -> usize {
    options.cell.clamp(1, grid.side())
}

impl Masked for MaskFeatMethod {
    const ABOUT: About = About {
        doc: "predicts histograms of oriented gradients of masked blocks",
        family: Family::Masked,
        year: 2022,
        paper: "Wei et al., CVPR 2022, arXiv 2112.09133",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std", "masked"];
    type Options = MaskfeatOptions;
    type Model = MaskFeatNetwork;

    fn patch(options: &MaskfeatOptions, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &MaskfeatOptions, grid: Grid) -> Hiding {
        let target = count_masked(grid.patches(), options.ratio, Rounding::Nearest);
        Hiding::Blocks(Blocks {
            target,
            min: target / 5,
            max: target,
            ending: Ending::Short,
        })
    }

    fn target<'a>(
        options: &MaskfeatOptions,
        _: &Setup<'a>,
        grid: Grid,
    ) -> Result<Target<'a>, TrainError> {
        let cell = cell(options, grid);
        if !grid.side().is_multiple_of(cell) {
            return Err(TrainError::Options {
                field: "maskfeat.cell",
                reason: format!("cells of {cell} do not tile a patch of {}", grid.side()),
            });
        }
        Ok(Target::Hog(cell))
    }

    fn start(
        options: &MaskfeatOptions,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, MaskFeatNetwork), TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let cells = (frame.grid.side() / cell(options, frame.grid)).pow(2);
        let network = MaskFeatNetwork {
            encoder: Encoder::init(frame.backbone, channels, init)?,
            tile: MaskTile::init(init, channels, frame.grid.side()),
            head: Conv2d::init(init, frame.width(), channels * BINS * cells, 1, true),
        };
        Ok((Self, network))
    }

    fn loss(
        &mut self,
        model: &MaskFeatNetwork,
        seen: &Seen,
        _: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        let input = model.tile.fill(seen.images.clone(), &seen.visible);
        let features = model.encoder.bottleneck(input);
        let masked = seen.mask.clone().sum().div_scalar(seen.n as f64);
        meter.add(seen.n, [seen.spread(features.clone()), masked]);
        let cells = to_grid(features, seen.grid.rows(), seen.grid.cols());
        let losses = squared(model.head.forward(cells), seen.target.clone());
        Ok(seen.masked_mean(losses))
    }

    fn encoder(model: &MaskFeatNetwork) -> Weights {
        Weights::of(&model.encoder)
    }
}
