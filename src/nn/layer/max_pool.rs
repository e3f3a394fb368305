//! Halving of the size by the maximum.

use burn::module::Module;
use burn::tensor::Tensor;

use super::ops::pool_max;

/// Maximum of each 2x2 tile.
#[derive(Module, Debug, Default)]
pub struct MaxPool2x2;

impl MaxPool2x2 {
    /// `[n, c, h, w]` to `[n, c, h/2, w/2]`; an odd last row or column is dropped.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        pool_max(input)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::max_pool2d;
    use burn::tensor::ops::MaxPoolOptions;
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::nn::layer::as_type;
    use crate::nn::layer::testing::*;

    #[test]
    fn agrees_with_burn() {
        for dims in [[2, 3, 8, 6], [1, 2, 7, 5], [1, 1, 2, 2], [3, 5, 40, 66]] {
            let [n, c, h, w] = dims;
            let run = |device: &Device, own: bool| {
                // Few values, so that tiles have equal ones.
                let data = noise(1, n * c * h * w)
                    .iter()
                    .map(|v| (v * 2.0).round())
                    .collect();
                let device = device.clone().autodiff();
                let x = Tensor::<4>::from_data(TensorData::new(data, dims), &device).require_grad();
                let y = if own {
                    MaxPool2x2.forward(x.clone())
                } else {
                    max_pool2d(x.clone(), MaxPoolOptions::new([2, 2]))
                };
                assert_eq!(y.dims(), [n, c, h / 2, w / 2]);
                let pull = constant_on(&device, 2, y.dims());
                let mut grads = (y.clone() * pull).sum().backward();
                (numbers(y), numbers(x.grad_remove(&mut grads).unwrap()))
            };
            for device in devices() {
                let burn = run(&Device::flex(), false);
                assert_eq!(run(&device, true), burn, "{device:?} {dims:?}");
            }
        }
    }

    #[test]
    fn half_the_precision_is_pooled_alike() {
        let dims = [2, 3, 8, 6];
        let run = |device: &Device, dtype: DType| {
            // Few values, which both hold exactly.
            let x = (constant_on(device, 1, dims) * 2.0).round().detach();
            let x = x.require_grad();
            let y = as_type(MaxPool2x2.forward(as_type(x.clone(), dtype)), DType::F32);
            let pull = (constant_on(device, 2, y.dims()) * 2.0).round();
            let mut grads = (y.clone() * pull).sum().backward();
            (numbers(y), numbers(x.grad_remove(&mut grads).unwrap()))
        };
        for device in devices() {
            assert_eq!(run(&device, DType::BF16), run(&device, DType::F32));
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let dims = [2, 3, 4, 6];
        assert_slopes(&[dims.iter().product()], 2e-3, |p| {
            // The largest of a tile is so by far: no step makes another one so.
            let far = (0..p[0].dims()[0]).map(|i| ((5 * i) % 7) as f32 * 10.0);
            let far = Tensor::from_data(
                TensorData::from(&far.collect::<Vec<_>>()[..]),
                &p[0].device(),
            );
            MaxPool2x2.forward((p[0].clone() + far).reshape(dims)) * 0.05
        });
    }
}
