//! The normalisation that a study chooses.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm2d, GroupNorm2d};
use crate::nn::init::Initialiser;
use crate::options::Norm;

/// Groups of group normalisation.
const GROUPS: usize = 8;

/// One of the normalisations of [`Norm`].
#[derive(Module, Debug)]
pub enum NormLayer {
    /// Per channel over the batch.
    Batch(BatchNorm2d),
    /// Per image over groups of channels; instance normalisation where a group is one channel.
    Group(GroupNorm2d),
}

impl NormLayer {
    /// The layer for `norm`.
    pub fn init(init: &mut Initialiser, norm: Norm, channels: usize) -> Self {
        match norm {
            Norm::Batch => Self::Batch(BatchNorm2d::init(init, channels)),
            Norm::Group => Self::Group(GroupNorm2d::init(init, channels, GROUPS)),
            Norm::Instance => Self::Group(GroupNorm2d::instance(init, channels)),
        }
    }

    /// `[n, c, h, w]` to the same shape.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(layer) => layer.forward(input),
            Self::Group(layer) => layer.forward(input),
        }
    }
}
