//! Auxiliary classifier of patches on the bottleneck (`methods/masked.md` section 2.7, `head`).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;

/// A 1x1 convolution to one channel and a sigmoid: the probability of category 1 per cell.
#[derive(Module, Debug)]
pub struct CategoryHead {
    /// The classifier, with bias.
    pub conv: Conv2d,
}

impl CategoryHead {
    /// A head on features of `channels`.
    pub fn init(init: &mut Initialiser, channels: usize) -> Self {
        Self {
            conv: Conv2d::init(init, channels, 1, 1, true),
        }
    }

    /// `[n, c, rows, cols]` to probabilities `[n, rows * cols]`.
    #[must_use]
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let [n, _, rows, cols] = features.dims();
        sigmoid(self.conv.forward(features)).reshape([n, rows * cols])
    }
}
