//! The Cube device: burn's own operations.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;

use super::{Kernels, LayerOps};

impl Kernels for Cube {}

impl LayerOps for Cube {
    fn same_conv2d(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv(input, weight, None)
    }

    fn same_conv2d_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv(input, weight, Some(bias))
    }
}
