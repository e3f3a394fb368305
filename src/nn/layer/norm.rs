//! The normalisation that a study chooses.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::{BatchNorm2d, Conv2d, Feature, GroupNorm2d};
use crate::nn::init::Initialiser;
use crate::options::Norm;

/// Groups of group normalisation.
const GROUPS: usize = 8;

/// One of the normalisations of [`Norm`].
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has a few dozen of them, nearly all of the larger kind"
)]
pub enum NormLayer {
    /// Per channel over the batch.
    Batch(BatchNorm2d),
    /// Per image over groups of channels; instance normalisation where a group is one channel.
    Group(GroupNorm2d),
}

impl NormLayer {
    /// The layer for `norm`.
    pub fn init(init: &mut Initialiser, norm: Norm, channels: usize) -> Self {
        match norm {
            Norm::Batch => Self::Batch(BatchNorm2d::init(init, channels)),
            Norm::Group => Self::Group(GroupNorm2d::init(init, channels, GROUPS)),
            Norm::Instance => Self::Group(GroupNorm2d::instance(init, channels)),
        }
    }

    /// `[n, c, h, w]` to the same shape.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.forward(input),
            Self::Group(layer) => layer.forward(input),
        }
    }

    /// [`forward`](Self::forward), then ReLU, in one pass where the device has it.
    #[must_use]
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.forward_relu(input),
            Self::Group(layer) => relu(layer.forward(input)),
        }
    }

    /// [`forward_relu`](Self::forward_relu), with what it came of where that is of use.
    #[must_use]
    pub fn feature(&self, input: Tensor<4>) -> Feature {
        match self {
            Self::Batch(layer) => layer.feature(input),
            Self::Group(_) => self.forward_relu(input).into(),
        }
    }

    /// [`forward_relu`](Self::forward_relu), then `conv`; in training what lies between is not kept
    /// where that can be had.
    #[must_use]
    pub fn forward_relu_conv(&self, input: Tensor<4>, conv: &Conv2d) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.forward_relu_conv(input, conv),
            Self::Group(_) => conv.forward(self.forward_relu(input)),
        }
    }

    /// `conv`, then [`forward_relu`](Self::forward_relu), in one operation where that can be had.
    #[must_use]
    pub fn conv_forward_relu(&self, conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.conv_forward_relu(conv, input),
            Self::Group(_) => self.forward_relu(conv.forward(input)),
        }
    }

    /// [`conv_forward_relu`](Self::conv_forward_relu) of two images whose channels follow one another.
    #[must_use]
    pub fn joined_conv_forward_relu(
        &self,
        conv: &Conv2d,
        first: Feature,
        second: Tensor<4>,
    ) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.joined_conv_forward_relu(conv, first, second),
            Self::Group(_) => self.forward_relu(conv.forward_joined(first, second)),
        }
    }
}
