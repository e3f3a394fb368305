//! Fine-tuning for segmentation, from a pre-trained encoder or from random weights.

use burn::tensor::Device;

use super::run::{Loop, run};
use super::{Checkpoints, EpochLog, Observer, Segmentation, TrainError, recalibrate};
use crate::data::images::Images;
use crate::nn::backbone::{ENCODER, UNet};
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, FinetuneOptions, ValidationSelect};

/// What is fine-tuned, on what, where.
#[derive(Clone, Copy)]
pub struct FinetuneJob<'a> {
    /// Labelled training images.
    pub images: &'a dyn Images,
    /// Validation images, needed with `select = "best"`.
    pub validation: Option<&'a dyn Images>,
    /// Pre-trained encoder; none trains from scratch.
    pub encoder: Option<&'a Weights>,
    /// Network.
    pub backbone: &'a BackboneOptions,
    /// Epochs, batch, optimiser, loss.
    pub options: &'a FinetuneOptions,
    /// Images per pass through the network at most: [`FinetuneOptions::pass`], or less where
    /// memory is short.
    pub pass: usize,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Device, with or without autodiff.
    pub device: &'a Device,
    /// Where checkpoints go, if anywhere.
    pub checkpoints: Option<Checkpoints<'a>>,
}

/// What fine-tuning hands on.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneOutput {
    /// All tensors of the network by name.
    pub weights: Weights,
    /// One entry per epoch.
    pub curve: Vec<EpochLog>,
}

/// Fine-tunes. Only the encoder is transferred; the decoder starts from the weights of the seed,
/// the same ones with and without a pre-trained encoder.
///
/// # Errors
/// See [`TrainError`].
pub fn finetune(
    job: &FinetuneJob<'_>,
    observer: Observer<'_>,
) -> Result<FinetuneOutput, TrainError> {
    if job.images.is_empty() {
        return Err(TrainError::NoImages);
    }
    let device = job.device.clone().autodiff();
    let [channels, height, width] = job.images.shape();
    UNet::check(job.backbone, height, width)?;
    let mut init = Initialiser::new(job.seed, &device);
    let mut model = UNet::init(job.backbone, channels, job.images.regions(), &mut init)?;
    if let Some(encoder) = job.encoder {
        model = encoder.load_into(model, ENCODER)?;
        if job.options.transfer.recalibrate_bn {
            recalibrate(&model, job.images, job.pass, &device);
        }
    }
    let (images, options) = (job.images, job.options);
    let mut task = Segmentation::new(images, job.validation, options, job.pass, job.seed, &device)?;
    let identity = serde_json::json!({
        "task": "segmentation",
        "backbone": job.backbone,
        "options": options,
        "seed": job.seed,
        "images": images.len(),
        "encoder": job.encoder.map(|e| e.to_bytes().map(|b| blake3::hash(&b).to_string())).transpose()?,
    });
    let settings = Loop {
        images: images.len(),
        epochs: options.epochs,
        batch: options.batch,
        pass: job.pass,
        max_steps: options.max_steps,
        optimiser: &options.optimiser,
        seed: job.seed,
        device: &device,
        checkpoints: job.checkpoints,
        identity: blake3::hash(identity.to_string().as_bytes()).to_string(),
    };
    let (model, curve) = run(&mut task, model, &settings, observer)?;
    let weights = match (options.select, task.into_best()) {
        (ValidationSelect::Best, Some(best)) => best,
        _ => Weights::of(&model),
    };
    Ok(FinetuneOutput { weights, curve })
}
