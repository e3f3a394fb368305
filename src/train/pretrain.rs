//! Pre-training: any pretext task on the shared network.

use burn::tensor::Device;

use super::run::{Loop, run};
use super::{Checkpoints, EpochLog, Observer, TaskState, TrainError};
use crate::data::images::Images;
use crate::nn::precision::set_precision;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, PretrainOptions};
use crate::pretext::{Pretext, Setup};

/// File of the whole network, where it is kept.
pub const NETWORK: &str = "network.safetensors";
/// File among [`PretrainOutput::remains`] with the blocks of the decoder that are handed on.
pub const DECODER: &str = "decoder.safetensors";

/// What is pre-trained, on what, where.
#[derive(Clone, Copy)]
pub struct PretrainJob<'a> {
    /// Training images.
    pub images: &'a dyn Images,
    /// Categories of the patches before the first epoch, `[images, patches]` row by row, for tasks
    /// that use them.
    pub labels: Option<&'a [u8]>,
    /// Codes of the patches, `[images, patches]` row by row, for tasks that predict them.
    pub codes: Option<&'a [u16]>,
    /// Encoder of a finished pre-training, for tasks that learn from it.
    pub teacher: Option<&'a Weights>,
    /// Network.
    pub backbone: &'a BackboneOptions,
    /// Epochs, batch, optimiser.
    pub options: &'a PretrainOptions,
    /// Images per pass through the network at most: [`PretrainOptions::pass`], or less where
    /// memory is short.
    pub pass: usize,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Device, with or without autodiff.
    pub device: &'a Device,
    /// Where checkpoints go, if anywhere.
    pub checkpoints: Option<Checkpoints<'a>>,
}

/// What pre-training hands on.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainOutput {
    /// Tensors of the encoder by name.
    pub encoder: Weights,
    /// One entry per epoch.
    pub curve: Vec<EpochLog>,
    /// What else the task leaves, by file name.
    pub remains: TaskState,
}

/// Pre-trains with the method `P`.
///
/// # Errors
/// See [`TrainError`].
pub fn pretrain<P: Pretext>(
    job: &PretrainJob<'_>,
    options: &P::Options,
    observer: Observer<'_>,
) -> Result<PretrainOutput, TrainError> {
    if job.images.is_empty() {
        return Err(TrainError::NoImages);
    }
    let device = job.device.clone().autodiff();
    let setup = Setup {
        images: job.images,
        labels: job.labels,
        codes: job.codes,
        teacher: job.teacher,
        backbone: job.backbone,
        pretrain: job.options,
        seed: job.seed,
        device: &device,
    };
    let (mut task, model) = P::task(options, &setup)?;
    let model = set_precision(model, job.options.precision);
    let identity = serde_json::json!({
        "task": options,
        "backbone": job.backbone,
        "options": job.options,
        "seed": job.seed,
        "images": job.images.len(),
    });
    let settings = Loop {
        images: job.images.len(),
        epochs: job.options.epochs,
        batch: job.options.batch,
        pass: job.pass,
        max_steps: job.options.max_steps,
        optimiser: &job.options.optimiser,
        seed: job.seed,
        device: &device,
        checkpoints: job.checkpoints,
        identity: blake3::hash(identity.to_string().as_bytes()).to_string(),
    };
    let (model, curve) = run(&mut task, model, &settings, observer)?;
    let mut remains = P::remains(&task);
    if job.options.keep_network {
        remains.insert(NETWORK.to_owned(), Weights::of(&model).to_bytes()?);
    }
    if let Some(decoder) = P::decoder(&model, job.options.transfer) {
        remains.insert(DECODER.to_owned(), decoder.to_bytes()?);
    }
    Ok(PretrainOutput {
        encoder: P::encoder(&model),
        curve,
        remains,
    })
}
