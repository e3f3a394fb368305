//! What comes out of a block, and what it came of.

use burn::tensor::Tensor;

use super::ops::{joined_conv, norm_joined_conv};

/// An image `[n, c, h, w]` that a normalisation with ReLU may have made.
///
/// A convolution that reads it long after need not keep it for its gradient: what went into the
/// normalisation is kept anyway.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The image.
    pub value: Tensor<4>,
    pub(super) origin: Option<Origin>,
}

/// What a normalisation with ReLU made an image of.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// `[n, c, h, w]`.
    pub(super) input: Tensor<4>,
    /// Scale, shift, mean and biased variance, `[4, c]`.
    pub(super) norm: Tensor<2>,
    /// Added to the variance.
    pub(super) epsilon: f64,
}

impl Feature {
    /// Convolution of it and the channels of `second` behind its own; of volumes where they have a
    /// `depth`.
    pub(super) fn conv_joined<const D: usize>(
        self,
        second: Tensor<4>,
        weight: Tensor<D>,
        depth: Option<usize>,
    ) -> Tensor<4> {
        let both = [self.value, second];
        match self.origin {
            None => joined_conv(both, weight, depth),
            Some(Origin {
                input,
                norm,
                epsilon,
            }) => norm_joined_conv(both, weight, input, norm, epsilon, depth),
        }
    }
}

impl From<Tensor<4>> for Feature {
    fn from(value: Tensor<4>) -> Self {
        let origin = None;
        Self { value, origin }
    }
}
