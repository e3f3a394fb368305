//! The operations on devices without gradients: what their kernels give.

use burn::backend::tensor::FloatTensor;

use super::operands::{Filter, Joined, NormState, Source};
use super::{Kernels, LayerOps};

macro_rules! plain {
    ($backend:ty) => {
        impl LayerOps for $backend {
            fn same_conv2d(
                input: FloatTensor<Self>,
                weight: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                Self::conv(input, weight, None)
            }

            fn same_conv2d_bias(
                input: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                Self::conv(input, weight, Some(bias))
            }

            fn same_conv3d(
                input: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                depth: usize,
            ) -> FloatTensor<Self> {
                Self::volume_conv(input, weight, depth)
            }

            fn up_conv2d(
                input: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                Self::up(input, weight, bias)
            }

            fn norm_by_batch(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                epsilon: f64,
                relu: bool,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let norm = Self::norm(input, gamma, beta, epsilon, relu);
                (norm.output, norm.mean, norm.variance)
            }

            fn norm_relu_conv(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                epsilon: f64,
                depth: Option<usize>,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let filter = Filter::<Self> {
                    weight,
                    bias: None,
                    depth,
                };
                let norm = Self::norm_conv(input, gamma, beta, epsilon, filter);
                (norm.output, norm.mean, norm.variance)
            }

            fn norm_relu_conv_bias(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let filter = Filter::new(weight, Some(bias));
                let norm = Self::norm_conv(input, gamma, beta, epsilon, filter);
                (norm.output, norm.mean, norm.variance)
            }

            fn joined_conv(
                first: FloatTensor<Self>,
                second: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                depth: Option<usize>,
            ) -> FloatTensor<Self> {
                let filter = Filter::<Self> {
                    weight,
                    bias: None,
                    depth,
                };
                let first = Source::Image(first);
                filter.joined_conv(Joined { first, second })
            }

            fn norm_joined_conv(
                first: FloatTensor<Self>,
                second: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                _input: FloatTensor<Self>,
                _norm: FloatTensor<Self>,
                _epsilon: f64,
                depth: Option<usize>,
            ) -> FloatTensor<Self> {
                <Self as LayerOps>::joined_conv(first, second, weight, depth)
            }

            fn norm_by_statistics(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                epsilon: f64,
                relu: bool,
            ) -> FloatTensor<Self> {
                Self::norm_by(NormState {
                    input,
                    gamma,
                    beta,
                    mean,
                    variance,
                    epsilon,
                    relu,
                    output: None,
                })
            }

            fn conv2d_norm_relu(
                input: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                epsilon: f64,
            ) -> FloatTensor<Self> {
                let state = NormState {
                    input,
                    gamma,
                    beta,
                    mean,
                    variance,
                    epsilon,
                    relu: true,
                    output: None,
                };
                Self::conv_norm_by(state, weight)
            }

            fn joined_conv2d_norm_relu(
                first: FloatTensor<Self>,
                second: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                norm: FloatTensor<Self>,
                epsilon: f64,
            ) -> FloatTensor<Self> {
                let first = Source::Image(first);
                Self::joined_conv_norm_by(Joined { first, second }, weight, norm, epsilon)
            }

            fn pool_max(input: FloatTensor<Self>) -> FloatTensor<Self> {
                Self::pool(input)
            }
        }
    };
}

plain!(burn::backend::Flex);

#[cfg(feature = "cuda")]
impl Kernels for burn::backend::Cube {
    type Pooled = FloatTensor<Self>;

    fn pool_keeping(input: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        (Self::pool(input.clone()), input)
    }

    fn pool_grad(input: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        super::composed::pool_grad::<Self>(input, grad)
    }
}
#[cfg(feature = "cuda")]
plain!(burn::backend::Cube);

#[cfg(feature = "libtorch")]
plain!(burn::backend::LibTorch);
