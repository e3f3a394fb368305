//! What a device supplies for the layers.

use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

use super::{composed, volume};

/// Input and parameters of a batch normalisation, and the statistics that it uses.
#[derive(Clone, Debug)]
pub struct NormState<B: Backend> {
    /// `[n, c, h, w]`.
    pub input: FloatTensor<B>,
    /// Scale, `[c]`.
    pub gamma: FloatTensor<B>,
    /// Shift, `[c]`.
    pub beta: FloatTensor<B>,
    /// Mean, `[c]`.
    pub mean: FloatTensor<B>,
    /// Biased variance, `[c]`.
    pub variance: FloatTensor<B>,
    /// Added to the variance.
    pub epsilon: f64,
    /// ReLU behind it.
    pub relu: bool,
    /// What came out, where the kernels keep it ([`Kernels::keeps_output`]).
    pub output: Option<FloatTensor<B>>,
}

impl<B: Backend> NormState<B> {
    /// A normalisation with ReLU of which `norm` `[4, c]` holds scale, shift, mean and biased variance.
    pub fn given(input: FloatTensor<B>, norm: FloatTensor<B>, epsilon: f64) -> Self {
        let channels = norm.shape()[1];
        let row = |i: isize| {
            let row = [Slice::new(i, Some(i + 1), 1), Slice::new(0, None, 1)];
            B::float_reshape(B::float_slice(norm.clone(), &row), Shape::new([channels]))
        };
        Self {
            input,
            gamma: row(0),
            beta: row(1),
            mean: row(2),
            variance: row(3),
            epsilon,
            relu: true,
            output: None,
        }
    }
}

/// A convolution, but for what it reads.
#[derive(Clone, Debug)]
pub struct Filter<B: Backend> {
    /// `[out, in, k, k]`, of volumes `[out, in, 3, 3, 3]`.
    pub weight: FloatTensor<B>,
    /// `[out]`; of images only.
    pub bias: Option<FloatTensor<B>>,
    /// Slices of a volume, where it is one of volumes.
    pub depth: Option<usize>,
}

impl<B: Kernels> Filter<B> {
    /// Of images.
    pub fn new(weight: FloatTensor<B>, bias: Option<FloatTensor<B>>) -> Self {
        Self {
            weight,
            bias,
            depth: None,
        }
    }

    /// The same of volumes of `depth` slices.
    pub fn of_volumes(self, depth: usize) -> Self {
        Self {
            depth: Some(depth),
            ..self
        }
    }

    /// Its output.
    pub fn conv(self, input: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv(input, self.weight, self.bias),
            Some(depth) => B::volume_conv(input, self.weight, depth),
        }
    }

    /// Its output for two images whose channels follow one another.
    pub fn joined_conv(self, joined: Joined<B>) -> FloatTensor<B> {
        B::joined_conv(&joined, &self).unwrap_or_else(|| self.conv(joined.whole()))
    }

    /// Gradient of its weight.
    pub fn weight_grad(self, input: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv_weight_grad(input, self.weight, grad),
            Some(depth) => B::volume_conv_weight_grad(input, self.weight, grad, depth),
        }
    }

    /// Gradient of its input, of which only the sizes matter.
    pub fn input_grad(self, input: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv_input_grad(input, self.weight, grad),
            Some(depth) => {
                drop(input);
                B::volume_conv_input_grad(self.weight, grad, depth)
            }
        }
    }

    /// The part of it that reads `count` channels from `start` on.
    pub fn of_channels(&self, start: usize, count: usize) -> Self {
        let part = Slice::new(start as isize, Some((start + count) as isize), 1);
        let mut slices = vec![Slice::new(0, None, 1); self.weight.shape().num_dims()];
        slices[1] = part;
        Self {
            weight: B::float_slice(self.weight.clone(), &slices),
            bias: None,
            depth: self.depth,
        }
    }
}

/// An image, or what makes it.
#[derive(Clone, Debug)]
pub enum Source<B: Backend> {
    /// `[n, c, h, w]`.
    Image(FloatTensor<B>),
    /// A normalisation by given statistics.
    Norm(NormState<B>),
}

impl<B: Kernels> Source<B> {
    /// The image.
    pub fn image(self) -> FloatTensor<B> {
        match self {
            Self::Image(image) => image,
            Self::Norm(state) => B::norm_by(state),
        }
    }

    /// A tensor of the shape of the image.
    pub fn alike(&self) -> &FloatTensor<B> {
        match self {
            Self::Image(image) => image,
            Self::Norm(state) => &state.input,
        }
    }
}

/// Two images whose channels follow one another.
#[derive(Clone, Debug)]
pub struct Joined<B: Backend> {
    /// The first channels.
    pub first: Source<B>,
    /// Those behind them, `[n, c, h, w]`.
    pub second: FloatTensor<B>,
}

impl<B: Kernels> Joined<B> {
    /// As one image.
    pub fn whole(self) -> FloatTensor<B> {
        B::float_cat(vec![self.first.image(), self.second], 1)
    }
}

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
