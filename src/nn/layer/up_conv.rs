//! Transposed convolution that doubles the size.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::as_type;
use super::ops::up_conv2d;
use crate::nn::init::Initialiser;

/// Transposed 2D convolution of kernel 2 and stride 2: every pixel becomes a 2x2 tile.
///
/// The tiles do not overlap, so this is one matrix product and a shuffle of pixels.
#[derive(Module, Debug)]
pub struct UpConv2x2 {
    /// `[in, out, 2, 2]`, the layout of PyTorch.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl UpConv2x2 {
    /// Kaiming-normal weights, zero bias. Every output pixel sees each input channel once, so the
    /// fan-in is `inputs`.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        let weight = init.kaiming_normal([inputs, outputs, 2, 2], inputs);
        let bias = init.zeros([outputs]);
        Self { weight, bias }
    }

    /// `[n, in, h, w]` to `[n, out, 2h, 2w]`, in the numbers of the input.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let dtype = input.dtype();
        let weight = as_type(self.weight.val(), dtype);
        up_conv2d(input, weight, as_type(self.bias.val(), dtype))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use burn::tensor::module::conv_transpose2d;
    use burn::tensor::ops::ConvTransposeOptions;

    use super::*;
    use crate::nn::layer::testing::*;

    fn run(device: &Device, dims: [usize; 4], outputs: usize, own: bool) -> Vec<Vec<f32>> {
        let [n, inputs, h, w] = dims;
        let x = leaf_on(device, 1, dims);
        let weight = leaf_on(device, 2, [inputs, outputs, 2, 2]);
        let bias = leaf_on(device, 3, [outputs]);
        let y = if own {
            up_conv2d(x.clone(), weight.clone(), bias.clone())
        } else {
            let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
            conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options)
        };
        let pull = constant_on(device, 4, [n, outputs, 2 * h, 2 * w]);
        let mut grads = (y.clone() * pull).sum().backward();
        vec![
            numbers(y),
            numbers(x.grad_remove(&mut grads).unwrap()),
            numbers(weight.grad_remove(&mut grads).unwrap()),
            numbers(bias.grad_remove(&mut grads).unwrap()),
        ]
    }

    const CASES: [([usize; 4], usize); 3] =
        [([2, 3, 5, 7], 2), ([1, 1, 1, 1], 1), ([9, 8, 12, 6], 5)];

    #[test]
    fn agrees_with_burn() {
        for device in devices() {
            for (dims, outputs) in CASES {
                let own = run(&device, dims, outputs, true);
                let burn = run(&Device::flex(), dims, outputs, false);
                for (own, burn) in own.iter().zip(&burn) {
                    assert_close(own, burn, 2e-5, &format!("{device:?} {dims:?}"));
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        assert_slopes(&[2 * 3 * 4 * 5, 3 * 2 * 4, 2], 2e-3, |p| {
            let weight = p[1].clone().reshape([3, 2, 2, 2]);
            up_conv2d(p[0].clone().reshape([2, 3, 4, 5]), weight, p[2].clone())
        });
    }

    #[test]
    fn has_the_same_bits_for_every_number_of_threads() {
        let run = |dims, outputs| run(&Device::flex(), dims, outputs, true);
        for (dims, outputs) in CASES {
            let one = with_threads(1, || run(dims, outputs));
            assert_eq!(one, with_threads(3, || run(dims, outputs)));
        }
    }
}
