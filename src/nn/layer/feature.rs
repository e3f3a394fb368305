//! What comes out of a block, and what it came of.

use burn::tensor::Tensor;

use super::ops::{joined_conv, norm_joined_conv};

/// An image `[n, c, h, w]` that a normalisation with ReLU may have made.
///
/// A convolution that reads it long after need not keep it for its gradient: what went into the
/// normalisation is kept anyway.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The image.
    pub value: Tensor<4>,
    pub(super) origin: Option<Origin>,
}

/// What a normalisation with ReLU made an image of.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// `[n, c, h, w]`.
    pub(super) input: Tensor<4>,
    /// Scale, shift, mean and biased variance, `[4, c]`.
    pub(super) norm: Tensor<2>,
    /// Added to the variance.
    pub(super) epsilon: f64,
}

impl Feature {
    /// Convolution of it and the channels of `second` behind its own; of volumes where they have a
    /// `depth`.
    pub(super) fn conv_joined<const D: usize>(
        self,
        second: Tensor<4>,
        weight: Tensor<D>,
        depth: Option<usize>,
    ) -> Tensor<4> {
        let both = [self.value, second];
        match self.origin {
            None => joined_conv(both, weight, depth),
            Some(Origin {
                input,
                norm,
                epsilon,
            }) => norm_joined_conv(both, weight, input, norm, epsilon, depth),
        }
    }
}

impl From<Tensor<4>> for Feature {
    fn from(value: Tensor<4>) -> Self {
        let origin = None;
        Self { value, origin }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::init::Initialiser;
    use crate::nn::layer::testing::*;
    use crate::nn::layer::{BatchNorm2d, Conv2d, Conv3d};

    /// Output, gradients of what made both images, and of the weight.
    fn run(
        device: &Device,
        [first, second]: [[usize; 4]; 2],
        depth: Option<usize>,
        joined: bool,
        normalised: bool,
    ) -> Vec<Vec<f32>> {
        let init = &mut Initialiser::new(5, &device.clone().autodiff());
        let channels = first[1] + second[1];
        let norm = BatchNorm2d::init(init, first[1]);
        let (flat, solid) = (
            Conv2d::init(init, channels, 5, 3, false),
            Conv3d::init(init, channels, 5),
        );
        let (a, b) = (leaf_on(device, 1, first), leaf_on(device, 2, second));
        let feature = if normalised {
            norm.feature(a.clone())
        } else {
            a.clone().into()
        };
        assert_eq!(feature.origin.is_some(), normalised);
        let y = match (depth, joined) {
            (None, true) => flat.forward_joined(feature, b.clone()),
            (None, false) => flat.forward(Tensor::cat(vec![feature.value, b.clone()], 1)),
            (Some(depth), true) => solid.forward_joined(feature, b.clone(), depth),
            (Some(depth), false) => {
                solid.forward(Tensor::cat(vec![feature.value, b.clone()], 1), depth)
            }
        };
        let pull = constant_on(device, 4, y.dims());
        let mut grads = (y.clone() * pull).sum().backward();
        let weight = match depth {
            None => numbers(flat.weight.val().grad_remove(&mut grads).unwrap()),
            Some(_) => numbers(solid.weight.val().grad_remove(&mut grads).unwrap()),
        };
        vec![
            numbers(y),
            numbers(a.grad_remove(&mut grads).unwrap()),
            numbers(b.grad_remove(&mut grads).unwrap()),
            weight,
        ]
    }

    #[test]
    fn two_images_read_as_they_lie_give_the_bits_of_one() {
        let cases = [
            ([2, 3, 5, 7], [2, 4, 5, 7], None),
            ([1, 1, 1, 1], [1, 2, 1, 1], None),
            ([3, 8, 20, 24], [3, 8, 20, 24], None),
            ([4, 2, 5, 7], [4, 3, 5, 7], Some(2)),
            ([3, 1, 6, 6], [3, 1, 6, 6], Some(1)),
        ];
        for device in devices() {
            for (first, second, depth) in cases {
                for normalised in [false, true] {
                    let run = |joined| run(&device, [first, second], depth, joined, normalised);
                    assert_eq!(run(true), run(false), "{device:?} {first:?} {depth:?}");
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for depth in [None, Some(2)] {
            let taps = if depth.is_some() { 27 } else { 9 };
            assert_slopes(&[2 * 3 * 4 * 5, 2 * 2 * 4 * 5, 4 * 5 * taps], 2e-3, |p| {
                let first = Feature::from(p[0].clone().reshape([2, 3, 4, 5]));
                let second = p[1].clone().reshape([2, 2, 4, 5]);
                match depth {
                    None => first.conv_joined(second, p[2].clone().reshape([4, 5, 3, 3]), depth),
                    _ => first.conv_joined(second, p[2].clone().reshape([4, 5, 3, 3, 3]), depth),
                }
            });
        }
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let device = Device::flex().autodiff();
        let conv = Conv2d::init(&mut Initialiser::new(5, &device), 2, 1, 3, false);
        let image = |side: usize| {
            let data = TensorData::new(vec![0.0f32; side * side], [1, 1, side, side]);
            Tensor::<4>::from_data(data, &device)
        };
        let join = std::panic::AssertUnwindSafe(|| conv.forward_joined(image(4).into(), image(5)));
        assert!(std::panic::catch_unwind(join).is_err());
    }
}
