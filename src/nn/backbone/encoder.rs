//! The part of a U-Net that is handed on, alone.

use burn::module::Module;
use burn::tensor::Tensor;

use super::unet::encode;
use super::{BackboneError, DoubleConv, UNet};
use crate::nn::init::Initialiser;
use crate::options::BackboneOptions;

/// The encoder of [`UNet`], with its names and its initial weights.
#[derive(Module, Debug)]
pub struct Encoder {
    /// Blocks; the last one is the bottleneck.
    pub enc: Vec<DoubleConv>,
}

impl Encoder {
    /// An encoder of `inputs` channels.
    ///
    /// # Errors
    /// [`BackboneError::Range`].
    pub fn init(
        options: &BackboneOptions,
        inputs: usize,
        init: &mut Initialiser,
    ) -> Result<Self, BackboneError> {
        let UNet { enc, .. } = UNet::init(options, inputs, 1, init)?;
        Ok(Self { enc })
    }

    /// Features of every level, finest first: `[n, width * 2^i, h / 2^i, w / 2^i]`.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let features = encode(&self.enc, images, |block, x| block.forward(x).into());
        features.into_iter().map(|feature| feature.value).collect()
    }

    /// The bottleneck `[n, width * 2^depth, h / 2^depth, w / 2^depth]`.
    #[must_use]
    pub fn bottleneck(&self, images: Tensor<4>) -> Tensor<4> {
        let last = self.forward(images.clone()).pop();
        // A network has a level at least.
        last.unwrap_or(images)
    }

    /// The bottleneck averaged over its positions, `[n, width * 2^depth]`.
    #[must_use]
    pub fn pooled(&self, images: Tensor<4>) -> Tensor<2> {
        pool(self.bottleneck(images))
    }
}

/// `[n, c, h, w]` averaged over positions, `[n, c]`.
#[must_use]
pub fn pool(map: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = map.dims();
    map.reshape([n, c, h * w]).mean_dim(2).reshape([n, c])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::backbone::ENCODER;
    use crate::nn::weights::{Weights, host_values};

    #[test]
    fn has_the_weights_and_features_of_the_whole_network() {
        let options = BackboneOptions {
            width: 2,
            depth: 2,
            ..BackboneOptions::default()
        };
        let device = Device::flex();
        let unet = UNet::init(&options, 1, 1, &mut Initialiser::new(7, &device)).unwrap();
        let alone = Encoder::init(&options, 1, &mut Initialiser::new(7, &device)).unwrap();
        assert_eq!(Weights::of(&alone), Weights::of(&unet).subset(ENCODER));
        let x = Tensor::<4>::ones([1, 1, 8, 8], &device);
        let whole: Vec<_> = unet
            .encode(x.clone())
            .into_iter()
            .map(host_values)
            .collect();
        let part: Vec<_> = alone
            .forward(x.clone())
            .into_iter()
            .map(host_values)
            .collect();
        assert_eq!(whole, part);
        let bottleneck = host_values(alone.bottleneck(x.clone()));
        assert_eq!(bottleneck, whole[2]);
        let mean = bottleneck[..4].iter().sum::<f32>() / 4.0;
        assert!((host_values(alone.pooled(x))[0] - mean).abs() < 1e-6);
    }
}
