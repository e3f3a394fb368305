//! Operations of the layers that have kernels of their own on some devices.
//!
//! [`LayerOps`] is what layers call, on any device and with or without gradients. [`Kernels`] is
//! what a device supplies: forward and backward on plain tensors, by default composed of burn's
//! own operations.

mod autodiff;
mod composed;
#[cfg(feature = "cuda")]
mod cube;
mod flex;
mod kernels;
#[cfg(feature = "libtorch")]
mod libtorch;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use kernels::Kernels;

/// Operations of the layers, differentiable where the inputs are.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cuda"),
    LibTorch: cfg(feature = "libtorch"),
    Autodiff,
)]
pub trait LayerOps: Backend {
    /// Convolution of kernel 1 or 3, stride 1, same padding: `[n, in, h, w]` with weight
    /// `[out, in, k, k]` to `[n, out, h, w]`.
    fn same_conv2d(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// [`same_conv2d`](Self::same_conv2d) plus a bias `[out]`.
    fn same_conv2d_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// [`LayerOps::same_conv2d`] on tensors.
pub(super) fn same_conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => Dispatch::same_conv2d(input, weight),
        Some(bias) => Dispatch::same_conv2d_bias(input, weight, bias.into_dispatch()),
    })
}
