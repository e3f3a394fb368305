//! BootMAE (Dong et al. 2022) on the U-Net: pixels, and features of an averaged encoder that sees
//! the whole image; details reach the pixel decoder past the bottleneck (`methods/masked.md` section
//! 3.6).

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::amlp::patch_losses;
use super::part::masked::{Frame, Hiding, Masked, Masking, Seen, Target, squared};
use super::part::{Meter, Teacher};
use super::{About, Family, Setup};
use crate::mask::block::{Blocks, Ending};
use crate::mask::patch::Grid;
use crate::mask::random::{Rounding, count_masked};
use crate::mask::target::Normalisation;
use crate::nn::backbone::Encoder;
use crate::nn::head::{Densify, LightDecoder, ResidualBlocks, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, BootmaeOptions, patch_side};
use crate::train::{Kept, Moment, TrainError};

/// Epochs of the two rises of the teacher's decay.
const RISES: [f64; 2] = [100.0, 300.0];
/// Name of the teacher in checkpoints.
const TEACHER: &str = "teacher";

/// BootMAE as a pretext task.
pub type BootMae = Masking<BootMaeMethod>;

/// The method: its teacher, and the options that losses and teacher read.
pub struct BootMaeMethod {
    options: BootmaeOptions,
    teacher: Teacher<Encoder>,
}

/// A sparse encoder with two branches.
#[derive(Module, Debug)]
pub struct BootMaeNetwork {
    /// What is handed on.
    pub encoder: Encoder,
    /// Pixels, with skips from the finest levels.
    pub pixels: LightDecoder,
    /// Bottleneck to the feature branch.
    pub densify: Densify,
    /// Feature branch.
    pub blocks: ResidualBlocks,
    /// To the width of the teacher's bottleneck.
    pub features: Conv2d,
}

/// Decay of the teacher in `epoch`, counted from 0, with `steps` per epoch.
#[must_use]
pub fn decay(options: &BootmaeOptions, epoch: usize, steps: usize) -> f64 {
    let e = epoch as f64;
    let between = |low: f64, high: f64, share: f64| low + share.clamp(0.0, 1.0) * (high - low);
    let decay = if e < RISES[0] {
        between(options.ema_start, options.ema_mid, e / RISES[0])
    } else {
        between(options.ema_mid, options.ema_end, (e - RISES[0]) / RISES[1])
    };
    if steps > 0 && steps < options.ema_steps {
        decay.powf(options.ema_steps as f64 / steps as f64)
    } else {
        decay
    }
}

/// Weight of the feature loss in `epoch`, counted from 0, of `epochs`: it rises over a quarter.
#[must_use]
pub fn feature_weight(options: &BootmaeOptions, epoch: usize, epochs: usize) -> f64 {
    let rise = 4.0 * (1.0 + epoch as f64) / epochs.max(1) as f64;
    rise.min(1.0) * options.feature_weight
}

/// `W = mask + mask * avgpool3x3(mask)` of masks `[n, rows, cols]`, zeros outside counted: the inside
/// of a block weighs twice as much as a single patch.
#[must_use]
pub fn weights(mask: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(mask.len());
    for plane in mask.chunks_exact(rows * cols) {
        for (at, &m) in plane.iter().enumerate() {
            let (row, col) = (at / cols, at % cols);
            let near = |i: usize, n: usize| i.saturating_sub(1)..(i + 2).min(n);
            let sum: f32 = near(row, rows)
                .flat_map(|y| near(col, cols).map(move |x| plane[y * cols + x]))
                .sum();
            all.push(m + m * sum / 9.0);
        }
    }
    all
}

/// Layer normalisation over channels, without scale and shift: `[n, c, h, w]`.
fn layer_norm(x: Tensor<4>) -> Tensor<4> {
    let x = x.clone() - x.mean_dim(1);
    let variance = x.clone().square().mean_dim(1);
    x / variance.add_scalar(1e-6).sqrt()
}

/// Squared difference of normalised features per position, `[n, patches]`.
#[must_use]
pub fn feature_losses(prediction: Tensor<4>, target: Tensor<4>) -> Tensor<2> {
    squared(layer_norm(prediction), layer_norm(target))
}

impl Masked for BootMaeMethod {
    const ABOUT: About = About {
        doc: "reconstructs masked blocks and the features that an averaged encoder has of them",
        family: Family::Masked,
        year: 2022,
        paper: "Dong et al., ECCV 2022, arXiv 2207.07116",
        version: 1,
    };
    const MEASURED: &'static [&'static str] = &["emb_std", "l_pixel", "l_feature"];
    const SPARSE: bool = true;
    type Options = BootmaeOptions;
    type Model = BootMaeNetwork;

    fn patch(options: &BootmaeOptions, backbone: &BackboneOptions) -> usize {
        patch_side(options.patch, backbone.depth)
    }

    fn hiding(options: &BootmaeOptions, grid: Grid) -> Hiding {
        let n = grid.patches();
        let masked = count_masked(n, options.ratio, Rounding::KeepDown);
        let share = |s: f64| (s * n as f64).round() as usize;
        let [least, most] = options.block_area.unwrap_or([16.0 / 196.0, 60.0 / 196.0]);
        let blocks = Blocks {
            target: share(options.blocks).min(masked),
            min: share(least),
            max: share(most).max(1),
            ending: Ending::Persistent,
        };
        Hiding::Rolled(blocks, masked)
    }

    fn target<'a>(_: &BootmaeOptions, _: &Setup<'a>, _: Grid) -> Result<Target<'a>, TrainError> {
        Ok(Target::Normalised(Normalisation::BootMae))
    }

    fn start(
        options: &BootmaeOptions,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, BootMaeNetwork), TrainError> {
        let [channels, _, _] = frame.grid.shape();
        let own = frame.sparse.decoder_channels(frame.width());
        let (norm, depth) = (frame.backbone.norm, frame.backbone.depth);
        let network = BootMaeNetwork {
            encoder: Encoder::init(frame.backbone, channels, init)?,
            pixels: LightDecoder::init(init, frame.backbone, frame.sparse, channels, options.skips),
            densify: Densify::init(init, frame.backbone, frame.sparse.densify, depth, own),
            blocks: ResidualBlocks::init(init, norm, own, options.feature_blocks),
            features: Conv2d::init(init, own, frame.width(), 1, true),
        };
        let method = Self {
            options: options.clone(),
            teacher: Teacher::still(&network.encoder),
        };
        Ok((method, network))
    }

    fn loss(
        &mut self,
        model: &BootMaeNetwork,
        seen: &Seen,
        at: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError> {
        let (rows, cols) = (seen.grid.rows(), seen.grid.cols());
        let features = seen.encode(&model.encoder);
        let Some(bottleneck) = features.last() else {
            return Err(TrainError::NoImages);
        };
        let weights = if self.options.weight_mask {
            let weights = weights(&seen.host_mask, rows, cols);
            let data = TensorData::new(weights, [seen.n, rows * cols]);
            Tensor::from_data(data, &seen.images.device())
        } else {
            seen.mask.clone()
        };
        // The denominator is the plain mask: weights above 1 raise the loss.
        let count = seen.mask.clone().sum();
        let weighed = |losses: Tensor<2>| (losses * weights.clone()).sum() / count.clone();

        let output = model.pixels.forward(&features, &seen.known);
        let pixel = weighed(patch_losses(output, seen.target.clone(), seen.grid.side()));

        let teacher = self.teacher.module();
        let goal = teacher.bottleneck(seen.images.clone().inner()).autodiff();
        let dense = model.densify.forward(bottleneck.clone(), &seen.known);
        let guess = model.features.forward(model.blocks.forward(dense));
        let on_grid = |x: Tensor<4>| to_grid(x, rows, cols);
        let feature = weighed(feature_losses(on_grid(guess), on_grid(goal)));

        let spread = seen.spread(bottleneck.clone());
        meter.add(seen.n, [spread, pixel.clone(), feature.clone()]);
        let weight = feature_weight(&self.options, at.epoch - 1, at.epochs);
        Ok(pixel + feature.mul_scalar(weight))
    }

    fn after_step(&mut self, model: &BootMaeNetwork, at: &Moment) -> Result<(), TrainError> {
        let decay = decay(&self.options, at.epoch - 1, at.steps);
        self.teacher.follow(&model.encoder, decay);
        Ok(())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![(TEACHER, &mut self.teacher)]
    }

    fn encoder(model: &BootMaeNetwork) -> Weights {
        Weights::of(&model.encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn spec_vectors_n12_schedules() {
        let o = BootmaeOptions::default();
        for (epoch, expected) in [
            (0, 0.999_000_0),
            (1, 0.999_009_0),
            (50, 0.999_450_0),
            (99, 0.999_891_0),
            (100, 0.999_900_0),
            (250, 0.999_945_0),
            (400, 0.999_990_0),
            (800, 0.999_990_0),
        ] {
            assert!((decay(&o, epoch, 312) - expected).abs() < 1e-9, "{epoch}");
            assert!((decay(&o, epoch, 5000) - expected).abs() < 1e-9, "{epoch}");
            // A third of the steps, three times the pull.
            let few = decay(&o, epoch, 104);
            assert!((few - expected.powi(3)).abs() < 1e-9);
        }
        for (epoch, expected) in [
            (0, 0.004_994),
            (99, 0.499_376),
            (199, 0.998_752),
            (200, 1.0),
        ] {
            assert!((feature_weight(&o, epoch, 801) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn spec_vectors_n12_losses() {
        on_each_device(|| {
            let mask = [1., 1., 0., 1., 1., 0., 0., 1., 1.];
            let found = weights(&mask, 3, 3);
            let expected = [
                1.444_444, 1.444_444, 0., 1.555_556, 1.666_667, 0., 0., 1.444_444, 1.333_333,
            ];
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-5, "{found:?}");
            }
            let ratio = found.iter().sum::<f32>() / mask.iter().sum::<f32>();
            assert!((ratio - 1.481_481).abs() < 1e-5);
            let device = device().inner();
            let token = |v: [f32; 4]| -> Tensor<4> {
                Tensor::<1>::from_floats(v, &device).reshape([1, 4, 1, 1])
            };
            let (a, b) = (token([1., 2., 3., 4.]), token([1., 1., 2., 4.]));
            let normal = host_values(layer_norm(a.clone()));
            for (f, e) in normal
                .iter()
                .zip([-1.341_64, -0.447_213, 0.447_213, 1.341_64])
            {
                assert!((f - e).abs() < 1e-5);
            }
            let loss = host_values(feature_losses(a, b))[0];
            assert!((loss - 0.174_258).abs() < 1e-5, "{loss}");
        });
    }
}
