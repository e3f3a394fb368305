//! Batch normalisation of images, statistics as PyTorch keeps them.

use burn::module::{Flag, Module, Param};
use burn::tensor::{Device, Tensor};

use super::feature::Origin;
use super::ops::{
    conv2d_norm_relu, joined_conv2d_norm_relu, norm_by_batch, norm_by_statistics, norm_relu_conv,
};
use super::{Conv2d, Conv3d, Feature, PointConv3d, Running, as_type};
use crate::nn::init::Initialiser;

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of the new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

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

    /// `[n, c, h, w]` to the same shape and numbers; statistics are in those of the parameters.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.run(input, false)
    }

    /// [`forward`](Self::forward), then ReLU, in one pass where the device has it.
    #[must_use]
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.run(input, true)
    }

    /// [`forward_relu`](Self::forward_relu), with what it came of where the statistics of the batch
    /// normalise.
    #[must_use]
    pub fn feature(&self, input: Tensor<4>) -> Feature {
        if !self.uses_batch(&input) {
            return self.forward_relu(input).into();
        }
        let (value, [mean, variance]) = self.run_batch(input.clone(), true);
        let [gamma, beta] = [&self.gamma, &self.beta].map(|parameter| parameter.val().detach());
        let origin = Origin {
            input,
            norm: Tensor::stack(vec![gamma, beta, mean, variance], 0),
            epsilon: EPSILON,
        };
        Feature {
            value,
            origin: Some(origin),
        }
    }

    /// [`forward_relu`](Self::forward_relu), then `conv`; by the statistics of the batch what lies
    /// between is not kept.
    #[must_use]
    pub fn forward_relu_conv(&self, input: Tensor<4>, conv: &Conv2d) -> Tensor<4> {
        if !self.uses_batch(&input) {
            return conv.forward(self.forward_relu(input));
        }
        let (weight, bias) = conv.parameters(input.dtype());
        self.run_conv(input, weight, bias, None)
    }

    /// [`forward_relu_conv`](Self::forward_relu_conv) of volumes that lie as stacks of `depth` slices.
    #[must_use]
    pub fn forward_relu_conv3d(&self, input: Tensor<4>, conv: &Conv3d, depth: usize) -> Tensor<4> {
        if !self.uses_batch(&input) {
            return conv.forward(self.forward_relu(input), depth);
        }
        self.run_conv(input, conv.weight.val(), None, Some(depth))
    }

    /// [`forward_relu_conv`](Self::forward_relu_conv) with the convolution of each voxel alone.
    #[must_use]
    pub fn forward_relu_point_conv(&self, input: Tensor<4>, conv: &PointConv3d) -> Tensor<4> {
        if !self.uses_batch(&input) {
            return conv.forward(self.forward_relu(input));
        }
        let (weight, bias) = conv.parameters();
        self.run_conv(input, weight, Some(bias), None)
    }

    /// `conv`, then [`forward_relu`](Self::forward_relu); by running statistics in one operation
    /// where the device has it.
    #[must_use]
    pub fn conv_forward_relu(&self, conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        if input.device().is_autodiff() || conv.bias.is_some() {
            return self.forward_relu(conv.forward(input));
        }
        let parameters = [self.gamma.val(), self.beta.val()];
        let statistics = self.running(&input.device());
        let weight = as_type(conv.weight.val(), input.dtype());
        conv2d_norm_relu(input, weight, parameters, statistics, EPSILON)
    }

    /// [`conv_forward_relu`](Self::conv_forward_relu) of two images whose channels follow one another.
    #[must_use]
    pub fn joined_conv_forward_relu(
        &self,
        conv: &Conv2d,
        first: Feature,
        second: Tensor<4>,
    ) -> Tensor<4> {
        if second.device().is_autodiff() || conv.bias.is_some() {
            return self.forward_relu(conv.forward_joined(first, second));
        }
        let [mean, variance] = self.running(&second.device());
        let norm = Tensor::stack(vec![self.gamma.val(), self.beta.val(), mean, variance], 0);
        let weight = as_type(conv.weight.val(), second.dtype());
        joined_conv2d_norm_relu([first.value, second], weight, norm, EPSILON)
    }

    /// Running mean and variance on a device.
    fn running(&self, device: &Device) -> [Tensor<1>; 2] {
        [&self.running_mean, &self.running_var].map(|running| {
            let value = running.value().to_device(device);
            if device.is_autodiff() {
                value.autodiff()
            } else {
                value
            }
        })
    }

    /// Whether the statistics of the batch normalise.
    fn uses_batch(&self, input: &Tensor<4>) -> bool {
        input.device().is_autodiff() && self.training.is_enabled()
    }

    fn run(&self, input: Tensor<4>, activate: bool) -> Tensor<4> {
        if self.uses_batch(&input) {
            return self.run_batch(input, activate).0;
        }
        let statistics = self.running(&input.device());
        let parameters = [self.gamma.val(), self.beta.val()];
        norm_by_statistics(input, parameters, statistics, EPSILON, activate)
    }

    /// By the statistics of the batch, which come with the output.
    fn run_batch(&self, input: Tensor<4>, activate: bool) -> (Tensor<4>, [Tensor<1>; 2]) {
        let [n, _, h, w] = input.dims();
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        let (output, mean, variance) = norm_by_batch(input, gamma, beta, EPSILON, activate);
        self.update(mean.clone().inner(), variance.clone().inner(), n * h * w);
        (output, [mean, variance])
    }

    /// By the statistics of the batch, with ReLU and a convolution behind it.
    fn run_conv<const D: usize>(
        &self,
        input: Tensor<4>,
        weight: Tensor<D>,
        bias: Option<Tensor<1>>,
        depth: Option<usize>,
    ) -> Tensor<4> {
        let [n, _, h, w] = input.dims();
        let parameters = [self.gamma.val(), self.beta.val()];
        let (output, mean, variance) =
            norm_relu_conv(input, parameters, weight, bias, EPSILON, depth);
        self.update(mean.inner(), variance.inner(), n * h * w);
        output
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use burn::tensor::activation::relu;
    use burn::tensor::module::batch_norm_train;

    use super::*;
    use crate::nn::layer::testing::*;

    /// Output, statistics, gradients.
    fn run(device: &Device, dims: [usize; 4], activate: bool, own: bool) -> Vec<Vec<f32>> {
        let x = leaf_on(device, 1, dims);
        let (gamma, beta) = (leaf_on(device, 2, [dims[1]]), leaf_on(device, 3, [dims[1]]));
        // Far from zero, where variances computed the naive way lose their digits.
        let input = x.clone() * 0.5 + 20.0;
        let (y, mean, variance) = if own {
            norm_by_batch(input, gamma.clone(), beta.clone(), EPSILON, activate)
        } else {
            let norm = batch_norm_train(input, gamma.clone(), beta.clone(), EPSILON);
            let output = if activate {
                relu(norm.output)
            } else {
                norm.output
            };
            (output, norm.mean, norm.variance)
        };
        let mut grads = (y.clone() * constant_on(device, 4, dims)).sum().backward();
        vec![
            numbers(y),
            numbers(mean),
            numbers(variance),
            numbers(x.grad_remove(&mut grads).unwrap()),
            numbers(gamma.grad_remove(&mut grads).unwrap()),
            numbers(beta.grad_remove(&mut grads).unwrap()),
        ]
    }

    const CASES: [([usize; 4], bool); 4] = [
        ([2, 3, 5, 7], true),
        ([4, 2, 3, 3], false),
        ([16, 5, 24, 24], true),
        ([3, 2, 70, 161], true),
    ];

    #[test]
    fn agrees_with_burn() {
        for device in devices() {
            for (dims, activate) in CASES {
                let own = run(&device, dims, activate, true);
                let burn = run(&Device::flex(), dims, activate, false);
                for (i, (own, burn)) in own.iter().zip(&burn).enumerate() {
                    assert_close(own, burn, 3e-4, &format!("{device:?} {dims:?} value {i}"));
                }
            }
        }
    }

    #[test]
    fn a_convolution_behind_it_changes_no_bit() {
        for device in devices() {
            for (dims, _) in CASES {
                let [n, c, h, w] = dims;
                // One with a bias, and of kernel 1, as the last of a network is.
                let last = dims == CASES[0].0;
                let run = |together: bool| {
                    let mut init = Initialiser::new(5, &device.clone().autodiff());
                    let kernel = if last { 1 } else { 3 };
                    let conv = Conv2d::init(&mut init, c, 4, kernel, last);
                    let norm = BatchNorm2d::init(&mut init, c);
                    let x = leaf_on(&device, 1, dims);
                    let y = if together {
                        norm.forward_relu_conv(x.clone(), &conv)
                    } else {
                        conv.forward(norm.forward_relu(x.clone()))
                    };
                    let pull = constant_on(&device, 4, [n, 4, h, w]);
                    let mut grads = (y.clone() * pull).sum().backward();
                    let mut all = vec![
                        numbers(y),
                        numbers(norm.running_mean.value()),
                        numbers(norm.running_var.value()),
                        numbers(x.grad_remove(&mut grads).unwrap()),
                        numbers(norm.gamma.val().grad_remove(&mut grads).unwrap()),
                        numbers(norm.beta.val().grad_remove(&mut grads).unwrap()),
                        numbers(conv.weight.val().grad_remove(&mut grads).unwrap()),
                    ];
                    if let Some(bias) = &conv.bias {
                        all.push(numbers(bias.val().grad_remove(&mut grads).unwrap()));
                    }
                    all
                };
                // libtorch normalises by given statistics with other roundings.
                let tolerance = if device == Device::flex() { 0.0 } else { 1e-5 };
                for (i, (one, two)) in run(true).iter().zip(&run(false)).enumerate() {
                    assert_close(one, two, tolerance, &format!("{device:?} {dims:?} {i}"));
                }
            }
        }
    }

    #[test]
    fn a_convolution_before_it_changes_nothing_in_evaluation() {
        for device in devices() {
            for (dims, _) in CASES {
                let training = device.clone().autodiff();
                let mut init = Initialiser::new(5, &training);
                let conv = Conv2d::init(&mut init, dims[1], 4, 3, false);
                let norm = BatchNorm2d::init(&mut init, 4);
                let x = constant_on(&device, 1, dims) * 2.0 + 1.0;
                let _ = norm.forward(conv.forward(x.clone()));
                let (conv, norm, x) = (conv.valid(), norm.valid(), x.inner());
                let one = numbers(norm.conv_forward_relu(&conv, x.clone()));
                let two = numbers(norm.forward_relu(conv.forward(x.clone())));
                let tolerance = if device == Device::flex() { 0.0 } else { 1e-5 };
                assert_close(&one, &two, tolerance, &format!("{device:?} {dims:?}"));
                // The same of its first channel and the others.
                let [first, others] = [0..1, 1..dims[1]].map(|c| x.clone().slice_dim(1, c));
                let two = numbers(norm.joined_conv_forward_relu(&conv, first.into(), others));
                assert_close(
                    &one,
                    &two,
                    tolerance,
                    &format!("{device:?} {dims:?} joined"),
                );
            }
        }
    }

    #[test]
    fn has_the_same_bits_for_every_number_of_threads() {
        for (dims, activate) in CASES {
            let one = with_threads(1, || run(&Device::flex(), dims, activate, true));
            for threads in [2, 3] {
                let more = with_threads(threads, || run(&Device::flex(), dims, activate, true));
                assert_eq!(one, more);
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let dims = [2, 3, 4, 5];
        assert_slopes(&[120, 3, 3], 5e-3, |p| {
            let (gamma, beta) = (p[1].clone(), p[2].clone());
            norm_by_batch(p[0].clone().reshape(dims), gamma, beta, EPSILON, false).0
        });
        // Nothing of the second channel passes the ReLU, all of the others: none is near the kink.
        let away = |beta: &Tensor<1>| {
            let away = TensorData::from([9.0f32, -9.0, 9.0]);
            beta.clone() + Tensor::from_data(away, &beta.device())
        };
        assert_slopes(&[120, 3, 3, 4 * 3 * 9, 4], 5e-3, |p| {
            let (x, weight) = (p[0].clone().reshape(dims), p[3].clone());
            let weight = weight.reshape([4, 3, 3, 3]);
            let parameters = [p[1].clone(), away(&p[2])];
            norm_relu_conv(x, parameters, weight, Some(p[4].clone()), EPSILON, None).0
        });
        assert_slopes(&[120, 3, 3, 2 * 3 * 27], 5e-3, |p| {
            let (x, weight) = (p[0].clone().reshape(dims), p[3].clone());
            let weight = weight.reshape([2, 3, 3, 3, 3]);
            let parameters = [p[1].clone(), away(&p[2])];
            norm_relu_conv(x, parameters, weight, None, EPSILON, Some(2)).0
        });
    }

    #[test]
    fn running_statistics_are_those_of_pytorch() {
        for device in devices() {
            running_statistics(&device.autodiff());
        }
    }

    fn running_statistics(device: &Device) {
        let layer = BatchNorm2d::init(&mut Initialiser::new(0, device), 1);
        let x = [1.0f32, 2.0, 3.0, 6.0];
        let input = Tensor::<4>::from_data(TensorData::new(x.to_vec(), [1, 1, 2, 2]), device);
        let _ = layer.forward(input.clone());
        // Mean 3, unbiased variance 14 / 3.
        assert_close(&numbers(layer.running_mean.value()), &[0.3], 1e-6, "mean");
        let expected = 0.9 + 0.1 * 14.0 / 3.0;
        assert_close(
            &numbers(layer.running_var.value()),
            &[expected],
            1e-6,
            "variance",
        );
        // Evaluation uses them and leaves them alone.
        let trained = layer.valid();
        let y = numbers(trained.forward(input.inner()));
        let normal = |x: f32| (x - 0.3) / (expected + 1e-5f32).sqrt();
        assert_close(&y, &x.map(normal), 1e-6, "evaluation");
        assert_close(&numbers(trained.running_mean.value()), &[0.3], 1e-6, "mean");
    }

    #[test]
    fn a_clone_has_its_own_statistics() {
        let device = Device::flex().autodiff();
        let student = BatchNorm2d::init(&mut Initialiser::new(0, &device), 2);
        let teacher = student.valid().train().no_grad();
        let copy = student.clone();
        let _ = student.forward(constant(1, [2, 2, 3, 3]) + 1.0);
        assert_eq!(numbers(teacher.running_mean.value()), [0.0, 0.0]);
        assert_eq!(numbers(copy.running_mean.value()), [0.0, 0.0]);
        assert_ne!(numbers(student.running_mean.value()), [0.0, 0.0]);
        // The teacher normalises by its batch.
        let y = teacher.forward(constant(2, [4, 2, 5, 5]) * 3.0 + 7.0);
        assert!(!y.is_require_grad());
        assert!(numbers(y.mean())[0].abs() < 1e-5);
    }

    #[test]
    fn a_record_holds_the_last_update() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm2d::init(&mut Initialiser::new(0, &device), 2);
        let _ = layer.forward(constant(1, [2, 2, 3, 3]) + 1.0);
        let expected = numbers(layer.running_mean.value());
        let other = BatchNorm2d::init(&mut Initialiser::new(9, &device), 2);
        let loaded = other.load_record(layer.into_record());
        assert_eq!(numbers(loaded.running_mean.value()), expected);
        assert!(loaded.gamma.val().is_require_grad());
    }

    #[test]
    fn a_frozen_layer_keeps_its_statistics_and_passes_gradients() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm2d::init(&mut Initialiser::new(0, &device), 2).freeze();
        let x = leaf(1, [2, 2, 3, 3]);
        let y = layer.forward_relu(x.clone() + 1.0);
        assert_eq!(numbers(layer.running_mean.value()), [0.0, 0.0]);
        let mut grads = y.sum().backward();
        let passed = numbers(x.grad_remove(&mut grads).unwrap());
        assert!(passed.iter().any(|g| (g - 1.0).abs() < 1e-4));
    }
}
