//! ConvMAE (Gao et al. 2022) on the U-Net: a sparse encoder whose levels are fused at the grid of
//! the patches, and a decoder there without skips (`methods/masked.md` section 3.4).

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
use crate::nn::head::{Densify, ResidualBlocks, pixel_shuffle, pixel_unshuffle, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, ConvmaeOptions, patch_side};
use crate::train::{Moment, TrainError};

/// ConvMAE as a pretext task.
pub type ConvMae = Masking<ConvMaeMethod>;

/// The method; it keeps nothing beside the network.
pub struct ConvMaeMethod;

/// A sparse encoder, the fusion of its levels, and a decoder at the grid.
#[derive(Module, Debug)]
pub struct ConvMaeNetwork {
    /// What is handed on.
    pub encoder: Encoder,
    /// Convolutions of kernel and stride `2^(depth - level)` from each finer level to the width of
    /// the bottleneck, on unshuffled pixels.
    pub fuse: Vec<Conv2d>,
    /// Trainable vector at masked patches and projection to the decoder.
    pub densify: Densify,
    /// Decoder.
    pub decoder: ResidualBlocks,
    /// From a cell to the pixels of its patch.
    pub head: Conv2d,
}

impl ConvMaeNetwork {
    /// Features of every level to one map at the grid; masked places are not 0.
    fn fused(&self, features: &[Tensor<4>]) -> Option<Tensor<4>> {
        let (bottleneck, finer) = features.split_last()?;
        let depth = finer.len();
        let levels = self.fuse.iter().zip(finer).enumerate();
        Some(levels.fold(bottleneck.clone(), |sum, (level, (conv, f))| {
            sum + conv.forward(pixel_unshuffle(f.clone(), 1 << (depth - level)))
        }))
    }
}

impl Masked for ConvMaeMethod {
    const ABOUT: About = About {
        doc: "MAE with masked convolutions, fused levels and a decoder at the grid of the patches",
        family: Family::Masked,
        year: 2022,
        paper: "Gao et al., NeurIPS 2022, arXiv 2205.03892",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std"];
    const SPARSE: bool = true;
    type Options = ConvmaeOptions;
    type Model = ConvMaeNetwork;

    fn patch(options: &ConvmaeOptions, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &ConvmaeOptions, grid: Grid) -> Hiding {
        let masked = count_masked(grid.patches(), options.ratio, Rounding::KeepDown);
        Hiding::Random(masked)
    }

    fn target<'a>(
        options: &ConvmaeOptions,
        _: &Setup<'a>,
        _: Grid,
    ) -> Result<Target<'a>, TrainError> {
        Ok(if options.norm_pix {
            Target::Normalised(Normalisation::Mae)
        } else {
            Target::Image
        })
    }

    fn start(
        options: &ConvmaeOptions,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, ConvMaeNetwork), TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let (width, depth) = (frame.backbone.width, frame.backbone.depth);
        let own = frame.sparse.decoder_channels(frame.width());
        let norm = frame.backbone.norm;
        let encoder = Encoder::init(frame.backbone, channels, init)?;
        let fuse = (0..depth)
            .map(|level| {
                let inputs = (width << level) << (2 * (depth - level));
                Conv2d::init(init, inputs, frame.width(), 1, true)
            })
            .collect();
        let network = ConvMaeNetwork {
            encoder,
            fuse,
            densify: Densify::init(init, frame.backbone, frame.sparse.densify, depth, own),
            decoder: ResidualBlocks::init(init, norm, own, options.blocks),
            head: Conv2d::init(init, own, frame.grid.dim(), 1, true),
        };
        Ok((Self, network))
    }

    fn loss(
        &mut self,
        model: &ConvMaeNetwork,
        seen: &Seen,
        _: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        let grid = seen.grid;
        let features = seen.encode(&model.encoder);
        let Some(fused) = model.fused(&features) else {
            return Err(TrainError::NoImages);
        };
        if let Some(bottleneck) = features.last() {
            meter.add(seen.n, [seen.spread(bottleneck.clone())]);
        }
        let cells = to_grid(fused, grid.rows(), grid.cols());
        let dense = model.densify.forward(cells, &seen.known);
        let output = pixel_shuffle(
            model.head.forward(model.decoder.forward(dense)),
            grid.side(),
        );
        let losses = patch_losses(output, seen.target.clone(), grid.side());
        Ok(seen.masked_mean(losses))
    }

    fn encoder(model: &ConvMaeNetwork) -> Weights {
        Weights::of(&model.encoder)
    }
}
