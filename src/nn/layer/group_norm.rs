//! Group and instance normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::as_type;
use super::batch_norm::EPSILON;
use crate::nn::init::Initialiser;

/// Normalisation over groups of channels of one image (Wu & He 2018).
#[derive(Module, Debug)]
pub struct GroupNorm2d {
    /// Scale, `[c]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[c]`.
    pub beta: Param<Tensor<1>>,
    /// Number of groups; divides `c`.
    pub groups: usize,
}

impl GroupNorm2d {
    /// Scale 1, shift 0; the largest number of groups up to `groups` that divides `channels`.
    pub fn init(init: &mut Initialiser, channels: usize, groups: usize) -> Self {
        let groups = (1..=groups.clamp(1, channels.max(1)))
            .rev()
            .find(|g| channels.is_multiple_of(*g))
            .unwrap_or(1);
        Self {
            gamma: init.ones([channels]),
            beta: init.zeros([channels]),
            groups,
        }
    }

    /// Instance normalisation: one group per channel.
    pub fn instance(init: &mut Initialiser, channels: usize) -> Self {
        Self::init(init, channels, channels)
    }

    /// `[n, c, h, w]` to the same shape and numbers; statistics are in those of the parameters.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = input.dims();
        let dtype = input.dtype();
        let input = as_type(input, self.gamma.val().dtype());
        let x = input.reshape([n, self.groups, c / self.groups * h * w]);
        let x = x.clone() - x.mean_dim(2);
        let var = x.clone().square().mean_dim(2);
        let x = x / (var + EPSILON).sqrt();
        let gamma = self.gamma.val().reshape([1, c, 1, 1]);
        let beta = self.beta.val().reshape([1, c, 1, 1]);
        as_type(x.reshape([n, c, h, w]) * gamma + beta, dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layer::testing::*;

    #[test]
    fn every_group_of_every_image_is_normalised() {
        let device = burn::tensor::Device::flex();
        for (channels, groups, expected) in [(8, 8, 8), (4, 8, 4), (6, 4, 3), (1, 8, 1)] {
            let layer = GroupNorm2d::init(&mut Initialiser::new(0, &device), channels, groups);
            assert_eq!(layer.groups, expected);
            let dims = [3, channels, 4, 6];
            let y = layer.forward(constant(1, dims).inner() * 3.0 + 5.0);
            assert_eq!(y.dims(), dims);
            for group in numbers(y).chunks(channels / expected * 24) {
                let n = group.len() as f32;
                let mean = group.iter().sum::<f32>() / n;
                let var = group.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
                assert!(
                    mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-4,
                    "{mean} {var}"
                );
            }
        }
    }
}
