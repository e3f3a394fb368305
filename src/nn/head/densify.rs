//! Sparse features made dense for a decoder (`methods/masked.md` section 1.4).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::nn::backbone::Visible;
use crate::nn::init::Initialiser;
use crate::nn::layer::Conv2d;

/// Spread of the trainable vector, as in SparK.
const STD: f64 = 0.02;

/// A trainable vector in place of what is masked, then a 1x1 convolution.
#[derive(Module, Debug)]
pub struct Densify {
    /// What stands at masked places, `[in]`.
    pub token: Param<Tensor<1>>,
    /// Projection to the width of the decoder, with bias.
    pub proj: Conv2d,
}

impl Densify {
    /// From features of `inputs` channels to `outputs` channels.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        Self {
            token: init.truncated_normal([inputs], STD),
            proj: Conv2d::init(init, inputs, outputs, 1, true),
        }
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`; values at masked places are not read.
    #[must_use]
    pub fn forward(&self, features: Tensor<4>, visible: &Visible) -> Tensor<4> {
        let [_, c, _, _] = features.dims();
        let token = self.token.val().reshape([1, c, 1, 1]);
        self.proj.forward(visible.or(features, token))
    }
}
