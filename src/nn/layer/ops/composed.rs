//! Kernels composed of burn's own operations: for devices and number types without kernels of
//! their own, and what those kernels are tested against.

use burn::backend::ops::{BatchNormTrain, BatchNormTrainBackward};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Shape};

use super::kernels::Kernels;
use super::operands::{Filter, NormState};

/// Options of a convolution that keeps the size of the image.
fn same_padding(weight: &impl TensorMetadata) -> ConvOptions<2> {
    let shape = weight.shape();
    ConvOptions::new([1, 1], [shape[2] / 2, shape[3] / 2], [1, 1], 1)
}

/// The four sizes of an image or a weight.
fn sizes(tensor: &impl TensorMetadata) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

pub(super) fn conv<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d(input, weight, bias, options)
}

pub(super) fn conv_input_grad<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d_x_backward(input, weight, grad, options)
}

pub(super) fn conv_weight_grad<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let options = same_padding(&weight);
    B::conv2d_weight_backward(input, weight, grad, options)
}

pub(super) fn bias_grad<B: Backend>(grad: FloatTensor<B>) -> FloatTensor<B> {
    let channels = grad.shape()[1];
    B::float_reshape(B::float_sum_dims(grad, &[0, 2, 3]), Shape::new([channels]))
}

/// `[in, out, 2, 2]` as `[1, in, 4 out]`.
fn up_matrix<B: Backend>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let [inputs, outputs, _, _] = sizes(&weight);
    B::float_reshape(weight, Shape::new([1, inputs, 4 * outputs]))
}

pub(super) fn up<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let [n, inputs, h, w] = sizes(&input);
    let outputs = weight.shape()[1];
    // The tiles do not overlap: one matrix product and a shuffle of pixels.
    let rows = B::float_swap_dims(up_matrix::<B>(weight), 1, 2);
    let pixels = B::float_reshape(input, Shape::new([n, inputs, h * w]));
    let tiles = B::float_matmul(rows, pixels);
    let tiles = B::float_reshape(tiles, Shape::new([n, outputs, 2, 2, h, w]));
    let image = B::float_reshape(
        B::float_permute(tiles, &[0, 1, 4, 2, 5, 3]),
        Shape::new([n, outputs, 2 * h, 2 * w]),
    );
    B::float_add(
        image,
        B::float_reshape(bias, Shape::new([1, outputs, 1, 1])),
    )
}

pub(super) fn up_grads<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    [input_needed, weight_needed]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let [n, inputs, h, w] = sizes(&input);
    let outputs = weight.shape()[1];
    let grad = B::float_reshape(grad, Shape::new([n, outputs, h, 2, w, 2]));
    let grad = B::float_reshape(
        B::float_permute(grad, &[0, 1, 3, 5, 2, 4]),
        Shape::new([n, 4 * outputs, h * w]),
    );
    let input_grad = input_needed.then(|| {
        let pixels = B::float_matmul(up_matrix::<B>(weight), grad.clone());
        B::float_reshape(pixels, Shape::new([n, inputs, h, w]))
    });
    let weight_grad = weight_needed.then(|| {
        let pixels = B::float_reshape(input, Shape::new([n, inputs, h * w]));
        let products = B::float_matmul(pixels, B::float_swap_dims(grad, 1, 2));
        B::float_reshape(
            B::float_sum_dim(products, 0),
            Shape::new([inputs, outputs, 2, 2]),
        )
    });
    [input_grad, weight_grad]
}

/// `tensor` in numbers of type `dtype`.
fn cast<B: Backend>(tensor: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    B::float_cast(tensor, dtype.into())
}

/// Types of input and parameters of a normalisation, where they differ.
fn mixed(input: &impl TensorMetadata, gamma: &impl TensorMetadata) -> Option<[DType; 2]> {
    let types = [input.dtype(), gamma.dtype()];
    (types[0] != types[1]).then_some(types)
}

pub(super) fn norm<B: Backend>(
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
    relu: bool,
) -> BatchNormTrain<B> {
    if let Some([own, wide]) = mixed(&input, &gamma) {
        let mut norm = norm::<B>(cast::<B>(input, wide), gamma, beta, epsilon, relu);
        norm.output = cast::<B>(norm.output, own);
        return norm;
    }
    let mut norm = B::batch_norm_train(input, gamma, beta, epsilon);
    if relu {
        norm.output = B::relu(norm.output);
    }
    norm
}

pub(super) fn norm_by<B: Backend>(mut state: NormState<B>) -> FloatTensor<B> {
    if let Some([own, wide]) = mixed(&state.input, &state.gamma) {
        state.input = cast::<B>(state.input, wide);
        return cast::<B>(norm_by::<B>(state), own);
    }
    let output = B::batch_norm(
        state.input,
        state.gamma,
        state.beta,
        state.mean,
        state.variance,
        state.epsilon,
    );
    if state.relu { B::relu(output) } else { output }
}

pub(super) fn norm_grads<B: Backend>(
    mut state: NormState<B>,
    mut grad: FloatTensor<B>,
) -> BatchNormTrainBackward<B> {
    if let Some([own, wide]) = mixed(&state.input, &state.gamma) {
        state.input = cast::<B>(state.input, wide);
        let mut grads = norm_grads::<B>(state, cast::<B>(grad, wide));
        grads.x_grad = cast::<B>(grads.x_grad, own);
        return grads;
    }
    if state.relu {
        grad = B::relu_backward(norm_by::<B>(state.clone()), grad);
    }
    B::batch_norm_train_backward(
        state.input,
        state.gamma,
        state.mean,
        state.variance,
        state.epsilon,
        grad,
    )
}

/// The output of the convolution comes back as that of the normalisation.
pub(super) fn norm_conv<B: Kernels>(
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
    filter: Filter<B>,
) -> BatchNormTrain<B> {
    let mut norm = B::norm(input, gamma, beta, epsilon, true);
    norm.output = filter.conv(norm.output);
    norm
}

/// What lies between is made again.
pub(super) fn norm_conv_grads<B: Kernels>(
    mut norm: NormState<B>,
    filter: Filter<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, BatchNormTrainBackward<B>) {
    let between = B::norm_by(norm.clone());
    let weight = filter.clone().weight_grad(between.clone(), grad.clone());
    norm.output = B::keeps_output(&norm.input).then_some(between);
    // Of an image of this size only the size is needed.
    let grad = filter.input_grad(norm.input.clone(), grad);
    (weight, B::norm_grads(norm, grad))
}

pub(super) fn pool<B: Backend>(input: FloatTensor<B>) -> FloatTensor<B> {
    B::max_pool2d(input, [2, 2], [2, 2], [0, 0], [1, 1], false)
}

pub(super) fn pool_grad<B: Backend>(input: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let integers = burn::backend::get_or_init_device_settings::<B>(&input.device()).int_dtype;
    let pooled = B::max_pool2d_with_indices(
        input.clone(),
        [2, 2],
        [2, 2],
        [0, 0],
        [1, 1],
        false,
        integers,
    );
    B::max_pool2d_with_indices_backward(
        input,
        [2, 2],
        [2, 2],
        [0, 0],
        [1, 1],
        false,
        grad,
        pooled.indices,
    )
    .x_grad
}
