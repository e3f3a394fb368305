//! Convolution, normalisation, ReLU: the step that a U-Net repeats.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Conv2d, NormLayer};
use crate::nn::init::Initialiser;
use crate::options::Norm;

/// 3x3 convolution, normalisation and ReLU.
#[derive(Module, Debug)]
pub struct ConvNormRelu {
    /// Convolution, without bias by default: the shift of the normalisation does its work.
    pub conv: Conv2d,
    /// Normalisation.
    pub norm: NormLayer,
}

impl ConvNormRelu {
    /// Convolution without bias, then the layer for `norm`.
    pub fn init(init: &mut Initialiser, norm: Norm, inputs: usize, outputs: usize) -> Self {
        Self {
            conv: Conv2d::init(init, inputs, outputs, 3, false),
            norm: NormLayer::init(init, norm, outputs),
        }
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.norm.forward_relu(self.conv.forward(input))
    }
}
