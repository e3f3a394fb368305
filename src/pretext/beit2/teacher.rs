//! Whose features the tokenizer learns: those of the study's own MAE or of an average of itself, or
//! histograms of gradients. All know nothing but the training slices.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::data::images::Images;
use crate::mask::patch::Grid;
use crate::mask::target::{BINS, hog_of_patches};
use crate::nn::backbone::Encoder;
use crate::nn::head::to_grid;
use crate::nn::init::Initialiser;
use crate::nn::weights::{Weights, host_values};
use crate::options::{BackboneOptions, TokenTeacher};
use crate::pretext::part::Teacher;
use crate::train::TrainError;

/// Images that are looked at together.
const BATCH: usize = 32;
/// Side of the cells of the histograms, at most a patch.
const CELL: usize = 8;

/// A teacher. Features are not negative, so that any two of them look alike: their mean is taken
/// away, over the training slices where the teacher stands still, over the batch where it does not.
pub struct TokenizerTeacher {
    kind: Kind,
    grid: Grid,
    device: Device,
    /// Mean per feature; empty before it is known.
    mean: Vec<f32>,
}

enum Kind {
    /// With running statistics, without gradients.
    Mae(Box<Encoder>),
    Hog(usize),
    Ema(Box<Teacher<Encoder>>),
}

impl TokenizerTeacher {
    /// The teacher asked for; `weights` are those of the encoder of the study's MAE, `own` is the
    /// encoder of the tokenizer.
    ///
    /// # Errors
    /// No weights, or those of another network.
    pub(super) fn new(
        teacher: TokenTeacher,
        grid: Grid,
        backbone: &BackboneOptions,
        weights: Option<&Weights>,
        own: &Encoder,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let [channels, _, _] = grid.shape();
        let kind = match teacher {
            TokenTeacher::Hog => Kind::Hog(if grid.side().is_multiple_of(CELL) {
                CELL
            } else {
                grid.side()
            }),
            TokenTeacher::OwnEma => Kind::Ema(Box::new(Teacher::still(own))),
            TokenTeacher::OwnMae => {
                let weights = weights.ok_or_else(|| TrainError::Options {
                    field: "beit2.tokenizer.teacher",
                    reason: "no encoder of a teacher was given".to_owned(),
                })?;
                let mut init = Initialiser::new(0, device);
                let encoder = Encoder::init(backbone, channels, &mut init)?;
                Kind::Mae(Box::new(weights.load_into(encoder, "")?.valid()))
            }
        };
        Ok(Self {
            kind,
            grid,
            device: device.clone(),
            mean: Vec::new(),
        })
    }

    /// Number of features.
    pub(super) fn width(&self, backbone: &BackboneOptions) -> usize {
        match self.kind {
            Kind::Mae(_) | Kind::Ema(_) => backbone.width << backbone.depth,
            Kind::Hog(cell) => self.grid.shape()[0] * BINS * (self.grid.side() / cell).pow(2),
        }
    }

    /// Features of `n` images `[c, h, w]`, as they are: `[n * patches, width]`, plain.
    fn raw(&self, images: &[f32]) -> Tensor<2> {
        let [c, h, w] = self.grid.shape();
        let (rows, cols) = (self.grid.rows(), self.grid.cols());
        let n = images.len() / (c * h * w).max(1);
        let device = self.device.clone().inner();
        let seen_by = |encoder: &Encoder| {
            let data = TensorData::new(images.to_vec(), [n, c, h, w]);
            let features = encoder.bottleneck(Tensor::from_data(data, &device));
            to_grid(features, rows, cols)
        };
        let map = match &self.kind {
            Kind::Mae(encoder) => seen_by(encoder),
            Kind::Ema(teacher) => seen_by(teacher.module()),
            Kind::Hog(cell) => {
                let made: Vec<f32> = images
                    .chunks_exact(c * h * w)
                    .flat_map(|image| hog_of_patches(self.grid, image, *cell))
                    .collect();
                let d = made.len() / (n * rows * cols).max(1);
                Tensor::from_data(TensorData::new(made, [n, d, rows, cols]), &device)
            }
        };
        to_rows(map)
    }

    /// Centred features of `n` images `[c, h, w]`: `[n * patches, width]` on the device of the
    /// network.
    pub(super) fn features(&self, images: &[f32]) -> Tensor<2> {
        let raw = self.raw(images);
        let [_, width] = raw.dims();
        let mean = match self.kind {
            Kind::Ema(_) => raw.clone().mean_dim(0),
            Kind::Mae(_) | Kind::Hog(_) => {
                let mean = TensorData::new(self.mean.clone(), [1, width]);
                Tensor::from_data(mean, &raw.device())
            }
        };
        (raw - mean).autodiff()
    }

    /// Takes the mean over all `images`, once, where the teacher stands still.
    pub(super) fn find_mean(&mut self, images: &dyn Images) {
        if self.moving().is_some() {
            return;
        }
        let mut sums: Vec<f64> = Vec::new();
        let mut count = 0;
        for pixels in batches(images, BATCH) {
            let raw = self.raw(&pixels);
            let [rows, width] = raw.dims();
            count += rows;
            sums.resize(width, 0.0);
            for (sum, value) in sums.iter_mut().zip(host_values(raw.sum_dim(0))) {
                *sum += f64::from(value);
            }
        }
        let count = count.max(1) as f64;
        self.mean = sums.iter().map(|s| (s / count) as f32).collect();
    }

    /// The teacher, where it follows the tokenizer.
    pub(super) fn moving(&mut self) -> Option<&mut Teacher<Encoder>> {
        match &mut self.kind {
            Kind::Ema(teacher) => Some(teacher),
            Kind::Mae(_) | Kind::Hog(_) => None,
        }
    }

    /// The mean, for checkpoints and artifacts.
    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Takes it back.
    pub(super) fn set_mean(&mut self, mean: Vec<f32>) {
        self.mean = mean;
    }
}

/// `[n, c, h, w]` to `[n * h * w, c]`.
pub(super) fn to_rows(map: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = map.dims();
    map.permute([0, 2, 3, 1]).reshape([n * h * w, c])
}

/// All images in order, `batch` at a time, one after the other in each.
pub(super) fn batches(images: &dyn Images, batch: usize) -> impl Iterator<Item = Vec<f32>> + '_ {
    let size: usize = images.shape().iter().product();
    (0..images.len()).step_by(batch).map(move |first| {
        let last = (first + batch).min(images.len());
        let mut pixels = vec![0.0; (last - first) * size];
        for (index, image) in (first..last).zip(pixels.chunks_exact_mut(size)) {
            images.image(index, image);
        }
        pixels
    })
}
