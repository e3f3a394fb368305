//! Segmentation as a training task: the fine-tuning stage.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{EpochPlan, Keep, Kept, Moment, Scalars, Task, TrainError, segmentation_loss};
use crate::data::augment::light;
use crate::data::images::Images;
use crate::nn::backbone::UNet;
use crate::nn::weights::{Weights, host_values};
use crate::options::{FinetuneOptions, LightAugment, ValidationSelect};
use crate::random::{Purpose, Stream};

/// Segmentation of every region by its own sigmoid.
pub struct Segmentation<'a> {
    images: &'a dyn Images,
    validation: Option<&'a dyn Images>,
    options: &'a FinetuneOptions,
    /// Images per pass of the validation.
    pass: usize,
    seed: u64,
    device: Device,
    best: Option<(f64, Weights)>,
}

/// Images and masks of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Number of images.
    pub n: usize,
    /// `[n, c, h, w]`.
    pub images: Vec<f32>,
    /// `[n, regions, h, w]`.
    pub masks: Vec<f32>,
}

/// The view of one epoch.
pub struct Plan<'a> {
    images: &'a dyn Images,
    augment: LightAugment,
    seed: u64,
    epoch: u64,
}

impl<'a> Segmentation<'a> {
    /// A task on `images`; with `select = "best"`, `validation` decides which epoch is kept, seen
    /// `pass` images at a time.
    ///
    /// # Errors
    /// `select = "best"` without validation images.
    pub fn new(
        images: &'a dyn Images,
        validation: Option<&'a dyn Images>,
        options: &'a FinetuneOptions,
        pass: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let best = options.select == ValidationSelect::Best;
        if best && validation.is_none_or(Images::is_empty) {
            return Err(TrainError::Options {
                field: "finetune.select",
                reason: "\"best\" needs validation images, and there are none".to_owned(),
            });
        }
        Ok(Self {
            images,
            validation: validation.filter(|_| best),
            options,
            pass,
            seed,
            device: device.clone(),
            best: None,
        })
    }

    /// The weights of the best epoch so far, where one is chosen by validation.
    #[must_use]
    pub fn into_best(self) -> Option<Weights> {
        self.best.map(|(_, weights)| weights)
    }
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    fn batch(&self, indices: &[usize]) -> Result<Batch, TrainError> {
        let shape = self.images.shape();
        let [c, h, w] = shape;
        let regions = self.images.regions();
        let mut batch = Batch {
            n: indices.len(),
            images: vec![0.0; indices.len() * c * h * w],
            masks: vec![0.0; indices.len() * regions * h * w],
        };
        // Every image by itself, so that no result depends on the number of threads.
        let masks = batch.masks.chunks_mut((regions * h * w).max(1));
        let masks = masks.chain(std::iter::repeat_with(Default::default));
        let images = batch.images.chunks_mut((c * h * w).max(1));
        let each: Vec<_> = images.zip(masks).zip(indices).collect();
        each.into_par_iter().for_each(|((image, masks), &index)| {
            self.images.image(index, image);
            self.images.masks(index, masks);
            if self.augment == LightAugment::Light {
                let key = [self.seed, self.epoch, self.images.id(index)];
                light(image, masks, h, w, &mut Stream::new(Purpose::Augment, &key));
            }
        });
        Ok(batch)
    }
}

impl<'a> Task for Segmentation<'a> {
    type Model = UNet;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            images: self.images,
            augment: self.options.augment,
            seed: self.seed,
            epoch: epoch as u64,
        }
    }

    fn step(&mut self, model: &UNet, batch: Batch, _: &Moment) -> Result<Tensor<1>, TrainError> {
        let [c, h, w] = self.images.shape();
        let n = batch.n;
        let images = TensorData::new(batch.images, [n, c, h, w]);
        let masks = TensorData::new(batch.masks, [n, self.images.regions(), h, w]);
        let logits = model.forward(Tensor::from_data(images, &self.device));
        let target = Tensor::from_data(masks, &self.device);
        Ok(segmentation_loss(self.options.loss, logits, target))
    }

    fn after_epoch(&mut self, model: &UNet, _: usize) -> Result<Scalars, TrainError> {
        let Some(validation) = self.validation else {
            return Ok(Scalars::new());
        };
        let score = validation_dice(model, validation, self.pass, &self.device);
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, Weights::of(model)));
        }
        Ok(Scalars::from([("validation.dice".to_owned(), score)]))
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![("best", &mut self.best)]
    }
}

/// The best score so far and its weights.
impl Keep for Option<(f64, Weights)> {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        let Some((score, weights)) = self else {
            return Ok(None);
        };
        let mut bytes = score.to_le_bytes().to_vec();
        bytes.extend(weights.to_bytes()?);
        Ok(Some(bytes))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        if let Some((score, weights)) = bytes.split_first_chunk() {
            let weights = Weights::from_bytes(weights, "checkpoint".as_ref())?;
            *self = Some((f64::from_le_bytes(*score), weights));
        }
        Ok(())
    }
}

/// Dice of the thresholded prediction, pooled over all validation slices per region, mean over
/// regions. A region that is neither there nor predicted counts 1.
fn validation_dice(model: &UNet, images: &dyn Images, batch: usize, device: &Device) -> f64 {
    let model = model.valid();
    let device = device.clone().inner();
    let [c, h, w] = images.shape();
    let regions = images.regions();
    let mut masks = vec![0.0; regions * h * w];
    // Overlap and sizes per region.
    let mut counts = vec![(0u64, 0u64); regions];
    let all: Vec<usize> = (0..images.len()).collect();
    for indices in all.chunks(batch.max(1)) {
        let mut pixels = vec![0.0; indices.len() * c * h * w];
        for (&index, image) in indices.iter().zip(pixels.chunks_exact_mut(c * h * w)) {
            images.image(index, image);
        }
        let input = Tensor::from_data(TensorData::new(pixels, [indices.len(), c, h, w]), &device);
        let logits = host_values(model.forward(input));
        for (&index, logits) in indices.iter().zip(logits.chunks_exact(regions * h * w)) {
            images.masks(index, &mut masks);
            let planes = logits.chunks_exact(h * w).zip(masks.chunks_exact(h * w));
            for (count, (logits, mask)) in counts.iter_mut().zip(planes) {
                for (&x, &t) in logits.iter().zip(mask) {
                    let (p, t) = (x > 0.0, t > 0.5);
                    count.0 += u64::from(p && t);
                    count.1 += u64::from(p) + u64::from(t);
                }
            }
        }
    }
    let dice = |&(overlap, total): &(u64, u64)| {
        if total == 0 {
            1.0
        } else {
            2.0 * overlap as f64 / total as f64
        }
    };
    counts.iter().map(dice).sum::<f64>() / regions.max(1) as f64
}
