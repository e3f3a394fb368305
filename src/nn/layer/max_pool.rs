//! Halving of the size by the maximum.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Maximum of each 2x2 tile.
#[derive(Module, Debug, Default)]
pub struct MaxPool2x2;

impl MaxPool2x2 {
    /// `[n, c, h, w]` to `[n, c, h/2, w/2]`; an odd last row or column is dropped.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        max_pool2d(input, MaxPoolOptions::new([2, 2]))
    }
}
