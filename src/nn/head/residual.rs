//! Residual blocks at one resolution, as decoders of patch features.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::backbone::DoubleConv;
use crate::nn::init::Initialiser;
use crate::options::Norm;

/// `x + block(x)`, several times, with the double convolution of the U-Net as block.
#[derive(Module, Debug)]
pub struct ResidualBlocks {
    /// The blocks.
    pub blocks: Vec<DoubleConv>,
}

impl ResidualBlocks {
    /// `count` blocks of `channels`.
    pub fn init(init: &mut Initialiser, norm: Norm, channels: usize, count: usize) -> Self {
        Self {
            blocks: (0..count)
                .map(|_| DoubleConv::init(init, norm, channels, channels))
                .collect(),
        }
    }

    /// `[n, c, h, w]` to the same shape.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let add = |x: Tensor<4>, block: &DoubleConv| x.clone() + block.forward(x);
        self.blocks.iter().fold(input, add)
    }
}
