//! Fine-tuning for segmentation, from a pre-trained encoder or from random weights.

use std::collections::BTreeSet;

use burn::tensor::Device;

use super::run::{Loop, run};
use super::{Checkpoints, EpochLog, Observer, Segmentation, TrainError, recalibrate};
use crate::data::images::Images;
use crate::nn::backbone::{ENCODER, UNet};
use crate::nn::foreign::WeightsFile;
use crate::nn::init::Initialiser;
use crate::nn::precision::set_precision;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, FinetuneOptions, InitPart, ValidationSelect};

/// What is fine-tuned, on what, where.
#[derive(Clone, Copy)]
pub struct FinetuneJob<'a> {
    /// Labelled training images.
    pub images: &'a dyn Images,
    /// Validation images, needed with `select = "best"`.
    pub validation: Option<&'a dyn Images>,
    /// Pre-trained encoder, and blocks of the decoder that came with it; none trains from scratch.
    pub encoder: Option<&'a Weights>,
    /// File of weights to start from, as `options.init` says.
    pub init: Option<&'a WeightsFile>,
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

/// Fine-tunes. What pre-training hands on is transferred: the encoder, for most methods nothing else.
/// The rest starts from the weights of the seed, the same ones with and without a pre-trained
/// encoder, unless a file brings it.
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
    let (images, options) = (job.images, job.options);
    if let Some(file) = job.init {
        let part = match options.init.part {
            InitPart::Encoder => ENCODER,
            InitPart::Network => "",
        };
        model = file.load_into(model, part, &options.init.prefix)?;
    }
    if let Some(encoder) = job.encoder {
        for part in parts(encoder) {
            model = encoder.subset(&part).load_into(model, &part)?;
        }
    }
    if options.transfer.recalibrate_bn && (job.encoder.is_some() || job.init.is_some()) {
        recalibrate(&model, images, job.pass, &device);
    }
    model = set_precision(model, options.precision);
    let mut task = Segmentation::new(images, job.validation, options, job.pass, job.seed, &device)?;
    let mut identity = serde_json::json!({
        "task": "segmentation",
        "backbone": job.backbone,
        "options": options,
        "seed": job.seed,
        "images": images.len(),
        "encoder": job.encoder.map(|e| e.to_bytes().map(|b| blake3::hash(&b).to_string())).transpose()?,
    });
    if let Some(file) = job.init {
        identity["init"] = file.digest().into();
    }
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

/// Prefixes of the parts of a network that are replaced whole: the encoder, and every block beside it
/// of which there is a tensor (`up.0.`).
fn parts(weights: &Weights) -> BTreeSet<String> {
    let rest = weights.0.keys().filter(|name| !name.starts_with(ENCODER));
    let block = |name: &String| {
        let mut ends = name.match_indices('.').map(|(at, _)| at + 1);
        let end = ends.nth(1).unwrap_or(name.len());
        name[..end].to_owned()
    };
    let encoder = std::iter::once(ENCODER.to_owned());
    encoder.chain(rest.map(block)).collect()
}
