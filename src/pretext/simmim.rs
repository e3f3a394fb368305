//! SimMIM (Xie et al. 2022) on the U-Net: a trainable tile in place of masked patches, and their
//! pixels from the bottleneck by a single layer (`methods/masked.md` section 3.2).

use burn::module::Module;
use burn::tensor::Tensor;

use super::amlp::patch_means;
use super::part::Meter;
use super::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target};
use super::{About, Family, Setup};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::nn::backbone::Encoder;
use crate::nn::head::{MaskTile, pixel_shuffle, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, SimmimOptions, patch_side};
use crate::train::{Moment, TrainError};

/// Added to the number of masked pixels.
const EPSILON: f64 = 1e-5;

/// SimMIM as a pretext task.
pub type SimMim = Masking<SimMimMethod>;

/// The method; it keeps nothing beside the network.
pub struct SimMimMethod;

/// A dense encoder between a tile and a layer.
#[derive(Module, Debug)]
pub struct SimMimNetwork {
    /// What is handed on.
    pub encoder: Encoder,
    /// What stands at masked patches.
    pub tile: MaskTile,
    /// From a cell of the bottleneck to the pixels of its patch.
    pub head: Conv2d,
}

/// `sum(|x - rec| mask) / (sum(mask) + 1e-5) / C` over the pixels of the batch, of images
/// `[n, c, h, w]` with a mask `[n, patches]` of patches of `side`.
#[must_use]
pub fn masked_l1(
    prediction: Tensor<4>,
    target: Tensor<4>,
    mask: Tensor<2>,
    side: usize,
) -> Tensor<1> {
    let pixels = (side * side) as f64;
    let per_patch = patch_means((prediction - target).abs(), side);
    let sum = (per_patch * mask.clone()).sum().mul_scalar(pixels);
    sum / mask.sum().mul_scalar(pixels).add_scalar(EPSILON)
}

impl Masked for SimMimMethod {
    const ABOUT: About = About {
        doc: "predicts the pixels of 60 % masked patches from the bottleneck with one layer, in L1",
        family: Family::Masked,
        year: 2022,
        paper: "Xie et al., CVPR 2022, arXiv 2111.09886",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std"];
    type Options = SimmimOptions;
    type Model = SimMimNetwork;

    fn patch(options: &SimmimOptions, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &SimmimOptions, grid: Grid) -> Hiding {
        Hiding::Random(count_masked(grid.patches(), options.ratio, Rounding::Up))
    }

    fn target<'a>(_: &SimmimOptions, _: &Setup<'a>, _: Grid) -> Result<Target<'a>, TrainError> {
        Ok(Target::Image)
    }

    fn start(
        _: &SimmimOptions,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, SimMimNetwork), TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let network = SimMimNetwork {
            encoder: Encoder::init(frame.backbone, channels, init)?,
            tile: MaskTile::init(init, channels, frame.grid.side()),
            head: Conv2d::init(init, frame.width(), frame.grid.dim(), 1, true),
        };
        Ok((Self, network))
    }

    fn loss(
        &mut self,
        model: &SimMimNetwork,
        seen: &Seen,
        _: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        let grid = seen.grid;
        let input = model.tile.fill(seen.images.clone(), &seen.visible);
        let features = model.encoder.bottleneck(input);
        meter.add(seen.n, [seen.spread(features.clone())]);
        let cells = to_grid(features, grid.rows(), grid.cols());
        let output = pixel_shuffle(model.head.forward(cells), grid.side());
        let target = seen.target.clone();
        Ok(masked_l1(output, target, seen.mask.clone(), grid.side()))
    }

    fn encoder(model: &SimMimNetwork) -> Weights {
        Weights::of(&model.encoder)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn spec_vector_n8() {
        on_each_device(|| {
            let device = device().inner();
            let mask = Tensor::<2>::from_floats([[1.0, 0.0, 0.0, 1.0]], &device);
            for channels in [1, 2] {
                let plane = (0..16).map(|i| i as f32 / 10.0);
                let x: Vec<f32> = plane.cycle().take(16 * channels).collect();
                let shape = [1, channels, 4, 4];
                let x = Tensor::<4>::from_data(TensorData::new(x, shape), &device);
                let rec = Tensor::<4>::full(shape, 0.5, &device);
                let loss = host_values(masked_l1(rec, x, mask.clone(), 2))[0];
                assert!((loss - 0.499_999_38).abs() < 1e-7, "{loss}");
            }
        });
    }
}
