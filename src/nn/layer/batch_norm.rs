//! Batch normalisation of images, statistics as PyTorch keeps them.

use burn::module::{Flag, Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::{batch_norm, batch_norm_train};

use super::Running;
use crate::nn::init::Initialiser;

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of the new batch in the running statistics.
pub const MOMENTUM: f64 = 0.1;

/// Batch normalisation over `[n, h, w]` per channel (Ioffe & Szegedy 2015).
///
/// Batch statistics are used, and the running ones updated, where the input is on an autodiff
/// device and `training` is on; elsewhere the running statistics normalise. A teacher that needs
/// batch statistics without gradients is `student.valid().train().no_grad()`.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// Scale, `[c]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[c]`.
    pub beta: Param<Tensor<1>>,
    /// Off in a frozen part of a network.
    pub training: Param<Flag>,
    /// Running mean, `[c]`.
    pub running_mean: Running,
    /// Running unbiased variance, `[c]`.
    pub running_var: Running,
}

impl BatchNorm2d {
    /// Scale 1, shift 0, running mean 0, running variance 1.
    pub fn init(init: &mut Initialiser, channels: usize) -> Self {
        Self {
            gamma: init.ones([channels]),
            beta: init.zeros([channels]),
            training: Param::from_bool(true),
            running_mean: Running::new(init.zeros([channels])),
            running_var: Running::new(init.ones([channels])),
        }
    }

    /// `[n, c, h, w]` to the same shape.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let device = input.device();
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !(device.is_autodiff() && self.training.is_enabled()) {
            let mean = self.running_mean.value().to_device(&device);
            let var = self.running_var.value().to_device(&device);
            let (mean, var) = if device.is_autodiff() {
                (mean.autodiff(), var.autodiff())
            } else {
                (mean, var)
            };
            return batch_norm(input, gamma, beta, mean, var, EPSILON);
        }
        let [n, _, h, w] = input.dims();
        let output = batch_norm_train(input, gamma, beta, EPSILON);
        self.update(output.mean.inner(), output.variance.inner(), n * h * w);
        output.output
    }

    /// Moves the running statistics towards those of a batch of `count` values per channel;
    /// `variance` is the biased one.
    fn update(&self, mean: Tensor<1>, variance: Tensor<1>, count: usize) {
        let unbiased = count as f64 / count.saturating_sub(1).max(1) as f64;
        let running = self.running_mean.value().mul_scalar(1.0 - MOMENTUM);
        self.running_mean.set(running + mean.mul_scalar(MOMENTUM));
        let running = self.running_var.value().mul_scalar(1.0 - MOMENTUM);
        self.running_var
            .set(running + variance.mul_scalar(MOMENTUM * unbiased));
    }
}
