//! Pixels to channels and back, and features brought to the grid of the patches.

use burn::tensor::Tensor;

/// `[n, c * k * k, h, w]` to `[n, c, h * k, w * k]`; channels are in the order (channel, row,
/// column) of PyTorch's `PixelShuffle`.
#[must_use]
pub fn pixel_shuffle(x: Tensor<4>, k: usize) -> Tensor<4> {
    let [n, channels, h, w] = x.dims();
    let c = channels / (k * k);
    x.reshape([n, c, k, k, h, w])
        .permute([0, 1, 4, 2, 5, 3])
        .reshape([n, c, h * k, w * k])
}

/// [`pixel_shuffle`] undone: `[n, c, h * k, w * k]` to `[n, c * k * k, h, w]`. With a 1x1
/// convolution behind it, a convolution of kernel and stride `k`.
#[must_use]
pub fn pixel_unshuffle(x: Tensor<4>, k: usize) -> Tensor<4> {
    let [n, c, height, width] = x.dims();
    let (h, w) = (height / k, width / k);
    x.reshape([n, c, h, k, w, k])
        .permute([0, 1, 3, 5, 2, 4])
        .reshape([n, c * k * k, h, w])
}

/// Mean over the cells of each patch: `[n, c, h, w]` to `[n, c, rows, cols]`, which divide `h` and
/// `w`.
#[must_use]
pub fn to_grid(x: Tensor<4>, rows: usize, cols: usize) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    if (h, w) == (rows, cols) {
        return x;
    }
    x.reshape([n, c, rows, h / rows, cols, w / cols])
        .mean_dim(3)
        .mean_dim(5)
        .reshape([n, c, rows, cols])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::host_values;

    fn image(shape: [usize; 4], value: impl Fn(usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn spec_vector_n6_channel_first() {
        // Channel 0 holds 0 to 15, channel 1 holds 100 to 115.
        let x = image([1, 2, 4, 4], |i| (i % 16 + 100 * (i / 16)) as f32);
        let tokens = host_values(pixel_unshuffle(x.clone(), 2));
        let first: Vec<f32> = (0..8).map(|d| tokens[d * 4]).collect();
        assert_eq!(first, [0., 1., 4., 5., 100., 101., 104., 105.]);
        let back = pixel_shuffle(pixel_unshuffle(x.clone(), 2), 2);
        assert_eq!(host_values(back), host_values(x));
    }

    #[test]
    fn a_patch_of_several_cells_is_their_mean() {
        let x = image([1, 1, 2, 4], |i| i as f32);
        let mean = to_grid(x.clone(), 1, 2);
        assert_eq!(mean.dims(), [1, 1, 1, 2]);
        assert_eq!(host_values(mean), [2.5, 4.5]);
        assert_eq!(host_values(to_grid(x.clone(), 2, 4)), host_values(x));
    }
}
