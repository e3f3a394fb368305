//! The operations on devices without gradients: what their kernels give.

use burn::backend::tensor::FloatTensor;

use super::kernels::NormState;
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

            fn norm_relu_conv2d(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let norm = Self::norm(input, gamma, beta, epsilon, true);
                let output = Self::conv(norm.output, weight, None);
                (output, norm.mean, norm.variance)
            }

            fn norm_relu_conv3d(
                input: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                epsilon: f64,
                depth: usize,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let norm = Self::norm(input, gamma, beta, epsilon, true);
                let output = Self::volume_conv(norm.output, weight, depth);
                (output, norm.mean, norm.variance)
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
