//! Convolution of kernel 1 or 3, stride 1, same padding.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::ops::same_conv2d;
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

    /// `[n, in, h, w]` to `[n, out, h, w]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        same_conv2d(input, self.weight.val(), bias)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::layer::testing::{assert_close, noise, numbers, with_threads};

    /// Output and gradients of input, weight and bias for a loss `sum(output * pull)`.
    fn run(
        dims: [usize; 4],
        outputs: usize,
        kernel: usize,
        bias: bool,
        own: bool,
    ) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let [n, inputs, h, w] = dims;
        let make = |seed, shape: [usize; 4]| {
            Tensor::<4>::from_data(
                TensorData::new(noise(seed, shape.iter().product()), shape),
                &device,
            )
        };
        let x = make(1, dims).require_grad();
        let weight = make(2, [outputs, inputs, kernel, kernel]).require_grad();
        let b = make(3, [outputs, 1, 1, 1])
            .reshape([outputs])
            .detach()
            .require_grad();
        let bias = bias.then(|| b.clone());
        let y = if own {
            same_conv2d(x.clone(), weight.clone(), bias.clone())
        } else {
            let pad = [kernel / 2, kernel / 2];
            let options = ConvOptions::new([1, 1], pad, [1, 1], 1);
            conv2d(x.clone(), weight.clone(), bias.clone(), options)
        };
        let pull = make(4, [n, outputs, h, w]);
        let mut grads = (y.clone() * pull).sum().backward();
        let mut all = vec![numbers(y)];
        all.push(numbers(x.grad_remove(&mut grads).unwrap()));
        all.push(numbers(weight.grad_remove(&mut grads).unwrap()));
        if bias.is_some() {
            all.push(numbers(b.grad_remove(&mut grads).unwrap()));
        }
        all
    }

    const CASES: [([usize; 4], usize, usize, bool); 9] = [
        ([2, 3, 5, 7], 5, 3, true),
        ([1, 1, 1, 1], 1, 3, false),
        ([3, 4, 9, 9], 4, 1, true),
        ([2, 8, 24, 24], 8, 3, false),
        ([1, 2, 30, 50], 3, 3, true),
        ([2, 6, 3, 3], 9, 3, false),
        ([1, 5, 40, 161], 7, 3, false),
        ([17, 2, 6, 6], 2, 3, true),
        ([1, 64, 100, 20], 33, 3, false),
    ];

    #[test]
    fn agrees_with_burn() {
        for (dims, outputs, kernel, bias) in CASES {
            let own = run(dims, outputs, kernel, bias, true);
            let burn = run(dims, outputs, kernel, bias, false);
            assert_eq!(own.len(), burn.len());
            for (i, (own, burn)) in own.iter().zip(&burn).enumerate() {
                assert_close(
                    own,
                    burn,
                    2e-5,
                    &format!("{dims:?} {outputs} {kernel} value {i}"),
                );
            }
        }
    }

    #[test]
    fn has_the_same_bits_for_every_number_of_threads() {
        for (dims, outputs, kernel, bias) in CASES {
            let one = with_threads(1, || run(dims, outputs, kernel, bias, true));
            for threads in [2, 3, 5] {
                let more = with_threads(threads, || run(dims, outputs, kernel, bias, true));
                assert_eq!(one, more, "{dims:?} with {threads} threads");
            }
        }
    }
}
