//! Transposed convolution that doubles the size.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

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

    /// `[n, in, h, w]` to `[n, out, 2h, 2w]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [n, ci, h, w] = input.dims();
        let [_, co, _, _] = self.weight.dims();
        // [1, 4 out, in] x [n, in, hw] = [n, 4 out, hw].
        let rows = self
            .weight
            .val()
            .reshape([ci, co * 4])
            .transpose()
            .unsqueeze::<3>();
        let tiles = rows.matmul(input.reshape([n, ci, h * w]));
        let image = tiles
            .reshape([n, co, 2, 2, h, w])
            .permute([0, 1, 4, 2, 5, 3])
            .reshape([n, co, 2 * h, 2 * w]);
        image + self.bias.val().reshape([1, co, 1, 1])
    }
}
