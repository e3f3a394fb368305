//! Batches of AMLP: which patches are masked, what the network sees, made on the host.

use super::Turn;
use super::fill::fill_masked;
use crate::cluster::points::Points;
use crate::data::images::Images;
use crate::mask::order::{Centroids, centroids, distances, order};
use crate::mask::patch::Grid;
use crate::options::{AmlpOptions, CclMode, MaskFill, MpsOptions, SpatialAugment, Strategy};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, TrainError};

/// One image of a batch.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Row of the label table.
    pub index: usize,
    /// Identity, for the coins.
    pub id: u64,
    /// Masked patches of the image as the network sees it.
    pub masked: Vec<usize>,
    /// The same patches in the numbering of the label table, before any flip or turn.
    pub original: Vec<usize>,
    /// Whether both categories have a centroid.
    pub divided: bool,
}

/// What one step reads; `n` images.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The images.
    pub samples: Vec<Sample>,
    /// Raw images `[n, c, h, w]`: the target.
    pub target: Vec<f32>,
    /// Images with filled patches, same shape.
    pub input: Vec<f32>,
    /// 1 at masked patches, `[n, patches]`.
    pub mask: Vec<f32>,
    /// 1 at masked pixels, `[n, 1, h, w]`; empty without a trainable tile.
    pub pixels: Vec<f32>,
    /// `2 (c1 - c0)` in every patch, `[n, c, h, w]`; empty without `centroid_soft`.
    pub direction: Vec<f32>,
    /// `mean(c0^2 - c1^2)`, `[n]`; empty without `centroid_soft`.
    pub offset: Vec<f32>,
}

/// The view of one epoch.
pub struct Plan<'a> {
    pub(super) images: &'a dyn Images,
    pub(super) options: AmlpOptions,
    pub(super) grid: Grid,
    /// Labels of the epoch, `[images, patches]`; empty where none are used.
    pub(super) labels: Vec<u8>,
    /// Masked patches of every image.
    pub(super) masked: usize,
    pub(super) seed: u64,
    pub(super) epoch: u64,
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    fn batch(&self, indices: &[usize]) -> Result<Batch, TrainError> {
        let [c, h, w] = self.grid.shape();
        let (n, size) = (indices.len(), c * h * w);
        let learned = self.options.fill == MaskFill::Learned;
        let soft = self.options.ccl.mode == CclMode::CentroidSoft;
        let mut batch = Batch {
            samples: Vec::with_capacity(n),
            target: vec![0.0; n * size],
            input: vec![0.0; n * size],
            mask: vec![0.0; n * self.grid.patches()],
            pixels: vec![0.0; if learned { n * h * w } else { 0 }],
            direction: vec![0.0; if soft { n * size } else { 0 }],
            offset: vec![0.0; if soft { n } else { 0 }],
        };
        let mut scratch = Scratch {
            pixels: vec![0.0; h * w],
            patches: vec![0.0; size],
        };
        for (i, &index) in indices.iter().enumerate() {
            self.sample(i, index, &mut batch, &mut scratch)?;
        }
        Ok(batch)
    }
}

/// Buffers that one batch reuses from image to image.
struct Scratch {
    pixels: Vec<f32>,
    patches: Vec<f32>,
}

impl Plan<'_> {
    fn sample(
        &self,
        i: usize,
        index: usize,
        batch: &mut Batch,
        scratch: &mut Scratch,
    ) -> Result<(), TrainError> {
        let [c, h, w] = self.grid.shape();
        let (size, patches) = (c * h * w, self.grid.patches());
        let id = self.images.id(index);
        let key = [self.seed, self.epoch, id];

        let target = &mut batch.target[i * size..(i + 1) * size];
        self.images.image(index, target);
        let sources = self.augment(target, &key);
        let stored = self.labels.get(index * patches..(index + 1) * patches);
        // The label row turns with the image.
        let labels: Vec<u8> = match (stored, &sources) {
            (Some(row), Some(sources)) => sources.iter().map(|&s| row[s]).collect(),
            (Some(row), None) => row.to_vec(),
            (None, _) => vec![0; patches],
        };

        let (masked, centres) = self.choose(target, &labels, id, scratch)?;
        for &patch in &masked {
            batch.mask[i * patches + patch] = 1.0;
        }
        let divided = match &centres {
            Centroids {
                foreground: Some(c1),
                background: Some(c0),
            } => {
                if !batch.direction.is_empty() {
                    let direction = &mut batch.direction[i * size..(i + 1) * size];
                    batch.offset[i] = write_direction(self.grid, c1, c0, direction);
                }
                true
            }
            _ => false,
        };

        self.grid.pixel_mask_into(&masked, &mut scratch.pixels)?;
        let input = &mut batch.input[i * size..(i + 1) * size];
        input.copy_from_slice(target);
        let mut noise = Stream::new(Purpose::Fill, &key);
        fill_masked(input, &scratch.pixels, self.options.fill, &mut noise);
        if !batch.pixels.is_empty() {
            batch.pixels[i * h * w..(i + 1) * h * w].copy_from_slice(&scratch.pixels);
        }
        let original = match &sources {
            Some(sources) => masked.iter().map(|&p| sources[p]).collect(),
            None => masked.clone(),
        };
        batch.samples.push(Sample {
            index,
            id,
            masked,
            original,
            divided,
        });
        Ok(())
    }

    /// Flips, turns and jitters `image` in place; returns the original patch of each patch where
    /// they moved.
    fn augment(&self, image: &mut [f32], key: &[u64]) -> Option<Vec<usize>> {
        let [_, h, w] = self.grid.shape();
        let mut stream = Stream::new(Purpose::Augment, key);
        let sources = (self.options.aug.spatial == SpatialAugment::Grid).then(|| {
            let turn = Turn::draw(&mut stream, h == w);
            let pixels = turn.sources(h, w);
            for channel in image.chunks_exact_mut(h * w) {
                let turned: Vec<f32> = pixels.iter().map(|&s| channel[s]).collect();
                channel.copy_from_slice(&turned);
            }
            turn.sources(self.grid.rows(), self.grid.cols())
        });
        let jitter = self.options.aug.intensity;
        if jitter > 0.0 {
            let factor = (1.0 + stream.range(-jitter, jitter)) as f32;
            let shift = stream.range(-jitter, jitter) as f32;
            for value in image.iter_mut() {
                *value = *value * factor + shift;
            }
        }
        sources
    }

    /// The masked patches of `image`, and the centroids where they were needed.
    fn choose(
        &self,
        image: &[f32],
        labels: &[u8],
        id: u64,
        scratch: &mut Scratch,
    ) -> Result<(Vec<usize>, Centroids), TrainError> {
        let mps: &MpsOptions = &self.options.mps;
        let ranked = mps.enabled && mps.strategy != Strategy::Random;
        let soft = self.options.ccl.mode == CclMode::CentroidSoft;
        let mut centres = Centroids::default();
        let mut away = None;
        if ranked || soft {
            self.grid.patchify_into(image, &mut scratch.patches)?;
            let points = Points::new(&scratch.patches, self.grid.dim())?;
            centres = centroids(points, labels);
            if ranked {
                away = distances(points, &centres);
            }
        }
        let mut masked = order(away.as_ref(), labels, mps, self.seed, self.epoch, id);
        masked.truncate(self.masked);
        Ok((masked, centres))
    }
}

/// Writes `2 (c1 - c0)` into every patch of `out` `[c, h, w]` and returns `mean(c0^2 - c1^2)`.
fn write_direction(grid: Grid, c1: &[f32], c0: &[f32], out: &mut [f32]) -> f32 {
    let [channels, height, width] = grid.shape();
    let side = grid.side();
    for c in 0..channels {
        for y in 0..height {
            let line = (c * height + y) * width;
            for x in 0..width {
                // Patches hold the channel last.
                let at = ((y % side) * side + x % side) * channels + c;
                out[line + x] = 2.0 * (c1[at] - c0[at]);
            }
        }
    }
    let square = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    ((square(c0) - square(c1)) / grid.dim() as f64) as f32
}
