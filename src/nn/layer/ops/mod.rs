//! Operations of the layers that have kernels of their own on some devices.
//!
//! [`LayerOps`] is what layers call, on any device and with or without gradients. [`Kernels`] is
//! what a device supplies: forward and backward on plain tensors, by default composed of burn's
//! own operations.

#![cfg_attr(
    feature = "libtorch",
    allow(
        deprecated,
        reason = "burn 0.22 is the last with libtorch, and says so at every mention of it"
    )
)]

mod autodiff;
mod composed;
mod flex;
mod kernels;
#[cfg(feature = "libtorch")]
mod libtorch;
mod operands;
mod plain;
mod volume;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use kernels::Kernels;

/// Operations of the layers, differentiable where the inputs are.
///
/// All tensors of an operation have numbers of one type. Normalisations differ: their input and its
/// gradient may be of half the precision of parameters, statistics and their gradients.
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

    /// Convolution of kernel 3 along three axes, stride 1, same padding, of volumes that lie as stacks
    /// of `depth` slices: `[n * depth, in, h, w]` with weight `[out, in, 3, 3, 3]` to
    /// `[n * depth, out, h, w]`.
    fn same_conv3d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        depth: usize,
    ) -> FloatTensor<Self>;

    /// Transposed convolution of kernel 2 and stride 2: `[n, in, h, w]` with weight
    /// `[in, out, 2, 2]` and bias `[out]` to `[n, out, 2h, 2w]`.
    fn up_conv2d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Batch normalisation by the statistics of the batch, then ReLU where `relu`. Returns the
    /// output, and mean and biased variance of each channel, which carry no gradient.
    fn norm_by_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`norm_by_batch`](Self::norm_by_batch) with ReLU, then [`same_conv2d`](Self::same_conv2d), or
    /// [`same_conv3d`](Self::same_conv3d) where a `depth` is given. What lies between the two is made
    /// again in the backward pass instead of kept: a quarter of the memory of a block for one more
    /// pass over it, or for none where a convolution normalises what it reads.
    fn norm_relu_conv(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        depth: Option<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`norm_relu_conv`](Self::norm_relu_conv) of images, plus a bias `[out]`.
    fn norm_relu_conv_bias(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`same_conv2d`](Self::same_conv2d), or [`same_conv3d`](Self::same_conv3d) where a `depth` is
    /// given, of two images whose channels follow one another; they are put together only where the
    /// device cannot read them as they lie.
    fn joined_conv(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        depth: Option<usize>,
    ) -> FloatTensor<Self>;

    /// [`joined_conv`](Self::joined_conv) where batch normalisation and ReLU made `first` of `input`;
    /// `norm` `[4, c]` holds its scale, shift, mean and biased variance. For the backward pass the input
    /// is kept instead of `first`: it is kept anyway.
    fn norm_joined_conv(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        input: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        epsilon: f64,
        depth: Option<usize>,
    ) -> FloatTensor<Self>;

    /// Batch normalisation by given statistics (mean and biased variance), then ReLU where
    /// `relu`.
    fn norm_by_statistics(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// [`same_conv2d`](Self::same_conv2d), then [`norm_by_statistics`](Self::norm_by_statistics)
    /// with ReLU, in one operation where the device has it.
    fn conv2d_norm_relu(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// [`conv2d_norm_relu`](Self::conv2d_norm_relu) of two images whose channels follow one another;
    /// `norm` `[4, c]` holds scale, shift, mean and biased variance.
    fn joined_conv2d_norm_relu(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Maximum of each 2x2 tile.
    fn pool_max(input: FloatTensor<Self>) -> FloatTensor<Self>;
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

/// [`LayerOps::same_conv3d`] on tensors.
pub(super) fn same_conv3d(input: Tensor<4>, weight: Tensor<5>, depth: usize) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::same_conv3d(input, weight, depth))
}

/// [`LayerOps::up_conv2d`] on tensors.
pub(super) fn up_conv2d(input: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::up_conv2d(
        input.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// [`LayerOps::norm_by_batch`] on tensors: output, mean, biased variance.
pub(super) fn norm_by_batch(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (output, mean, variance) = Dispatch::norm_by_batch(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        relu,
    );
    with_statistics(output, [mean, variance])
}

/// [`LayerOps::norm_relu_conv`] on tensors, with a weight of images or of volumes of `depth` slices,
/// of images with a bias where there is one: output, mean, biased variance.
pub(super) fn norm_relu_conv<const D: usize>(
    input: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    weight: Tensor<D>,
    bias: Option<Tensor<1>>,
    epsilon: f64,
    depth: Option<usize>,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    let (gamma, beta) = (gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) = match bias {
        None => Dispatch::norm_relu_conv(input, gamma, beta, weight, epsilon, depth),
        Some(bias) => {
            let bias = bias.into_dispatch();
            Dispatch::norm_relu_conv_bias(input, gamma, beta, weight, bias, epsilon)
        }
    };
    with_statistics(output, [mean, variance])
}

/// [`LayerOps::joined_conv`] on tensors, with a weight of images or of volumes of `depth` slices.
pub(super) fn joined_conv<const D: usize>(
    [first, second]: [Tensor<4>; 2],
    weight: Tensor<D>,
    depth: Option<usize>,
) -> Tensor<4> {
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    let weight = weight.into_dispatch();
    Tensor::from_dispatch(Dispatch::joined_conv(first, second, weight, depth))
}

/// [`LayerOps::norm_joined_conv`] on tensors.
pub(super) fn norm_joined_conv<const D: usize>(
    [first, second]: [Tensor<4>; 2],
    weight: Tensor<D>,
    input: Tensor<4>,
    norm: Tensor<2>,
    epsilon: f64,
    depth: Option<usize>,
) -> Tensor<4> {
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    let (input, norm) = (input.into_dispatch(), norm.into_dispatch());
    let weight = weight.into_dispatch();
    let output = Dispatch::norm_joined_conv(first, second, weight, input, norm, epsilon, depth);
    Tensor::from_dispatch(output)
}

/// Output, mean and variance as tensors.
fn with_statistics(
    output: FloatTensor<Dispatch>,
    [mean, variance]: [FloatTensor<Dispatch>; 2],
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    (
        Tensor::from_dispatch(output),
        Tensor::from_dispatch(mean),
        Tensor::from_dispatch(variance),
    )
}

/// [`LayerOps::norm_by_statistics`] on tensors.
pub(super) fn norm_by_statistics(
    input: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    epsilon: f64,
    relu: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::norm_by_statistics(
        input.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        epsilon,
        relu,
    ))
}

/// [`LayerOps::conv2d_norm_relu`] on tensors.
pub(super) fn conv2d_norm_relu(
    input: Tensor<4>,
    weight: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    epsilon: f64,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv2d_norm_relu(
        input.into_dispatch(),
        weight.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        epsilon,
    ))
}

/// [`LayerOps::joined_conv2d_norm_relu`] on tensors.
pub(super) fn joined_conv2d_norm_relu(
    [first, second]: [Tensor<4>; 2],
    weight: Tensor<4>,
    norm: Tensor<2>,
    epsilon: f64,
) -> Tensor<4> {
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    let (weight, norm) = (weight.into_dispatch(), norm.into_dispatch());
    let output = Dispatch::joined_conv2d_norm_relu(first, second, weight, norm, epsilon);
    Tensor::from_dispatch(output)
}

/// [`LayerOps::pool_max`] on tensors.
pub(super) fn pool_max(input: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::pool_max(input.into_dispatch()))
}
