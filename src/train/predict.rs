//! Prediction with a fine-tuned network: clean images in, region masks out, no autodiff.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use crate::nn::backbone::UNet;
use crate::nn::init::Initialiser;
use crate::nn::weights::{Weights, host_values};
use crate::options::BackboneOptions;

/// A segmentation network that only predicts.
#[derive(Debug)]
pub struct Predictor {
    model: UNet,
    device: Device,
    shape: [usize; 3],
    regions: usize,
}

impl Predictor {
    /// The network of `weights` for images of `shape` `[channels, height, width]`.
    ///
    /// # Errors
    /// Weights of another network; images that do not fit it.
    pub fn new(
        weights: &Weights,
        backbone: &BackboneOptions,
        shape: [usize; 3],
        regions: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let device = device.clone().inner();
        let [channels, height, width] = shape;
        UNet::check(backbone, height, width)?;
        let model = UNet::init(
            backbone,
            channels,
            regions,
            &mut Initialiser::new(0, &device),
        )?;
        let model = weights.load_into(model, "")?.valid();
        Ok(Self {
            model,
            device,
            shape,
            regions,
        })
    }

    /// Shape `[regions, height, width]` of a prediction.
    #[must_use]
    pub fn output_shape(&self) -> [usize; 3] {
        [self.regions, self.shape[1], self.shape[2]]
    }

    /// Probabilities `[n, regions, h, w]` of `images` `[n, c, h, w]`.
    ///
    /// # Errors
    /// A number of values that is no whole number of images.
    pub fn probabilities(&self, images: Vec<f32>) -> Result<Vec<f32>, TrainError> {
        Ok(host_values(sigmoid(self.logits(images)?)))
    }

    /// Masks `[n, regions, h, w]`, 1 where the probability is above one half.
    ///
    /// # Errors
    /// As [`Predictor::probabilities`].
    pub fn masks(&self, images: Vec<f32>) -> Result<Vec<u8>, TrainError> {
        let logits = host_values(self.logits(images)?);
        Ok(logits.into_iter().map(|x| u8::from(x > 0.0)).collect())
    }

    fn logits(&self, images: Vec<f32>) -> Result<Tensor<4>, TrainError> {
        let [c, h, w] = self.shape;
        if images.is_empty() || !images.len().is_multiple_of(c * h * w) {
            return Err(TrainError::Options {
                field: "images",
                reason: format!("{} values are no images of {c}x{h}x{w}", images.len()),
            });
        }
        let n = images.len() / (c * h * w);
        let data = TensorData::new(images, [n, c, h, w]);
        Ok(self.model.forward(Tensor::from_data(data, &self.device)))
    }
}
