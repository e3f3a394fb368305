//! The part of a U-Net that is not handed on, alone.

use burn::module::Module;
use burn::tensor::Tensor;

use super::unet::decode;
use super::{BackboneError, DoubleConv, Encoder, UNet};
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, Feature, UpConv2x2};
use crate::nn::weights::Weights;
use crate::options::BackboneOptions;

/// The decoder of [`UNet`], with its names.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Up-convolutions, deepest first.
    pub up: Vec<UpConv2x2>,
    /// Decoder blocks, deepest first.
    pub dec: Vec<DoubleConv>,
    /// 1x1 convolution to the output channels.
    pub out: Conv2d,
}

impl Decoder {
    /// The two halves of a network from `inputs` to `outputs` channels.
    ///
    /// # Errors
    /// [`BackboneError::Range`].
    pub fn halves(
        options: &BackboneOptions,
        inputs: usize,
        outputs: usize,
        init: &mut Initialiser,
    ) -> Result<(Encoder, Self), BackboneError> {
        let UNet {
            enc, up, dec, out, ..
        } = UNet::init(options, inputs, outputs, init)?;
        Ok((Encoder { enc }, Self { up, dec, out }))
    }

    /// Features of the encoder to the decoder's own, finest first, and last the bottleneck as it
    /// came: the same shapes.
    #[must_use]
    pub fn pyramid(&self, features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let mut levels: Vec<Tensor<4>> = Vec::with_capacity(features.len());
        let mut features = features.into_iter().rev();
        levels.extend(features.next());
        for ((up, block), skip) in self.up.iter().zip(&self.dec).zip(features) {
            // Made from the deepest to the finest.
            levels.extend(
                levels
                    .last()
                    .map(|x| block.forward_joined(skip.into(), up.forward(x.clone()), None)),
            );
        }
        levels.reverse();
        levels
    }

    /// The tensors of all but the last layer, under the names of the network.
    #[must_use]
    pub fn blocks(&self) -> Weights {
        blocks(Weights::of(self))
    }

    /// Features of the encoder to the output `[n, outputs, h, w]`.
    #[must_use]
    pub fn forward(&self, features: Vec<Tensor<4>>) -> Tensor<4> {
        let features = features.into_iter().map(Feature::from).collect();
        match decode(&self.up, &self.dec, &self.out, features) {
            Some(x) => x,
            // No features, no images: an empty output of the right rank.
            None => Tensor::empty([0, 0, 0, 0], &self.out.weight.val().device()),
        }
    }
}

/// Those of `weights` that belong to the decoder's blocks.
fn blocks(mut weights: Weights) -> Weights {
    let parts = ["up.", "dec."];
    weights
        .0
        .retain(|name, _| parts.iter().any(|p| name.starts_with(p)));
    weights
}

impl UNet {
    /// The tensors of the decoder but for the last layer.
    #[must_use]
    pub fn decoder_blocks(&self) -> Weights {
        blocks(Weights::of(self))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::host_values;

    #[test]
    fn halves_make_the_whole_network() {
        let options = BackboneOptions {
            width: 2,
            depth: 2,
            ..BackboneOptions::default()
        };
        let device = Device::flex();
        let unet = UNet::init(&options, 1, 3, &mut Initialiser::new(7, &device)).unwrap();
        let (encoder, decoder) =
            Decoder::halves(&options, 1, 3, &mut Initialiser::new(7, &device)).unwrap();
        let x = Tensor::<4>::ones([1, 1, 8, 8], &device);
        let out = decoder.forward(encoder.forward(x.clone()));
        assert_eq!(host_values(out), host_values(unet.forward(x.clone())));
        let features = encoder.forward(x);
        let bottleneck = host_values(features[2].clone());
        let levels = decoder.pyramid(features.clone());
        let shapes = |all: &[Tensor<4>]| all.iter().map(Tensor::dims).collect::<Vec<_>>();
        assert_eq!(shapes(&levels), shapes(&features));
        assert_eq!(host_values(levels[2].clone()), bottleneck);
    }
}
