//! vox2vec: the same pixel in two overlapping windows attracts, all other pixels repel; its vector
//! holds every scale of the decoder (`methods/contrastive.md` section 10).

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::augment::{blur, foreground, in_unit};
use super::part::{METER, Meter, Source, indices, nt_xent, spread};
use super::{About, Family, Pretext, Setup};
use crate::nn::backbone::{Decoder, Encoder, UNet};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{
    self, Border, Frame, LrDecay, Misfit, OptimiserOptions, TaskOptions, Transfer, inside,
    is_default, within,
};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, Kept, Moment, Scalars, Task, TrainError};

/// Pixels of all images of a pass together, as published.
const PIXELS: usize = 10_240;
/// Side of a window for the paper's slices.
const LARGEST: usize = 96;
/// Greatest standard deviation of the noise, of the range of intensities (30 of 2350 HU).
const NOISE: f64 = 0.0128;
/// Lower and upper bounds of the window of intensities, of their range.
const LOWER: [f64; 2] = [0.0, 0.1489];
const UPPER: [f64; 2] = [0.7021, 1.0];

/// Options of vox2vec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Vox2VecOptions {
    /// Temperature.
    pub temperature: f64,
    /// Length of an embedding.
    pub width: usize,
    /// Side of a window; 0 is the multiple of the network's stride next to two thirds of the
    /// slice, 96 at most.
    pub window: usize,
    /// Pixels per slice; 0 is 10,240 divided by the slices of a pass.
    pub pixels: usize,
    /// Change intensities: blur or sharpen, noise, window.
    pub intensity: bool,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for Vox2VecOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            width: 128,
            window: 0,
            pixels: 0,
            intensity: true,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for Vox2VecOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("vox2vec.temperature", self.temperature, 0.0, 100.0)?;
        within("vox2vec.width", self.width as f64, 1.0, 65536.0)?;
        within("vox2vec.pixels", self.pixels as f64, 0.0, 1e6)?;
        let stride = 1usize << frame.backbone.depth;
        let least = frame.image[0].min(frame.image[1]);
        if !self.window.is_multiple_of(stride) || self.window > least {
            return Err(Misfit::new(
                &["vox2vec.window", "prepare.crop.size", "backbone.depth"],
                format!(
                    "a window of {} is no multiple of the network's stride {stride} of at most {least}",
                    self.window
                ),
            ));
        }
        Ok(())
    }

    fn optimiser(&self, _: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            lr: 3e-4,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            warmup_epochs: 0.0,
            decay: LrDecay::Constant,
            clip_norm: 1.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.unscaled(original)
    }
}

/// The multiple of `stride` next to two thirds of `side`, at least one and up to 96 pixels.
fn window_side(side: usize, stride: usize) -> usize {
    let steps = (2.0 * side as f64 / 3.0 / stride as f64).round() as usize;
    (steps.min(LARGEST / stride).max(1) * stride).min(side)
}

/// vox2vec.
pub struct Vox2Vec;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// The part that is handed on.
    pub encoder: Encoder,
    /// Top-down path.
    pub decoder: Decoder,
    /// Head of the vectors of pixels.
    pub head: Projection,
}

impl Pretext for Vox2Vec {
    const ABOUT: About = About {
        doc: "recognises a pixel in another window, by a vector of all scales of the decoder",
        family: Family::Contrastive,
        year: 2023,
        paper: "Goncharov et al., MICCAI 2023, arXiv 2307.14725",
        version: 1,
    };
    const TRAINS_DECODER: bool = true;

    type Options = Vox2VecOptions;
    type Model = Network;
    type Task<'a> = Vox2VecTask<'a>;

    fn task<'a>(
        options: &Vox2VecOptions,
        setup: &Setup<'a>,
    ) -> Result<(Vox2VecTask<'a>, Network), TrainError> {
        let [channels, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let mut init = Initialiser::new(setup.seed, setup.device);
        let (encoder, decoder) = Decoder::halves(setup.backbone, channels, 1, &mut init)?;
        let vector: usize = (0..=setup.backbone.depth)
            .map(|level| setup.backbone.width << level)
            .sum();
        let kind = ProjectionKind {
            norm: true,
            bias: true,
            last_bias: true,
            ..ProjectionKind::default()
        };
        let head = Projection::init(&mut init, &[vector, vector, vector, options.width], kind);
        let stride = 1 << setup.backbone.depth;
        let window = match options.window {
            0 => [height, width].map(|side| window_side(side, stride)),
            side => [side, side],
        };
        let task = Vox2VecTask {
            source: Source::new(setup),
            options: options.clone(),
            window,
            meter: Meter::new(&["emb_std", "retrieved"], setup.device),
            device: setup.device.clone(),
        };
        let network = Network {
            encoder,
            decoder,
            head,
        };
        Ok((task, network))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.encoder)
    }

    fn decoder(model: &Network, transfer: Transfer) -> Option<Weights> {
        (transfer == Transfer::Full).then(|| model.decoder.blocks())
    }
}

/// vox2vec over a set of images.
pub struct Vox2VecTask<'a> {
    source: Source<'a>,
    options: Vox2VecOptions,
    window: [usize; 2],
    meter: Meter,
    device: Device,
}

/// The view of one epoch.
pub struct Plan<'a> {
    source: Source<'a>,
    options: Vox2VecOptions,
    window: [usize; 2],
    epoch: u64,
}

/// Two windows of every image, and pixels that lie in both.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Images.
    n: usize,
    /// `[n, c, h, w]` each.
    views: [Vec<f32>; 2],
    /// Row and column in the window, for all pixels of the first image, then of the next.
    pixels: [Vec<[usize; 2]>; 2],
}

/// Where the two windows of an image begin, and the pixels of the image to compare.
struct Sites {
    starts: [[usize; 2]; 2],
    pixels: Vec<[usize; 2]>,
}

impl Plan<'_> {
    /// Pixels per image of a pass of `n`: never more than any two windows share.
    fn count(&self, n: usize) -> usize {
        let wanted = match self.options.pixels {
            0 => PIXELS / n.max(1),
            count => count,
        };
        let shared = (self.window[0] - self.window[0] / 2) * (self.window[1] - self.window[1] / 2);
        wanted.clamp(1, shared)
    }

    /// Two windows around one pixel of the foreground, and `count` pixels of what they share: of the
    /// foreground where there are enough, none twice.
    fn sites(&self, shown: &[bool], count: usize, stream: &mut Stream) -> Sites {
        let sides = self.source.size();
        let [height, width] = sides;
        let seen: Vec<usize> = (0..shown.len()).filter(|&i| shown[i]).collect();
        let anchor = match seen.len() {
            0 => stream.below(height * width),
            n => seen[stream.below(n)],
        };
        let anchor = [anchor / width, anchor % width];
        let mut starts = [[0; 2]; 2];
        for axis in 0..2 {
            let (a, side, p) = (anchor[axis], sides[axis], self.window[axis]);
            let (low, high) = ((a + 1).saturating_sub(p), a.min(side - p));
            let first = low + stream.below(high - low + 1);
            let (low, high) = (
                low.max(first.saturating_sub(p / 2)),
                high.min(first + p / 2),
            );
            starts[0][axis] = first;
            starts[1][axis] = low + stream.below(high - low + 1);
        }
        let range = |axis: usize| {
            let [a, b] = starts.map(|s| s[axis]);
            a.max(b)..a.min(b) + self.window[axis]
        };
        let shared = range(0).flat_map(|r| range(1).map(move |c| [r, c]));
        let (mut pixels, mut rest): (Vec<[usize; 2]>, Vec<[usize; 2]>) =
            shared.partition(|&[r, c]| shown[r * width + c]);
        stream.shuffle(&mut pixels);
        stream.shuffle(&mut rest);
        pixels.extend(rest);
        pixels.truncate(count);
        Sites { starts, pixels }
    }

    fn view(
        &self,
        image: &[f32],
        start: [usize; 2],
        bounds: &[[f32; 2]],
        stream: &mut Stream,
    ) -> Vec<f32> {
        let [height, width] = self.source.size();
        let [rows, cols] = self.window;
        let mut view = Vec::with_capacity(image.len());
        for plane in image.chunks_exact(height * width) {
            for r in start[0]..start[0] + rows {
                let from = r * width + start[1];
                view.extend_from_slice(&plane[from..from + cols]);
            }
        }
        if self.options.intensity {
            let change = Change::draw(stream);
            in_unit(&mut view, rows * cols, bounds, |plane| {
                change.apply(plane, cols, self.source.options.border, stream);
            });
        }
        view
    }
}

/// A change of intensities between 0 and 1.
struct Change {
    filter: Filter,
    noise: f64,
    window: [f64; 2],
}

enum Filter {
    None,
    Blur { sigma: f64 },
    Sharpen { sigma: f64, strength: f64 },
}

impl Change {
    fn draw(stream: &mut Stream) -> Self {
        let (filters, blurs) = (stream.uniform() < 0.5, stream.uniform() < 0.5);
        let (wide, narrow) = (stream.range(0.25, 1.5), stream.range(0.5, 1.0));
        let strength = stream.range(10.0, 30.0);
        let (noisy, noise) = (stream.uniform() < 0.5, stream.range(0.0, NOISE));
        let windowed = stream.uniform() < 0.8;
        let window = [
            stream.range(LOWER[0], LOWER[1]),
            stream.range(UPPER[0], UPPER[1]),
        ];
        Self {
            filter: match (filters, blurs) {
                (false, _) => Filter::None,
                (true, true) => Filter::Blur { sigma: wide },
                (true, false) => Filter::Sharpen {
                    sigma: narrow,
                    strength,
                },
            },
            noise: if noisy { noise } else { 0.0 },
            window: if windowed { window } else { [0.0, 1.0] },
        }
    }

    fn apply(&self, plane: &mut [f32], width: usize, border: Border, stream: &mut Stream) {
        let radius = |sigma: f64| (4.0 * sigma).round().max(1.0) as usize;
        match self.filter {
            Filter::None => {}
            Filter::Blur { sigma } => blur(plane, width, sigma, radius(sigma), border),
            Filter::Sharpen { sigma, strength } => {
                blur(plane, width, sigma, radius(sigma), border);
                let mut soft = plane.to_vec();
                blur(&mut soft, width, 0.5, radius(0.5), border);
                for (v, s) in plane.iter_mut().zip(soft) {
                    *v += strength as f32 * (*v - s);
                }
            }
        }
        let [low, high] = self.window;
        for v in plane.iter_mut() {
            let noise = if self.noise > 0.0 {
                self.noise * stream.normal()
            } else {
                0.0
            };
            *v = ((f64::from(*v) + noise - low) / (high - low)).clamp(0.0, 1.0) as f32;
        }
    }
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        self.source.steps(shuffled, self.epoch)
    }

    fn batch(&self, slices: &[usize]) -> Result<Batch, TrainError> {
        let images = self.source.images;
        let [channels, height, width] = images.shape();
        let mut image = vec![0.0; channels * height * width];
        let count = self.count(slices.len());
        let mut batch = Batch {
            n: slices.len(),
            views: [Vec::new(), Vec::new()],
            pixels: [Vec::new(), Vec::new()],
        };
        for &index in slices {
            images.image(index, &mut image);
            let bounds = self.source.bounds(index);
            let shown = foreground(&image, height * width, bounds);
            let key = [self.source.seed, self.epoch, images.id(index)];
            let mut stream = Stream::new(Purpose::Augment, &key);
            let sites = self.sites(&shown, count, &mut stream);
            for (i, start) in sites.starts.into_iter().enumerate() {
                let view = self.view(&image, start, bounds, &mut stream);
                batch.views[i].extend(view);
                let inside = sites
                    .pixels
                    .iter()
                    .map(|p| [p[0] - start[0], p[1] - start[1]]);
                batch.pixels[i].extend(inside);
            }
        }
        Ok(batch)
    }
}

/// The vectors of `pixels`, `per` of each image, from a pyramid whose level `i` has stride `2^i`:
/// `[pixels, c]` with the channels of all levels, finest first.
fn vectors(levels: Vec<Tensor<4>>, pixels: &[[usize; 2]], per: usize) -> Tensor<2> {
    let mut parts = Vec::with_capacity(levels.len());
    for (level, map) in levels.into_iter().enumerate() {
        let [n, c, h, w] = map.dims();
        let places: Vec<usize> = pixels
            .iter()
            .enumerate()
            .map(|(k, [row, col])| (k / per.max(1) * h + (row >> level)) * w + (col >> level))
            .collect();
        let device = map.device();
        let rows = map.permute([0, 2, 3, 1]).reshape([n * h * w, c]);
        parts.push(rows.select(0, indices(&places, &device)));
    }
    Tensor::cat(parts, 1)
}

impl<'a> Task for Vox2VecTask<'a> {
    type Model = Network;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            source: self.source.clone(),
            options: self.options.clone(),
            window: self.window,
            epoch: epoch as u64,
        }
    }

    fn step(&mut self, model: &Network, batch: Batch, _: &Moment) -> Result<Tensor<1>, TrainError> {
        let [channels, _, _] = self.source.images.shape();
        let [rows, cols] = self.window;
        let n = batch.n;
        let per = batch.pixels[0].len() / n.max(1);
        // View by view: each has batch statistics of its own, also in the head.
        let embed = |values: Vec<f32>, pixels: &[[usize; 2]]| {
            let data = TensorData::new(values, [n, channels, rows, cols]);
            let features = model.encoder.forward(Tensor::from_data(data, &self.device));
            let levels = model.decoder.pyramid(features);
            model.head.forward(vectors(levels, pixels, per))
        };
        let [first, second] = batch.views;
        let a = embed(first, &batch.pixels[0]);
        let b = embed(second, &batch.pixels[1]);
        let spread = spread(a.clone());
        let found = nt_xent(a, b, self.options.temperature);
        self.meter.add(n, [spread, found.retrieved]);
        Ok(found.loss)
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![(METER, &mut self.meter)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::images::InMemory;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;
    use crate::options::ViewOptions;

    #[test]
    fn a_pixel_has_a_value_of_every_level() {
        on_each_device(|| {
            let device = device().inner();
            let level = |values: Vec<f32>, side: usize| {
                Tensor::<4>::from_data(TensorData::new(values, [1, 1, side, side]), &device)
            };
            let levels = vec![
                level((0..16).map(|i| i as f32).collect(), 4),
                level(vec![100., 101., 102., 103.], 2),
                level(vec![200.], 1),
            ];
            let found = vectors(levels, &[[3, 2], [0, 3], [1, 1]], 3);
            let expected = [14., 103., 200., 3., 101., 200., 5., 100., 200.];
            assert_eq!(host_values(found), expected);
        });
    }

    #[test]
    fn pixels_of_both_windows_are_the_same_pixels() {
        let values: Vec<f32> = (0..32 * 32).map(|i| (i as f32 * 0.37).sin()).collect();
        let images = InMemory {
            shape: [1, 32, 32],
            regions: 0,
            images: vec![values.clone(), values.iter().map(|v| 2.0 * v).collect()],
            masks: vec![Vec::new(); 2],
            ids: vec![5, 6],
        };
        for epoch in 0..20 {
            let plan = Plan {
                source: Source::of(&images, ViewOptions::default(), 1),
                options: Vox2VecOptions {
                    intensity: false,
                    ..Vox2VecOptions::default()
                },
                window: [20, 20],
                epoch,
            };
            let batch = plan.batch(&[0, 1]).unwrap();
            let per = batch.pixels[0].len() / 2;
            assert_eq!(per, 100, "as many as any two windows share");
            for k in 0..2 * per {
                let value = |view: usize| {
                    let [r, c] = batch.pixels[view][k];
                    batch.views[view][(k / per * 20 + r) * 20 + c]
                };
                assert_eq!(value(0), value(1));
            }
            let mut first = batch.pixels[0][..per].to_vec();
            first.sort_unstable();
            first.dedup();
            assert_eq!(first.len(), per, "no pixel twice");
        }
    }

    #[test]
    fn sides_of_windows() {
        assert_eq!(window_side(144, 16), 96);
        assert_eq!(window_side(160, 16), 96);
        assert_eq!(window_side(64, 16), 48);
        assert_eq!(window_side(8, 16), 8);
    }
}
