//! 2D U-Net (`methods/backbones-detection-foundation.md` section 3).

use burn::module::{Flag, Module, Param};
use burn::tensor::{DType, Tensor};

use super::DoubleConv;
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, Feature, MaxPool2x2, NormLayer, UpConv2x2, as_type};
use crate::options::BackboneOptions;

/// Prefix of the names of the encoder's tensors: the part that is transferred.
pub const ENCODER: &str = "enc.";

/// A network that cannot be made, or does not fit the images.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackboneError {
    /// Width, depth or a number of channels out of range.
    #[error("backbone.{field} is {found}, must be within {low} to {high}")]
    Range {
        /// Field of the options.
        field: &'static str,
        /// Its value.
        found: usize,
        /// Least value.
        low: usize,
        /// Greatest value.
        high: usize,
    },
    /// The image is no multiple of the total stride.
    #[error("images of {height}x{width} are no multiple of {stride} (2^depth)")]
    Size {
        /// Height of the images.
        height: usize,
        /// Width of the images.
        width: usize,
        /// `2^depth`.
        stride: usize,
    },
}

/// U-Net of any width and depth. Encoder level `i` has `width * 2^i` channels at stride `2^i`;
/// skips are concatenated as (skip, up).
#[derive(Module, Debug)]
pub struct UNet {
    /// Encoder blocks, `depth + 1` of them; the last one is the bottleneck.
    pub enc: Vec<DoubleConv>,
    /// Up-convolutions, deepest first.
    pub up: Vec<UpConv2x2>,
    /// Decoder blocks, deepest first.
    pub dec: Vec<DoubleConv>,
    /// 1x1 convolution to the output channels, with bias and without activation.
    pub out: Conv2d,
    /// Whether activations are in half the precision
    /// ([`set_precision`](crate::nn::precision::set_precision)). What goes in and comes out is in
    /// single precision all the same.
    pub bf16: Param<Flag>,
}

impl UNet {
    /// A network from `inputs` to `outputs` channels.
    ///
    /// # Errors
    /// [`BackboneError::Range`].
    pub fn init(
        options: &BackboneOptions,
        inputs: usize,
        outputs: usize,
        init: &mut Initialiser,
    ) -> Result<Self, BackboneError> {
        let range = |field, found, high| {
            if (1..=high).contains(&found) {
                Ok(())
            } else {
                Err(BackboneError::Range {
                    field,
                    found,
                    low: 1,
                    high,
                })
            }
        };
        range("width", options.width, 512)?;
        range("depth", options.depth, 6)?;
        range("inputs", inputs, 4096)?;
        range("outputs", outputs, 4096)?;
        let channels = |level: usize| options.width << level;
        let mut enc = vec![DoubleConv::init(init, options.norm, inputs, channels(0))];
        for level in 1..=options.depth {
            let (from, to) = (channels(level - 1), channels(level));
            enc.push(DoubleConv::init(init, options.norm, from, to));
        }
        let mut up = Vec::with_capacity(options.depth);
        let mut dec = Vec::with_capacity(options.depth);
        for level in (0..options.depth).rev() {
            up.push(UpConv2x2::init(init, channels(level + 1), channels(level)));
            let from = channels(level + 1);
            dec.push(DoubleConv::init(init, options.norm, from, channels(level)));
        }
        let out = Conv2d::init(init, options.width, outputs, 1, true);
        Ok(Self {
            enc,
            up,
            dec,
            out,
            bf16: Param::from_bool(false),
        })
    }

    /// Whether images of `height` and `width` fit.
    ///
    /// # Errors
    /// [`BackboneError::Size`].
    pub fn check(
        options: &BackboneOptions,
        height: usize,
        width: usize,
    ) -> Result<(), BackboneError> {
        let stride = 1 << options.depth;
        if height > 0 && width > 0 && height.is_multiple_of(stride) && width.is_multiple_of(stride)
        {
            Ok(())
        } else {
            Err(BackboneError::Size {
                height,
                width,
                stride,
            })
        }
    }

    /// Features of every level, finest first: `[n, width * 2^i, h / 2^i, w / 2^i]`.
    #[must_use]
    pub fn encode(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        in_single(self.features(images))
    }

    /// [`UNet::encode`]; `observe` sees each normalisation with its input before it runs, in order.
    pub fn encode_observed(
        &self,
        images: Tensor<4>,
        observe: &mut dyn FnMut(&NormLayer, &Tensor<4>),
    ) -> Vec<Tensor<4>> {
        let images = as_type(images, self.activations());
        in_single(encode(&self.enc, images, |block, x| {
            block.forward_observed(x, observe).into()
        }))
    }

    /// [`UNet::encode`] in the numbers of the activations, for [`UNet::decode`].
    #[must_use]
    pub fn features(&self, images: Tensor<4>) -> Vec<Feature> {
        let images = as_type(images, self.activations());
        encode(&self.enc, images, DoubleConv::feature)
    }

    fn activations(&self) -> DType {
        if self.bf16.is_enabled() {
            DType::BF16
        } else {
            DType::F32
        }
    }

    /// What [`UNet::features`] gives to the output `[n, outputs, h, w]`.
    #[must_use]
    pub fn decode(&self, features: Vec<Feature>) -> Tensor<4> {
        match decode(&self.up, &self.dec, &self.out, features) {
            Some(x) => as_type(x, DType::F32),
            // No features, no images: an empty output of the right rank.
            None => Tensor::empty([0, 0, 0, 0], &self.out.weight.val().device()),
        }
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h, w]`.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.decode(self.features(images))
    }
}

fn in_single(features: Vec<Feature>) -> Vec<Tensor<4>> {
    let features = features.into_iter();
    features.map(|x| as_type(x.value, DType::F32)).collect()
}

/// The pass through encoder blocks: every level, finest first.
pub(super) fn encode(
    blocks: &[DoubleConv],
    images: Tensor<4>,
    mut forward: impl FnMut(&DoubleConv, Tensor<4>) -> Feature,
) -> Vec<Feature> {
    let mut features: Vec<Feature> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let x = match features.last() {
            None => images.clone(),
            Some(finer) => MaxPool2x2.forward(finer.value.clone()),
        };
        features.push(forward(block, x));
    }
    features
}

/// The pass through decoder blocks, deepest first, and through `out`. `None` without features.
pub(super) fn decode(
    up: &[UpConv2x2],
    blocks: &[DoubleConv],
    out: &Conv2d,
    mut features: Vec<Feature>,
) -> Option<Tensor<4>> {
    let mut x = features.pop()?.value;
    let mut steps = up.iter().zip(blocks).peekable();
    for skip in features.into_iter().rev() {
        let (up, block) = steps.next()?;
        let last = steps.peek().is_none().then_some(out);
        x = block.forward_joined(skip, up.forward(x), last);
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::{Weights, WeightsError, trainable};
    use crate::options::Norm;

    fn make(width: usize, depth: usize, inputs: usize, outputs: usize, norm: Norm) -> UNet {
        let options = BackboneOptions {
            width,
            depth,
            norm,
            ..BackboneOptions::default()
        };
        let mut init = Initialiser::new(0, &Device::flex().autodiff());
        UNet::init(&options, inputs, outputs, &mut init).unwrap()
    }

    #[test]
    fn spec_vectors_n14() {
        for (inputs, outputs, total) in [
            (1, 1, 31_036_481),
            (4, 4, 31_038_404),
            (1, 4, 31_036_676),
            (4, 3, 31_038_339),
        ] {
            let net = make(64, 4, inputs, outputs, Norm::Batch);
            assert_eq!(trainable(&net), total);
            if inputs == 1 {
                let encoder: usize = net.enc.iter().map(trainable).sum();
                assert_eq!(encoder, 18_846_016);
            }
            if (inputs, outputs) == (1, 4) {
                assert_eq!(net.up.iter().map(trainable).sum::<usize>(), 2_786_240);
                assert_eq!(net.dec.iter().map(trainable).sum::<usize>(), 9_404_160);
                assert_eq!(trainable(&net.out), 260);
            }
        }
    }

    #[test]
    fn rectangular_images_of_every_depth_and_norm() {
        let device = Device::flex().autodiff();
        for norm in [Norm::Batch, Norm::Group, Norm::Instance] {
            for depth in 1..=3 {
                let net = make(2, depth, 3, 2, norm);
                let x = Tensor::<4>::ones([2, 3, 16, 24], &device);
                let features = net.encode(x.clone());
                assert_eq!(features.len(), depth + 1);
                for (i, f) in features.iter().enumerate() {
                    assert_eq!(f.dims(), [2, 2 << i, 16 >> i, 24 >> i]);
                }
                assert_eq!(net.forward(x).dims(), [2, 2, 16, 24]);
            }
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let options = BackboneOptions::default();
        assert!(UNet::check(&options, 144, 160).is_ok());
        assert!(matches!(
            UNet::check(&options, 150, 160),
            Err(BackboneError::Size { stride: 16, .. })
        ));
        let wide = BackboneOptions {
            width: 100_000,
            ..options
        };
        let mut init = Initialiser::new(0, &Device::flex());
        assert!(UNet::init(&wide, 1, 1, &mut init).is_err());
    }

    #[test]
    fn names_are_those_of_the_spec() {
        let weights = Weights::of(&make(2, 1, 1, 1, Norm::Batch));
        let names: Vec<&str> = weights.0.keys().map(String::as_str).collect();
        let block = |prefix: &str| {
            let mut names = Vec::new();
            for i in [1, 2] {
                for leaf in ["bias", "running_mean", "running_var", "weight"] {
                    names.push(format!("{prefix}.bn{i}.{leaf}"));
                }
            }
            for i in [1, 2] {
                names.push(format!("{prefix}.conv{i}.weight"));
            }
            names
        };
        let mut expected = [block("dec.0"), block("enc.0"), block("enc.1")].concat();
        for name in ["out.bias", "out.weight", "up.0.bias", "up.0.weight"] {
            expected.push(name.to_owned());
        }
        assert_eq!(names, expected);
    }

    #[test]
    fn weights_go_through_a_file_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let a = make(2, 1, 1, 1, Norm::Batch);
        Weights::of(&a).save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let options = BackboneOptions {
            width: 2,
            depth: 1,
            ..BackboneOptions::default()
        };
        let mut init = Initialiser::new(9, &Device::flex().autodiff());
        let b = UNet::init(&options, 1, 1, &mut init).unwrap();
        assert_ne!(Weights::of(&b), Weights::of(&a));
        let b = Weights::load(&path).unwrap().load_into(b, "").unwrap();
        assert_eq!(Weights::of(&b), Weights::of(&a));
        assert_eq!(trainable(&b), trainable(&a));
        // The same weights give the same bytes.
        assert_eq!(Weights::of(&b).to_bytes().unwrap(), bytes);
        // Inference agrees with training parameters.
        let data = TensorData::new((0..64).map(|i| i as f32 / 64.0).collect(), [1, 1, 8, 8]);
        let x = Tensor::<4>::from_data(data, &Device::flex());
        let ya = a.valid().forward(x.clone()).into_data();
        assert_eq!(ya, b.valid().forward(x).into_data());
    }

    #[test]
    fn misfits_are_named() {
        let net = make(2, 1, 1, 1, Norm::Batch);
        let all = Weights::of(&net);
        let encoder = all.subset(ENCODER);
        assert!(encoder.load_into(net.clone(), ENCODER).is_ok());
        assert!(matches!(
            encoder.load_into(net.clone(), ""),
            Err(WeightsError::Missing { name }) if name == "dec.0.bn1.bias"
        ));
        assert!(matches!(
            all.load_into(net.clone(), ENCODER),
            Err(WeightsError::Unexpected { name }) if name == "dec.0.bn1.bias"
        ));
        let other = make(2, 1, 4, 1, Norm::Batch);
        assert!(matches!(
            encoder.load_into(other, ENCODER),
            Err(WeightsError::Shape { name, .. }) if name == "enc.0.conv1.weight"
        ));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad");
        std::fs::write(&path, [0xff; 40]).unwrap();
        assert!(matches!(
            Weights::load(&path),
            Err(WeightsError::Format { .. })
        ));
        assert!(matches!(
            Weights::load(&folder.path().join("none")),
            Err(WeightsError::File { .. })
        ));
    }
}
