//! What a finished network makes of a masked image.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::{AmlpTask, Network, patch_losses};
use crate::mask::labels::LabelTable;
use crate::nn::init::Initialiser;
use crate::nn::weights::{Weights, host_values};
use crate::options::{AmlpOptions, Reference, TaskOptions};
use crate::pretext::Setup;
use crate::train::{EpochPlan, Task, TrainError};

/// An image as the network saw it in its last epoch, and what it made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstructed {
    /// The image `[channels, height, width]`, flipped and turned as in that epoch.
    pub target: Vec<f32>,
    /// The same with its masked patches filled; a trainable tile is left out.
    pub input: Vec<f32>,
    /// The reconstruction.
    pub output: Vec<f32>,
    /// Share of masked patches, 0 to 1.
    pub ratio: f64,
    /// Mean squared error over masked patches, in units of the image.
    pub error: f64,
}

/// Masks image `index` as in the last epoch, by the categories of `labels` where the method uses
/// any, and reconstructs it in inference.
///
/// # Errors
/// Weights of another network, an image that is not there, options that do not fit.
pub fn reconstruct(
    options: &AmlpOptions,
    setup: &Setup<'_>,
    labels: Option<&LabelTable>,
    weights: &Weights,
    index: usize,
) -> Result<Reconstructed, TrainError> {
    if index >= setup.images.len() {
        return Err(TrainError::NoImages);
    }
    // The table is final: nothing is drawn anew.
    let mut options = options.canonical();
    options.labels.reference = Reference::Kmeans;
    options.labels.preset_flip = 0.0;
    let rows: Option<Vec<u8>> =
        labels.map(|t| (0..t.images()).flat_map(|i| t.row(i)).copied().collect());
    let setup = Setup {
        labels: rows.as_deref(),
        ..*setup
    };
    let task = AmlpTask::new(&options, &setup)?;
    let batch = task.plan(setup.pretrain.epochs).batch(&[index])?;

    let device = setup.device.clone().inner();
    let [c, h, w] = setup.images.shape();
    let mut init = Initialiser::new(setup.seed, &device);
    let network = Network::init(&options, setup.backbone, c, &mut init)?;
    let network = weights.load_into(network, "")?.valid();
    let image = |values: &[f32], shape: [usize; 4], on: &Device| -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), on)
    };
    let pixels = (!batch.pixels.is_empty()).then(|| image(&batch.pixels, [1, 1, h, w], &device));
    let (output, _) = network.forward(image(&batch.input, [1, c, h, w], &device), pixels);
    let target = image(&batch.target, [1, c, h, w], &device);
    let losses = host_values(patch_losses(output.clone(), target, options.patch));
    let masked: Vec<f64> = losses
        .iter()
        .zip(&batch.mask)
        .filter(|(_, mask)| **mask > 0.0)
        .map(|(loss, _)| f64::from(*loss))
        .collect();
    Ok(Reconstructed {
        target: batch.target,
        input: batch.input,
        output: host_values(output),
        ratio: masked.len() as f64 / losses.len().max(1) as f64,
        error: masked.iter().sum::<f64>() / masked.len().max(1) as f64,
    })
}
