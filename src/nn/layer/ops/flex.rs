//! The CPU device: kernels of [`cpu`](super::super::cpu) for `f32`, burn's own for other types.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, TensorData};

use super::super::cpu::conv::{self, ConvShape};
use super::{Kernels, LayerOps, composed};

/// The numbers of a tensor in order, or nothing where they are not `f32`.
struct Numbers(FlexTensor);

impl Numbers {
    fn new(tensor: &FlexTensor) -> Option<Self> {
        (tensor.dtype() == DType::F32).then(|| Self(tensor.to_contiguous()))
    }

    fn get(&self) -> &[f32] {
        // Contiguous and of this type, so there always is a slice.
        self.0.as_slice().unwrap_or_default()
    }
}

fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}

/// Shape of the convolution of `images` (its input or its output) with `weight`; nothing where
/// the kernels do not cover it.
fn conv_shape(images: &FlexTensor, weight: &FlexTensor) -> Option<ConvShape> {
    let &[batch, _, height, width] = &images.layout().shape()[..] else {
        return None;
    };
    let &[outputs, inputs, kernel, columns] = &weight.layout().shape()[..] else {
        return None;
    };
    let shape = ConvShape {
        batch,
        inputs,
        outputs,
        height,
        width,
        kernel,
    };
    (kernel == columns && (kernel == 1 || kernel == 3)).then_some(shape)
}

impl Kernels for Flex {
    fn conv(input: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
        let (Some(shape), Some(x), Some(w)) = (
            conv_shape(&input, &weight),
            Numbers::new(&input),
            Numbers::new(&weight),
        ) else {
            return composed::conv::<Self>(input, weight, bias);
        };
        let bias = bias.as_ref().and_then(Numbers::new);
        let bias = bias.as_ref().map(Numbers::get);
        let output = conv::forward(x.get(), w.get(), bias, &shape);
        tensor(
            output,
            [shape.batch, shape.outputs, shape.height, shape.width],
        )
    }

    fn conv_input_grad(input: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (Some(shape), Some(w), Some(dy)) = (
            conv_shape(&input, &weight),
            Numbers::new(&weight),
            Numbers::new(&grad),
        ) else {
            return composed::conv_input_grad::<Self>(input, weight, grad);
        };
        let output = conv::input_grad(dy.get(), w.get(), &shape);
        tensor(
            output,
            [shape.batch, shape.inputs, shape.height, shape.width],
        )
    }

    fn conv_weight_grad(input: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (Some(shape), Some(x), Some(dy)) = (
            conv_shape(&input, &weight),
            Numbers::new(&input),
            Numbers::new(&grad),
        ) else {
            return composed::conv_weight_grad::<Self>(input, weight, grad);
        };
        let output = conv::weight_grad(x.get(), dy.get(), &shape);
        tensor(
            output,
            [shape.outputs, shape.inputs, shape.kernel, shape.kernel],
        )
    }
}

impl LayerOps for Flex {
    fn same_conv2d(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv(input, weight, None)
    }

    fn same_conv2d_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv(input, weight, Some(bias))
    }
}
