//! What a device supplies for the layers.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::composed;

/// Forward and backward of the layers on plain tensors; by default composed of burn's operations.
pub trait Kernels: Backend {
    /// Convolution of kernel 1 or 3, stride 1, same padding.
    fn conv(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        composed::conv::<Self>(input, weight, bias)
    }

    /// Gradient of the input of [`conv`](Self::conv).
    fn conv_input_grad(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::conv_input_grad::<Self>(input, weight, grad)
    }

    /// Gradient of the weight of [`conv`](Self::conv).
    fn conv_weight_grad(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::conv_weight_grad::<Self>(input, weight, grad)
    }

    /// Gradient of the bias of [`conv`](Self::conv).
    fn conv_bias_grad(
        input: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv2d_bias_backward(input, bias, grad)
    }
}
