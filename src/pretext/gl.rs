//! G-L, its global stage: slices at the same relative height of different volumes attract, slices of
//! other parts repel (`methods/contrastive.md` section 8).

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::augment::{Unit, Window, add, contrast, resize};
use super::part::{Meter, Ranges, indices, log_sum_exp, normalise, spread};
use super::{About, Family, Pretext, Setup};
use crate::data::images::Images;
use crate::nn::backbone::{Encoder, UNet};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{Frame, Misfit, TaskOptions, inside, within};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, Moment, Scalars, Task, TaskState, TrainError};

/// Cells per side to which the bottleneck is averaged before the head.
const CELLS: usize = 3;
/// What stands in place of a similarity that does not count.
const HIDDEN: f32 = -1e9;

/// Which images attract each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attraction {
    /// A slice, its augmented copy, and those of the same part of the next volume (`G^D`).
    #[default]
    AcrossVolumes,
    /// A slice and two augmented copies of it (`G^D-`).
    WithinSlice,
}

/// Options of G-L.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlOptions {
    /// Temperature.
    pub temperature: f64,
    /// Parts of equal height into which a volume is cut.
    pub parts: usize,
    /// Which images attract each other.
    pub attraction: Attraction,
    /// Width of the hidden layer; 0 is the channels of the bottleneck.
    pub hidden: usize,
    /// Length of an embedding.
    pub width: usize,
    /// Shift of brightness and change of contrast.
    pub jitter: f64,
}

impl Default for GlOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            parts: 4,
            attraction: Attraction::default(),
            hidden: 0,
            width: 128,
            jitter: 0.3,
        }
    }
}

impl TaskOptions for GlOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("gl.temperature", self.temperature, 0.0, 100.0)?;
        within("gl.parts", self.parts as f64, 2.0, 1000.0)?;
        within("gl.hidden", self.hidden as f64, 0.0, 65536.0)?;
        within("gl.width", self.width as f64, 1.0, 65536.0)?;
        within("gl.jitter", self.jitter, 0.0, 1.0)?;
        let pass = frame.pretrain.pass();
        if pass < 2 * self.parts
            || (pass < frame.pretrain.batch && !pass.is_multiple_of(self.parts))
        {
            return Err(Misfit::new(
                &["pretrain.micro_batch", "pretrain.batch", "gl.parts"],
                format!(
                    "{pass} images per pass do not hold {} parts of two volumes or more",
                    self.parts
                ),
            )
            .hint("a multiple of gl.parts, at least twice as many"));
        }
        Ok(())
    }
}

/// G-L.
pub struct Gl;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// The part that is handed on.
    pub encoder: Encoder,
    /// From the bottleneck in 3 x 3 cells.
    pub head: Projection,
}

impl Network {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let cells = cells(self.encoder.bottleneck(images));
        let [n, c, h, w] = cells.dims();
        self.head.forward(cells.reshape([n, c * h * w]))
    }
}

/// `[n, c, h, w]` averaged in 3 x 3 cells, which overlap by a pixel where the map does not divide;
/// fewer cells where the map is smaller.
fn cells(map: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = map.dims();
    let (rows, cols) = (h.min(CELLS), w.min(CELLS));
    let mut all = Vec::with_capacity(rows * cols);
    for r in 0..rows {
        let (top, bottom) = (r * h / rows, ((r + 1) * h).div_ceil(rows));
        for k in 0..cols {
            let (left, right) = (k * w / cols, ((k + 1) * w).div_ceil(cols));
            let part = map.clone().slice([0..n, 0..c, top..bottom, left..right]);
            let size = (bottom - top) * (right - left);
            all.push(part.reshape([n, c, size]).mean_dim(2));
        }
    }
    Tensor::cat(all, 2).reshape([n, c, rows, cols])
}

impl Pretext for Gl {
    const ABOUT: About = About {
        doc: "pulls slices of the same height of different volumes together (global stage)",
        family: Family::Contrastive,
        year: 2020,
        paper: "Chaitanya et al., NeurIPS 2020, arXiv 2006.10511",
        version: 1,
    };

    type Options = GlOptions;
    type Model = Network;
    type Task<'a> = GlTask<'a>;

    fn task<'a>(
        options: &GlOptions,
        setup: &Setup<'a>,
    ) -> Result<(GlTask<'a>, Network), TrainError> {
        let [channels, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let volumes = volumes(setup.images, options.parts);
        if volumes.len() < 2 {
            return Err(TrainError::Options {
                field: "gl.parts",
                reason: format!(
                    "{} volumes have {} slices or more, two are needed",
                    volumes.len(),
                    options.parts
                ),
            });
        }
        let mut init = Initialiser::new(setup.seed, setup.device);
        let encoder = Encoder::init(setup.backbone, channels, &mut init)?;
        let features = setup.backbone.width << setup.backbone.depth;
        let side = |pixels: usize| (pixels >> setup.backbone.depth).min(CELLS);
        let hidden = match options.hidden {
            0 => features,
            n => n,
        };
        let inputs = features * side(height) * side(width);
        let widths = [inputs, hidden, options.width];
        let head = Projection::init(&mut init, &widths, ProjectionKind::default());
        let task = GlTask {
            images: setup.images,
            ranges: Arc::new(Ranges::of(setup.images)),
            volumes: Arc::new(volumes),
            options: options.clone(),
            meter: Meter::new(&["emb_std"], setup.device),
            seed: setup.seed,
            device: setup.device.clone(),
        };
        Ok((task, Network { encoder, head }))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.encoder)
    }
}

/// The images of each volume that has at least `parts` of them, in order of z.
fn volumes(images: &dyn Images, parts: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for index in 0..images.len() {
        let volume = images.volume(index);
        if all.len() <= volume {
            all.resize(volume + 1, Vec::new());
        }
        all[volume].push(index);
    }
    all.retain(|slices| slices.len() >= parts);
    all
}

/// G-L over a set of images.
pub struct GlTask<'a> {
    images: &'a dyn Images,
    ranges: Arc<Ranges>,
    volumes: Arc<Vec<Vec<usize>>>,
    options: GlOptions,
    meter: Meter,
    seed: u64,
    device: Device,
}

/// The view of one epoch.
pub struct Plan<'a> {
    images: &'a dyn Images,
    ranges: Arc<Ranges>,
    volumes: Arc<Vec<Vec<usize>>>,
    options: GlOptions,
    seed: u64,
    epoch: u64,
}

/// Images of several volumes: of each volume all parts as they are, then augmented copies.
#[derive(Clone, Debug)]
pub struct Batch {
    volumes: usize,
    /// `[volumes * copies * parts, c, h, w]`.
    values: Vec<f32>,
}

impl Attraction {
    /// Versions of a slice in a batch.
    fn copies(self) -> usize {
        match self {
            Self::AcrossVolumes => 2,
            Self::WithinSlice => 3,
        }
    }

    /// Ordered pairs of rows that attract, for rows laid out as [`Batch`] has them.
    fn pairs(self, volumes: usize, parts: usize) -> Vec<(usize, usize)> {
        let copies = self.copies();
        let at = |v: usize, copy: usize, p: usize| (v * copies + copy) * parts + p;
        let mut pairs = Vec::new();
        for v in 0..volumes {
            for p in 0..parts {
                let mut both = |a: usize, b: usize| pairs.extend([(a, b), (b, a)]);
                match self {
                    Self::AcrossVolumes => {
                        let next = (v + 1) % volumes;
                        both(at(v, 0, p), at(v, 1, p));
                        both(at(v, 0, p), at(next, 0, p));
                        both(at(next, 0, p), at(next, 1, p));
                        both(at(v, 1, p), at(next, 1, p));
                    }
                    Self::WithinSlice => {
                        both(at(v, 0, p), at(v, 1, p));
                        both(at(v, 0, p), at(v, 2, p));
                        both(at(v, 1, p), at(v, 2, p));
                    }
                }
            }
        }
        pairs
    }
}

/// The loss of embeddings `[volumes * copies * parts, d]`, laid out as [`Batch`] has them: mean over
/// attracting pairs of the cross-entropy of the partner among itself and all rows of other parts.
#[must_use]
pub fn global_loss(
    z: Tensor<2>,
    attraction: Attraction,
    volumes: usize,
    parts: usize,
    t: f64,
) -> Tensor<1> {
    let device = z.device();
    let rows = volumes * attraction.copies() * parts;
    let z = normalise(z);
    let same_part = |i: usize| {
        if i / rows % parts == i % rows % parts {
            HIDDEN
        } else {
            0.0
        }
    };
    let hidden: Vec<f32> = (0..rows * rows).map(same_part).collect();
    let hidden = Tensor::<2>::from_data(TensorData::new(hidden, [rows, rows]), &device);
    let similarity = z.clone().matmul(z.clone().transpose()).div_scalar(t);
    let negative = log_sum_exp(similarity + hidden);
    let (a, b): (Vec<usize>, Vec<usize>) = attraction.pairs(volumes, parts).into_iter().unzip();
    let (a, b) = (indices(&a, &device), indices(&b, &device));
    let positive = (z.clone().select(0, a.clone()) * z.select(0, b)).sum_dim(1);
    // -ln(e^s / (e^s + e^n)) is the softplus of n - s.
    softplus(negative.select(0, a) - positive.div_scalar(t), 1.0).mean()
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    /// As many steps of as many images as there would be, but of volumes, each with one slice of
    /// every part.
    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        let size = shuffled.first().map_or(0, Vec::len);
        let parts = self.options.parts;
        let count = (size / parts).clamp(2, self.volumes.len().max(2));
        let mut stream = Stream::new(Purpose::Shuffle, &[self.seed, self.epoch, u64::MAX]);
        let whole = crate::train::whole_steps(shuffled).len();
        (0..whole)
            .map(|_| {
                let mut order: Vec<&Vec<usize>> = self.volumes.iter().collect();
                stream.shuffle(&mut order);
                let chosen = order.into_iter().take(count);
                chosen
                    .flat_map(|slices| {
                        let bound = |k: usize| k * slices.len() / parts;
                        (0..parts)
                            .map(|k| slices[bound(k) + stream.below(bound(k + 1) - bound(k))])
                            .collect::<Vec<_>>()
                    })
                    .collect()
            })
            .collect()
    }

    fn batch(&self, slices: &[usize]) -> Result<Batch, TrainError> {
        let parts = self.options.parts;
        if slices.len() < 2 * parts || !slices.len().is_multiple_of(parts) {
            return Err(TrainError::Options {
                field: "pretrain.micro_batch",
                reason: format!(
                    "{} images do not hold {parts} parts of two volumes or more",
                    slices.len()
                ),
            });
        }
        let [channels, height, width] = self.images.shape();
        let size = channels * height * width;
        let copies = self.options.attraction.copies();
        let mut values = Vec::with_capacity(slices.len() * copies * size);
        for volume in slices.chunks(parts) {
            let start = values.len();
            for &index in volume {
                let from = values.len();
                values.resize(from + size, 0.0);
                self.images.image(index, &mut values[from..]);
            }
            for copy in 1..copies {
                for (p, &index) in volume.iter().enumerate() {
                    let from = start + p * size;
                    let image = values[from..from + size].to_vec();
                    values.extend(self.augmented(index, &image, copy));
                }
            }
        }
        Ok(Batch {
            volumes: slices.len() / parts,
            values,
        })
    }
}

impl Plan<'_> {
    /// A window of 100 of 192 pixels, brought back to the size of the slice, with another brightness
    /// and contrast.
    fn augmented(&self, index: usize, image: &[f32], copy: usize) -> Vec<f32> {
        let [_, height, width] = self.images.shape();
        let key = [self.seed, self.epoch, self.images.id(index), copy as u64];
        let mut stream = Stream::new(Purpose::Augment, &key);
        let [(top, rows), (left, cols)] = [height, width].map(|side| {
            let (crop, low, high) = window(side);
            (low + stream.below(high - low + 1), crop)
        });
        let window = Window {
            top,
            left,
            height: rows,
            width: cols,
        };
        let mut view = resize(image, [height, width], window, [height, width]);
        let j = self.options.jitter;
        let shift = stream.range(-j, j) as f32;
        let factor = stream.range(1.0 - j, 1.0 + j) as f32;
        let bounds = self.ranges.volume(self.images.volume(index));
        for (plane, bound) in view.chunks_exact_mut(height * width).zip(bounds) {
            if let Some(unit) = Unit::new(*bound) {
                unit.enter(plane);
                add(plane, shift);
                contrast(plane, factor);
                unit.leave(plane);
            }
        }
        view
    }
}

/// Side of the window in a slice of `side` pixels, and the first and last place where it begins.
fn window(side: usize) -> (usize, usize, usize) {
    let crop = ((100 * side) as f64 / 192.0).round().max(1.0) as usize;
    let last = (69 * side / 192).min(side - crop.min(side));
    let first = (10 * side).div_ceil(192).min(last);
    (crop.min(side), first, last)
}

impl<'a> Task for GlTask<'a> {
    type Model = Network;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            images: self.images,
            ranges: self.ranges.clone(),
            volumes: self.volumes.clone(),
            options: self.options.clone(),
            seed: self.seed,
            epoch: epoch as u64,
        }
    }

    fn step(&mut self, model: &Network, batch: Batch, _: &Moment) -> Result<Tensor<1>, TrainError> {
        let [channels, height, width] = self.images.shape();
        let o = &self.options;
        let rows = batch.volumes * o.parts * o.attraction.copies();
        let data = TensorData::new(batch.values, [rows, channels, height, width]);
        let z = model.forward(Tensor::from_data(data, &self.device));
        self.meter.add(batch.volumes * o.parts, [spread(z.clone())]);
        let loss = global_loss(z, o.attraction, batch.volumes, o.parts, o.temperature);
        Ok(loss)
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn state(&self) -> Result<TaskState, TrainError> {
        let mut state = TaskState::new();
        self.meter.save(&mut state);
        Ok(state)
    }

    fn load_state(&mut self, state: &TaskState) -> Result<(), TrainError> {
        self.meter.load(state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::testing::{close, g, number};
    use super::*;
    use crate::nn::weights::host_values;

    #[test]
    fn fixtures() {
        let (across, within) = (Attraction::AcrossVolumes, Attraction::WithinSlice);
        let z = |n| g(n, 3, [0.6, 1.1, 0.2]);
        close(number(global_loss(z(8), across, 2, 2, 0.1)), 10.701_175);
        close(number(global_loss(z(8), across, 2, 2, 0.5)), 2.777_885);
        close(number(global_loss(z(24), across, 6, 2, 0.1)), 10.803_746);
        // The fixture has the first version of all slices, then the second, then the third.
        let order: Vec<usize> = (0..12)
            .map(|row| row / 2 % 3 * 4 + row / 6 * 2 + row % 2)
            .collect();
        let z = z(12);
        let z = z.clone().select(0, indices(&order, &z.device()));
        close(number(global_loss(z, within, 2, 2, 0.1)), 13.739_179);
    }

    #[test]
    fn equal_embeddings_cost_the_logarithm_of_the_negatives() {
        for (volumes, parts, expected) in [(6, 4, 3.610_918), (9, 4, 4.007_333), (12, 4, 4.290_459)]
        {
            let same = Tensor::ones([2 * volumes * parts, 4], &Device::flex().autodiff());
            let loss = global_loss(same, Attraction::AcrossVolumes, volumes, parts, 0.1);
            close(number(loss), expected);
        }
    }

    #[test]
    fn partners_share_their_part_and_every_image_has_eight_terms() {
        for (attraction, terms) in [
            (Attraction::AcrossVolumes, 8 * 3 * 4),
            (Attraction::WithinSlice, 6 * 3 * 4),
        ] {
            let pairs = attraction.pairs(3, 4);
            assert_eq!(pairs.len(), terms);
            assert!(pairs.iter().all(|(a, b)| a % 4 == b % 4 && a != b));
        }
    }

    #[test]
    fn cells_overlap_where_the_map_does_not_divide() {
        let device = Device::flex();
        let line = |n: usize| {
            let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, n]), &device)
        };
        assert_eq!(host_values(cells(line(9))), [1.0, 4.0, 7.0]);
        assert_eq!(host_values(cells(line(10))), [1.5, 4.5, 7.5]);
        assert_eq!(cells(line(2)).dims(), [1, 1, 1, 2]);
    }

    #[test]
    fn windows_of_the_specification() {
        assert_eq!(window(192), (100, 10, 69));
        assert_eq!(window(144), (75, 8, 51));
        assert_eq!(window(160), (83, 9, 57));
        assert_eq!(window(16), (8, 1, 5));
    }
}
