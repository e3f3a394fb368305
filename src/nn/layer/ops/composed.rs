//! Kernels composed of burn's own operations: for devices without kernels of their own, and what
//! those kernels are tested against.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;

/// Options of a convolution that keeps the size of the image.
fn same_padding(weight: &impl TensorMetadata) -> ConvOptions<2> {
    let shape = weight.shape();
    ConvOptions::new([1, 1], [shape[2] / 2, shape[3] / 2], [1, 1], 1)
}

pub(super) fn conv<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d(input, weight, bias, options)
}

pub(super) fn conv_input_grad<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d_x_backward(input, weight, grad, options)
}

pub(super) fn conv_weight_grad<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d_weight_backward(input, weight, grad, options)
}
