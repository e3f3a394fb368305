//! Layers of volumes that lie as stacks of slices.
//!
//! A volume `[n, c, d, h, w]` lies as `[n * d, c, h, w]`: normalisation over `[n, d, h, w]` and
//! activation are then those of images ([`BatchNorm2d`](super::BatchNorm2d)), and what follows is
//! made of the kernels of images too.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Feature;
use super::ops::{pool_max, same_conv2d, same_conv3d, up_conv2d};
use crate::nn::init::Initialiser;

/// `[n, c, d, h, w]` as a stack of slices, `[n * d, c, h, w]`.
#[must_use]
pub fn to_slices(volume: Tensor<5>) -> Tensor<4> {
    let [n, c, d, h, w] = volume.dims();
    volume.permute([0, 2, 1, 3, 4]).reshape([n * d, c, h, w])
}

/// A stack of slices of volumes of `depth`, `[n * depth, c, h, w]`, as `[n, c, depth, h, w]`.
#[must_use]
pub fn to_volume(slices: Tensor<4>, depth: usize) -> Tensor<5> {
    let [count, c, h, w] = slices.dims();
    let volume = slices.reshape([count / depth.max(1), depth, c, h, w]);
    volume.permute([0, 2, 1, 3, 4])
}

/// Convolution of kernel 3 along three axes, stride 1, zero padding that keeps the size, without
/// bias.
#[derive(Module, Debug)]
pub struct Conv3d {
    /// `[out, in, 3, 3, 3]`, the layout of PyTorch.
    pub weight: Param<Tensor<5>>,
}

impl Conv3d {
    /// Kaiming-normal weights (fan-in).
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: init.kaiming_normal([outputs, inputs, 3, 3, 3], inputs * 27),
        }
    }

    /// `[n * depth, in, h, w]` to `[n * depth, out, h, w]`.
    #[must_use]
    pub fn forward(&self, slices: Tensor<4>, depth: usize) -> Tensor<4> {
        same_conv3d(slices, self.weight.val(), depth)
    }

    /// [`forward`](Self::forward) of two stacks whose channels follow one another, without a copy that
    /// holds both where that can be had.
    #[must_use]
    pub fn forward_joined(&self, first: Feature, second: Tensor<4>, depth: usize) -> Tensor<4> {
        first.conv_joined(second, self.weight.val(), Some(depth))
    }
}

/// Convolution of kernel 1 along three axes, with bias.
#[derive(Module, Debug)]
pub struct PointConv3d {
    /// `[out, in, 1, 1, 1]`, the layout of PyTorch.
    pub weight: Param<Tensor<5>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl PointConv3d {
    /// Kaiming-normal weights (fan-in), zero bias.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: init.kaiming_normal([outputs, inputs, 1, 1, 1], inputs),
            bias: init.zeros([outputs]),
        }
    }

    /// `[n * depth, in, h, w]` to `[n * depth, out, h, w]`.
    #[must_use]
    pub fn forward(&self, slices: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters();
        same_conv2d(slices, weight, Some(bias))
    }

    /// Weight and bias as those of a convolution of slices.
    pub(super) fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        let [outputs, inputs, _, _, _] = self.weight.dims();
        let weight = self.weight.val().reshape([outputs, inputs, 1, 1]);
        (weight, self.bias.val())
    }
}

/// Transposed convolution of kernel 2 and stride 2 along three axes: every voxel becomes a tile of
/// 2x2x2.
#[derive(Module, Debug)]
pub struct UpConv2x2x2 {
    /// `[in, out, 2, 2, 2]`, the layout of PyTorch.
    pub weight: Param<Tensor<5>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl UpConv2x2x2 {
    /// Kaiming-normal weights (every output voxel sees each input channel once), zero bias.
    pub fn init(init: &mut Initialiser, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: init.kaiming_normal([inputs, outputs, 2, 2, 2], inputs),
            bias: init.zeros([outputs]),
        }
    }

    /// `[n * d, in, h, w]` to `[n * 2d, out, 2h, 2w]`.
    #[must_use]
    pub fn forward(&self, slices: Tensor<4>) -> Tensor<4> {
        let [inputs, outputs, _, _, _] = self.weight.dims();
        // A slice becomes two, which come out as the two halves of its channels.
        let weight = self.weight.val().permute([0, 2, 1, 3, 4]);
        let weight = weight.reshape([inputs, 2 * outputs, 2, 2]);
        let bias = Tensor::cat(vec![self.bias.val(), self.bias.val()], 0);
        let both = up_conv2d(slices, weight, bias);
        let [count, _, h, w] = both.dims();
        both.reshape([2 * count, outputs, h, w])
    }
}

/// Maximum of each tile of 2x2x2: `[n * d, c, h, w]` to `[n * d/2, c, h/2, w/2]`; the depth is even.
#[must_use]
pub fn max_pool2x2x2(slices: Tensor<4>) -> Tensor<4> {
    let within = pool_max(slices);
    let [count, c, h, w] = within.dims();
    let pairs = within.reshape([count / 2, 2, c, h * w]);
    let half = |i: usize| pairs.clone().narrow(1, i, 1);
    half(0).max_pair(half(1)).reshape([count / 2, c, h, w])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use burn::tensor::module::{conv_transpose3d, conv3d};
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

    use super::*;
    use crate::nn::layer::BatchNorm2d;
    use crate::nn::layer::testing::*;

    const CASES: [([usize; 5], usize); 4] = [
        ([2, 3, 4, 5, 7], 5),
        ([1, 1, 1, 2, 3], 1),
        ([1, 4, 6, 9, 9], 3),
        ([3, 2, 2, 24, 8], 8),
    ];

    /// Output and gradients of input, weight and bias.
    fn run(
        device: &Device,
        dims: [usize; 5],
        outputs: usize,
        own: bool,
        up: bool,
    ) -> Vec<Vec<f32>> {
        let [n, inputs, d, h, w] = dims;
        let x = leaf_on(device, 1, dims);
        let kernel = if up {
            [inputs, outputs, 2, 2, 2]
        } else {
            [outputs, inputs, 3, 3, 3]
        };
        let weight = leaf_on(device, 2, kernel);
        let bias = leaf_on(device, 3, [outputs]);
        let y = match (own, up) {
            (true, true) => {
                let layer = UpConv2x2x2 {
                    weight: Param::from_tensor(weight.clone()),
                    bias: Param::from_tensor(bias.clone()),
                };
                to_volume(layer.forward(to_slices(x.clone())), 2 * d)
            }
            (true, false) => to_volume(same_conv3d(to_slices(x.clone()), weight.clone(), d), d),
            (false, true) => {
                let options = ConvTransposeOptions::new([2; 3], [0; 3], [0; 3], [1; 3], 1);
                conv_transpose3d(x.clone(), weight.clone(), Some(bias.clone()), options)
            }
            (false, false) => {
                let options = ConvOptions::new([1; 3], [1; 3], [1; 3], 1);
                conv3d(x.clone(), weight.clone(), None, options)
            }
        };
        let scale = if up { 2 } else { 1 };
        assert_eq!(y.dims(), [n, outputs, scale * d, scale * h, scale * w]);
        let pull = constant_on(device, 4, y.dims());
        let mut grads = (y.clone() * pull).sum().backward();
        let mut all = vec![
            numbers(y),
            numbers(x.grad_remove(&mut grads).unwrap()),
            numbers(weight.grad_remove(&mut grads).unwrap()),
        ];
        all.extend(bias.grad_remove(&mut grads).map(numbers));
        all
    }

    #[test]
    fn agree_with_burn() {
        for device in devices() {
            for (dims, outputs) in CASES {
                for up in [false, true] {
                    let own = run(&device, dims, outputs, true, up);
                    let burn = run(&Device::flex(), dims, outputs, false, up);
                    assert_eq!(own.len(), burn.len());
                    for (i, (own, burn)) in own.iter().zip(&burn).enumerate() {
                        let what = format!("{device:?} {dims:?} up {up} value {i}");
                        assert_close(own, burn, 3e-5, &what);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        assert_slopes(&[2 * 3 * 2 * 4 * 5, 2 * 2 * 27], 2e-3, |p| {
            let weight = p[1].clone().reshape([2, 2, 3, 3, 3]);
            same_conv3d(p[0].clone().reshape([2 * 3, 2, 4, 5]), weight, 3)
        });
    }

    #[test]
    fn a_convolution_behind_a_normalisation_changes_no_bit() {
        for device in devices() {
            let run = |together: bool| {
                let mut init = Initialiser::new(5, &device.clone().autodiff());
                let conv = Conv3d::init(&mut init, 3, 4);
                let norm = BatchNorm2d::init(&mut init, 3);
                let x = leaf_on(&device, 1, [2 * 4, 3, 5, 7]);
                let y = if together {
                    norm.forward_relu_conv3d(x.clone(), &conv, 4)
                } else {
                    conv.forward(norm.forward_relu(x.clone()), 4)
                };
                let pull = constant_on(&device, 4, y.dims());
                let mut grads = (y.clone() * pull).sum().backward();
                let mut gradient =
                    |tensor: Tensor<1>| numbers(tensor.grad_remove(&mut grads).unwrap());
                let parameters = [norm.gamma.val(), norm.beta.val()].map(&mut gradient);
                let weight = numbers(conv.weight.val().grad_remove(&mut grads).unwrap());
                let input = numbers(x.grad_remove(&mut grads).unwrap());
                (
                    numbers(y),
                    parameters,
                    weight,
                    input,
                    numbers(norm.running_var.value()),
                )
            };
            assert_eq!(run(true), run(false));
        }
    }

    #[test]
    fn pooling_takes_the_largest_of_eight() {
        for device in devices() {
            let (n, c, d, h, w) = (2, 3, 4, 6, 2);
            let x = leaf_on(&device, 1, [n, c, d, h, w]);
            let y = to_volume(max_pool2x2x2(to_slices(x.clone())), d / 2);
            let mut grads = y.clone().sum().backward();
            let (input, output) = (numbers(x.clone()), numbers(y));
            let passed = numbers(x.grad_remove(&mut grads).unwrap());
            let at = |i: usize, z: usize, y: usize, x: usize| ((i * d + z) * h + y) * w + x;
            let mut next = output.into_iter();
            for i in 0..n * c {
                for z in 0..d / 2 {
                    for row in 0..h / 2 {
                        for column in 0..w / 2 {
                            let tile: Vec<usize> = (0..8)
                                .map(|k| {
                                    at(i, 2 * z + k / 4, 2 * row + k / 2 % 2, 2 * column + k % 2)
                                })
                                .collect();
                            let best = tile
                                .iter()
                                .copied()
                                .max_by(|a, b| input[*a].total_cmp(&input[*b]));
                            let best = best.unwrap();
                            assert_eq!(next.next(), Some(input[best]));
                            for k in tile {
                                assert_eq!(passed[k], f32::from(u8::from(k == best)));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn slices_and_volumes_are_one() {
        let x = constant(1, [2, 3, 4, 5, 6]);
        let back = to_volume(to_slices(x.clone()), 4);
        assert_eq!(numbers(back), numbers(x));
    }
}
