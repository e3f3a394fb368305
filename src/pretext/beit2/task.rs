//! The second stage: codes of masked blocks from the bottleneck.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::mask::block::{Blocks, Ending};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::nn::backbone::Encoder;
use crate::nn::head::{MaskTile, ResidualBlocks, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, Linear};
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, Beit2Options, patch_side};
use crate::pretext::part::Meter;
use crate::pretext::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target};
use crate::pretext::{About, Family, Setup};
use crate::train::{Moment, TrainError};

/// Blocks of the class branch.
const BLOCKS: usize = 2;

/// BEiT v2 as a pretext task.
pub type Beit2 = Masking<Beit2Method>;

/// The method; it keeps nothing beside the network.
pub struct Beit2Method;

/// A dense encoder between a tile and a classifier of codes.
#[derive(Module, Debug)]
pub struct Beit2Network {
    /// What is handed on.
    pub encoder: Encoder,
    /// What stands at masked patches.
    pub tile: MaskTile,
    /// From a cell of the bottleneck to a value for each code.
    pub head: Linear,
    /// Second prediction through the mean of the bottleneck.
    pub class: Option<ClassBranch>,
}

/// In place of the class token: the mean of the bottleneck beside the level above it, through two
/// blocks to the same classifier. What the level above lacks has to come through the mean.
#[derive(Module, Debug)]
pub struct ClassBranch {
    /// Both to the width of the bottleneck.
    pub merge: Conv2d,
    /// Blocks.
    pub blocks: ResidualBlocks,
}

impl ClassBranch {
    /// Features of the last two levels to `[n, width, rows, cols]`.
    fn forward(&self, above: Tensor<4>, bottleneck: Tensor<4>, grid: Grid) -> Tensor<4> {
        let (rows, cols) = (grid.rows(), grid.cols());
        let [n, c, _, _] = bottleneck.dims();
        let mean = bottleneck
            .mean_dim(2)
            .mean_dim(3)
            .expand([n, c, rows, cols]);
        let joined = Tensor::cat(vec![mean, to_grid(above, rows, cols)], 1);
        self.blocks.forward(self.merge.forward(joined))
    }
}

/// Mean cross-entropy of logits `[masked, codes]` against `codes` `[masked]`, and the share that is
/// right.
#[must_use]
pub fn masked_cross_entropy(logits: Tensor<2>, codes: Tensor<1, Int>) -> (Tensor<1>, Tensor<1>) {
    let right = logits.clone().detach().argmax(1).flatten::<1>(0, 1);
    let right = right.equal(codes.clone()).float().mean();
    let chosen = log_softmax(logits, 1).gather(1, codes.unsqueeze_dim(1));
    (chosen.mean().neg(), right)
}

impl Masked for Beit2Method {
    const ABOUT: About = About {
        doc: "predicts the codes that a tokenizer gives to masked blocks",
        family: Family::Masked,
        year: 2022,
        paper: "Peng et al., arXiv 2208.06366",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std", "accuracy"];
    type Options = Beit2Options;
    type Model = Beit2Network;

    fn patch(options: &Beit2Options, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &Beit2Options, grid: Grid) -> Hiding {
        let n = grid.patches();
        let target = count_masked(n, options.ratio, Rounding::Nearest);
        Hiding::Blocks(Blocks {
            target,
            min: (options.min_block.unwrap_or(16.0 / 196.0) * n as f64).round() as usize,
            max: target,
            ending: Ending::Exact,
        })
    }

    fn target<'a>(
        options: &Beit2Options,
        setup: &Setup<'a>,
        grid: Grid,
    ) -> Result<Target<'a>, TrainError> {
        let misfit = |reason: String| TrainError::Options {
            field: "beit2",
            reason,
        };
        let codes = setup
            .codes
            .ok_or_else(|| misfit("no codes of a tokenizer were given".to_owned()))?;
        let expected = setup.images.len() * grid.patches();
        if codes.len() != expected {
            return Err(misfit(format!(
                "{} codes for {expected} patches",
                codes.len()
            )));
        }
        let most = codes.iter().copied().max().map_or(0, usize::from);
        if most >= options.tokenizer.codebook {
            return Err(misfit(format!(
                "code {most} of a codebook of {}",
                options.tokenizer.codebook
            )));
        }
        Ok(Target::Codes(codes))
    }

    fn start(
        options: &Beit2Options,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, Beit2Network), TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let (width, norm) = (frame.width(), frame.backbone.norm);
        let encoder = Encoder::init(frame.backbone, channels, init)?;
        let tile = MaskTile::init(init, channels, frame.grid.side());
        let head = Linear::init(init, width, options.tokenizer.codebook, true);
        let class = options.class_branch.then(|| ClassBranch {
            merge: Conv2d::init(init, width + width / 2, width, 1, true),
            blocks: ResidualBlocks::init(init, norm, width, BLOCKS),
        });
        let network = Beit2Network {
            encoder,
            tile,
            head,
            class,
        };
        Ok((Self, network))
    }

    fn loss(
        &mut self,
        model: &Beit2Network,
        seen: &Seen,
        _: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        let grid = seen.grid;
        let input = model.tile.fill(seen.images.clone(), &seen.visible);
        let mut features = model.encoder.forward(input);
        let (Some(bottleneck), Some(above)) = (features.pop(), features.pop()) else {
            return Err(TrainError::NoImages);
        };
        let cross_entropy = |cells: Tensor<4>| {
            let logits = model.head.forward(seen.hidden(cells));
            masked_cross_entropy(logits, seen.codes.clone())
        };
        let cells = to_grid(bottleneck.clone(), grid.rows(), grid.cols());
        let (mut loss, right) = cross_entropy(cells);
        meter.add(seen.n, [seen.spread(bottleneck.clone()), right]);
        if let Some(class) = &model.class {
            loss = loss + cross_entropy(class.forward(above, bottleneck, grid)).0;
        }
        Ok(loss)
    }

    fn encoder(model: &Beit2Network) -> Weights {
        Weights::of(&model.encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn a_guess_costs_the_logarithm_of_the_codebook() {
        on_each_device(|| {
            let device = device().inner();
            for (k, expected) in [(8192, 9.010_913), (1024, 6.931_472)] {
                let logits = Tensor::<2>::zeros([3, k], &device);
                let codes = Tensor::<1, Int>::from_ints([0, 5, 1023], &device);
                let (loss, _) = masked_cross_entropy(logits, codes);
                assert!((host_values(loss)[0] - expected).abs() < 1e-5);
            }
            let logits = Tensor::<2>::from_floats([[9.0, 0.0], [9.0, 0.0]], &device);
            let codes = Tensor::<1, Int>::from_ints([0, 1], &device);
            let (_, right) = masked_cross_entropy(logits, codes);
            assert_eq!(host_values(right), [0.5]);
        });
    }
}
