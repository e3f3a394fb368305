//! Convolutions along three axes by those along two.
//!
//! A volume lies as a stack of slices, `[n * depth, c, h, w]`: normalisation, activation, and pooling
//! within slices are then those of images. A kernel of 3x3x3 sees three neighbouring slices; put side
//! by side as channels, they are an image of three times the channels, and the kernel is one of 3x3.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, Slice};

use super::Kernels;

fn sizes(tensor: &impl TensorMetadata) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// Each slice with the one before and the one behind it as channels, zeros beyond the ends:
/// `[n * depth, c, h, w]` to `[n * depth, 3 c, h, w]`.
fn neighbours<B: Kernels>(input: FloatTensor<B>, depth: usize) -> FloatTensor<B> {
    let [slices, c, h, w] = sizes(&input);
    let volumes = slices / depth.max(1);
    let plane = c * h * w;
    let stack = B::float_reshape(input, Shape::new([volumes, depth, plane]));
    let end = Shape::new([volumes, 1, plane]);
    let zeros = B::float_zeros(end, &stack.device(), stack.dtype().into());
    let padded = B::float_cat(vec![zeros.clone(), stack, zeros], 1);
    let from = |start: usize| {
        let all = Slice::new(0, None, 1);
        let some = Slice::new(start as isize, Some((start + depth) as isize), 1);
        B::float_slice(padded.clone(), &[all, some, all])
    };
    let side_by_side = B::float_cat(vec![from(0), from(1), from(2)], 2);
    B::float_reshape(side_by_side, Shape::new([slices, 3 * c, h, w]))
}

/// `[out, in, 3, 3, 3]` as the kernel of images of three times the channels, `[out, 3 in, 3, 3]`.
pub(super) fn flat<B: Kernels>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let shape = weight.shape();
    let [outputs, inputs] = [shape[0], shape[1]];
    let turned = B::float_permute(weight, &[0, 2, 1, 3, 4]);
    B::float_reshape(turned, Shape::new([outputs, 3 * inputs, 3, 3]))
}

/// What [`flat`] makes, as it was.
pub(super) fn solid<B: Kernels>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let [outputs, inputs, _, _] = sizes(&weight);
    let weight = B::float_reshape(weight, Shape::new([outputs, 3, inputs / 3, 3, 3]));
    B::float_permute(weight, &[0, 2, 1, 3, 4])
}

pub(super) fn conv<B: Kernels>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    depth: usize,
) -> FloatTensor<B> {
    B::conv(neighbours::<B>(input, depth), flat::<B>(weight), None)
}

/// The gradient of the input is a convolution of that of the output, with the kernel turned about its
/// centre.
pub(super) fn conv_input_grad<B: Kernels>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    depth: usize,
) -> FloatTensor<B> {
    let turned = B::float_flip(B::float_swap_dims(weight, 0, 1), &[2, 3, 4]);
    B::volume_conv(grad, turned, depth)
}

pub(super) fn conv_weight_grad<B: Kernels>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    depth: usize,
) -> FloatTensor<B> {
    let found = B::conv_weight_grad(neighbours::<B>(input, depth), flat::<B>(weight), grad);
    solid::<B>(found)
}
