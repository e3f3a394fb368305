//! Linear layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::nn::init::Initialiser;

/// `x W^T + b` on rows.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`, the layout of PyTorch.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Weights and bias uniform within `1 / sqrt(in)`, as PyTorch draws them.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize, bias: bool) -> Self {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        Self {
            weight: init.uniform([outputs, inputs], -bound, bound),
            bias: bias.then(|| init.uniform([outputs], -bound, bound)),
        }
    }

    /// `[n, in]` to `[n, out]`.
    #[must_use]
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let product = rows.matmul(self.weight.val().transpose());
        match &self.bias {
            Some(bias) => product + bias.val().unsqueeze(),
            None => product,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::trainable;

    #[test]
    fn rows_by_hand() {
        let mut init = Initialiser::new(1, &Device::flex());
        let mut layer = Linear::init(&mut init, 2, 3, true);
        let device = Device::flex();
        layer.weight = Param::from_tensor(Tensor::from_floats(
            [[1.0, 2.0], [0.0, -1.0], [0.5, 0.5]],
            &device,
        ));
        layer.bias = Some(Param::from_tensor(Tensor::from_floats(
            [0.0, 1.0, 2.0],
            &device,
        )));
        let rows = Tensor::from_floats([[1.0, 1.0], [2.0, -2.0]], &device);
        let out = layer.forward(rows).into_data().try_to_vec_as::<f32>();
        assert_eq!(out.unwrap(), [3.0, 0.0, 3.0, -2.0, 3.0, 2.0]);
        let mut init = Initialiser::new(1, &device.autodiff());
        assert_eq!(trainable(&Linear::init(&mut init, 4, 3, false)), 12);
    }
}
