//! What a device supplies for the layers.

use burn::backend::Backend;
use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward};
use burn::backend::tensor::FloatTensor;

use super::operands::{Filter, Joined, NormState};
use super::{composed, volume};

/// Forward and backward of the layers on plain tensors; by default composed of burn's operations.
pub trait Kernels: Backend {
    /// What [`pool_grad`](Self::pool_grad) needs of the input of a pooling.
    type Pooled: Clone + std::fmt::Debug + Send + 'static;

    /// Convolution of kernel 1 or 3, stride 1, same padding.
    fn conv(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        composed::conv::<Self>(input, weight, bias)
    }

    /// Gradient of the input of [`conv`](Self::conv), of which only the sizes matter.
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

    /// Convolution of kernel 3 along three axes, stride 1, same padding, of volumes that lie as
    /// stacks of `depth` slices: `[n * depth, in, h, w]` with weight `[out, in, 3, 3, 3]`.
    fn volume_conv(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        depth: usize,
    ) -> FloatTensor<Self> {
        volume::conv::<Self>(input, weight, depth)
    }

    /// Gradient of the input of [`volume_conv`](Self::volume_conv).
    fn volume_conv_input_grad(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        depth: usize,
    ) -> FloatTensor<Self> {
        volume::conv_input_grad::<Self>(weight, grad, depth)
    }

    /// Gradient of the weight of [`volume_conv`](Self::volume_conv).
    fn volume_conv_weight_grad(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        depth: usize,
    ) -> FloatTensor<Self> {
        volume::conv_weight_grad::<Self>(input, weight, grad, depth)
    }

    /// Convolution of two images whose channels follow one another, where it, and the gradient of its
    /// weight, can read them as they lie, and normalise on the way; else they are better put together.
    fn joined_conv(_joined: &Joined<Self>, _filter: &Filter<Self>) -> Option<FloatTensor<Self>> {
        None
    }

    /// Gradient of the weight of [`joined_conv`](Self::joined_conv).
    fn joined_weight_grad(
        joined: Joined<Self>,
        filter: Filter<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        filter.weight_grad(joined.whole(), grad)
    }

    /// Gradient of a bias: sum of `[n, c, h, w]` to `[c]`.
    fn bias_grad(grad: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::bias_grad::<Self>(grad)
    }

    /// Transposed convolution of kernel 2 and stride 2.
    fn up(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::up::<Self>(input, weight, bias)
    }

    /// Gradients of input and weight of [`up`](Self::up), each where `needed`.
    fn up_grads(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        needed: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        composed::up_grads::<Self>(input, weight, grad, needed)
    }

    /// Batch normalisation by the statistics of the batch, then ReLU where `relu`.
    fn norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> BatchNormTrain<Self> {
        composed::norm::<Self>(input, gamma, beta, epsilon, relu)
    }

    /// [`norm`](Self::norm) with ReLU, then the convolution of what comes of it, whose output comes
    /// back with the statistics.
    fn norm_conv(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        filter: Filter<Self>,
    ) -> BatchNormTrain<Self> {
        composed::norm_conv::<Self>(input, gamma, beta, epsilon, filter)
    }

    /// Gradients of [`norm_conv`](Self::norm_conv): that of the weight, and those of the
    /// normalisation.
    fn norm_conv_grads(
        norm: NormState<Self>,
        filter: Filter<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, BatchNormTrainBackward<Self>) {
        composed::norm_conv_grads::<Self>(norm, filter, grad)
    }

    /// Batch normalisation by given statistics, then ReLU where asked for.
    fn norm_by(state: NormState<Self>) -> FloatTensor<Self> {
        composed::norm_by::<Self>(state)
    }

    /// [`conv`](Self::conv) of the input that `state` holds, then [`norm_by`](Self::norm_by) the
    /// rest of `state`.
    fn conv_norm_by(state: NormState<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let input = Self::conv(state.input, weight, None);
        Self::norm_by(NormState { input, ..state })
    }

    /// [`joined_conv`](Self::joined_conv), then the normalisation with ReLU that
    /// [`NormState::given`] makes of `norm`.
    fn joined_conv_norm_by(
        joined: Joined<Self>,
        weight: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::conv_norm_by(NormState::given(joined.whole(), norm, epsilon), weight)
    }

    /// Whether [`norm_grads`](Self::norm_grads) wants what came of this input back, rather than
    /// computing again where the ReLU was at work.
    fn keeps_output(_input: &FloatTensor<Self>) -> bool {
        false
    }

    /// Gradients of [`norm`](Self::norm).
    fn norm_grads(state: NormState<Self>, grad: FloatTensor<Self>) -> BatchNormTrainBackward<Self> {
        composed::norm_grads::<Self>(state, grad)
    }

    /// Maximum of each 2x2 tile.
    fn pool(input: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::pool::<Self>(input)
    }

    /// [`pool`](Self::pool), and what its gradient needs.
    fn pool_keeping(input: FloatTensor<Self>) -> (FloatTensor<Self>, Self::Pooled);

    /// Gradient of the input of [`pool`](Self::pool).
    fn pool_grad(pooled: Self::Pooled, grad: FloatTensor<Self>) -> FloatTensor<Self>;
}
