//! Convolution of kernel 1 or 3, stride 1, same padding.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::ops::same_conv2d;
use super::{Feature, as_type};
use crate::nn::init::Initialiser;

/// 2D convolution of an odd square kernel (1 or 3), stride 1, zero padding that keeps the size.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Conv2d {
    /// Kaiming-normal weights (fan-in), zero bias. `kernel` is 1 or 3.
    pub fn init(
        init: &mut Initialiser,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        bias: bool,
    ) -> Self {
        let weight =
            init.kaiming_normal([outputs, inputs, kernel, kernel], inputs * kernel * kernel);
        let bias = bias.then(|| init.zeros([outputs]));
        Self { weight, bias }
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`, in the numbers of the input.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters(input.dtype());
        same_conv2d(input, weight, bias)
    }

    /// [`forward`](Self::forward) of two images whose channels follow one another, in training without
    /// a copy that holds both where that can be had; without bias.
    #[must_use]
    pub fn forward_joined(&self, first: Feature, second: Tensor<4>) -> Tensor<4> {
        match self.parameters(second.dtype()) {
            (weight, None) => first.conv_joined(second, weight, None),
            (weight, bias) => same_conv2d(Tensor::cat(vec![first.value, second], 1), weight, bias),
        }
    }

    /// Weight and bias in numbers of a type.
    pub(super) fn parameters(&self, dtype: DType) -> (Tensor<4>, Option<Tensor<1>>) {
        let bias = self.bias.as_ref().map(|bias| as_type(bias.val(), dtype));
        (as_type(self.weight.val(), dtype), bias)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use super::*;
    use crate::nn::layer::testing::*;

    /// Output and gradients of input, weight and bias for a loss `sum(output * pull)`.
    fn run(
        device: &Device,
        dims: [usize; 4],
        outputs: usize,
        kernel: usize,
        own: bool,
    ) -> Vec<Vec<f32>> {
        let [n, inputs, h, w] = dims;
        let x = leaf_on(device, 1, dims);
        let weight = leaf_on(device, 2, [outputs, inputs, kernel, kernel]);
        let bias = leaf_on(device, 3, [outputs]);
        // Odd cases have a bias.
        let used = (outputs % 2 == 1).then(|| bias.clone());
        let y = if own {
            same_conv2d(x.clone(), weight.clone(), used.clone())
        } else {
            let pad = [kernel / 2, kernel / 2];
            let options = ConvOptions::new([1, 1], pad, [1, 1], 1);
            conv2d(x.clone(), weight.clone(), used.clone(), options)
        };
        let mut grads = (y.clone() * constant_on(device, 4, [n, outputs, h, w]))
            .sum()
            .backward();
        let mut all = vec![numbers(y)];
        all.push(numbers(x.grad_remove(&mut grads).unwrap()));
        all.push(numbers(weight.grad_remove(&mut grads).unwrap()));
        if used.is_some() {
            all.push(numbers(bias.grad_remove(&mut grads).unwrap()));
        }
        all
    }

    const CASES: [([usize; 4], usize, usize); 11] = [
        ([2, 3, 5, 7], 5, 3),
        ([1, 1, 1, 1], 1, 3),
        ([3, 4, 9, 9], 4, 1),
        ([2, 7, 3, 8], 3, 1),
        ([2, 8, 24, 24], 8, 3),
        ([1, 2, 30, 50], 3, 3),
        ([2, 6, 3, 3], 9, 3),
        ([16, 12, 3, 3], 8, 3),
        ([1, 5, 40, 161], 7, 3),
        ([17, 2, 6, 6], 2, 3),
        ([1, 64, 100, 20], 33, 3),
    ];

    #[test]
    fn agrees_with_burn() {
        for device in devices() {
            for (dims, outputs, kernel) in CASES {
                let own = run(&device, dims, outputs, kernel, true);
                let burn = run(&Device::flex(), dims, outputs, kernel, false);
                assert_eq!(own.len(), burn.len());
                for (i, (own, burn)) in own.iter().zip(&burn).enumerate() {
                    let what = format!("{device:?} {dims:?} {outputs} {kernel} value {i}");
                    assert_close(own, burn, 2e-5, &what);
                }
            }
        }
    }

    #[test]
    fn has_the_same_bits_for_every_number_of_threads() {
        for (dims, outputs, kernel) in CASES {
            let one = with_threads(1, || run(&Device::flex(), dims, outputs, kernel, true));
            for threads in [2, 3, 5] {
                let more = with_threads(threads, || {
                    run(&Device::flex(), dims, outputs, kernel, true)
                });
                assert_eq!(one, more, "{dims:?} with {threads} threads");
            }
        }
    }

    #[test]
    fn agrees_with_finite_differences() {
        for kernel in [1, 3] {
            assert_slopes(&[2 * 3 * 5 * 7, 5 * 3 * kernel * kernel, 5], 2e-3, |p| {
                let weight = p[1].clone().reshape([5, 3, kernel, kernel]);
                same_conv2d(
                    p[0].clone().reshape([2, 3, 5, 7]),
                    weight,
                    Some(p[2].clone()),
                )
            });
        }
    }
}
