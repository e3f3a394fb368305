//! Convolutions of `f32`.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::super::operands::{Filter, Joined, NormState, Source};
use super::super::volume;
use super::norm;
use super::{Numbers, sizes, tensor};
use crate::nn::layer::cpu::batch_norm::Planes;
use crate::nn::layer::cpu::conv::{self, ConvShape};
use crate::nn::layer::cpu::input::{Images, Input};
use crate::nn::layer::cpu::map::Affine;
use crate::nn::layer::cpu::shuffle::{ShuffleShape, shuffle, unshuffle};

/// A convolution and what it reads, as the kernels take them.
pub(super) struct Convolution {
    /// Images, and how many channels they have.
    first: (Numbers, usize),
    second: Option<(Numbers, usize)>,
    /// What is done to the channels of the first images on the way.
    maps: Vec<Affine>,
    weight: Numbers,
    shape: ConvShape,
    depth: Option<usize>,
}

impl Convolution {
    /// Of images alone, or of two whose channels follow one another. Nothing where the kernels do not
    /// cover it or the sizes do not fit (burn's operation then says so).
    pub(super) fn new(
        first: &FlexTensor,
        second: Option<&FlexTensor>,
        filter: &Filter<Flex>,
    ) -> Option<Self> {
        let [batch, channels, height, width] = sizes(first)?;
        let mut inputs = channels;
        let first = (Numbers::new(first)?, channels);
        let second = match second {
            None => None,
            Some(second) => {
                let [count, channels, rows, columns] = sizes(second)?;
                if [count, rows, columns] != [batch, height, width] {
                    return None;
                }
                inputs += channels;
                Some((Numbers::new(second)?, channels))
            }
        };
        let weight = match filter.depth {
            None => filter.weight.clone(),
            Some(depth) => {
                let fits = depth > 0 && batch.is_multiple_of(depth);
                if !fits || filter.weight.shape().num_dims() != 5 {
                    return None;
                }
                inputs *= 3;
                volume::flat::<Flex>(filter.weight.clone())
            }
        };
        let [outputs, rows, kernel, columns] = sizes(&weight)?;
        let covered = inputs == rows && kernel == columns && (kernel == 1 || kernel == 3);
        covered.then_some(Self {
            first,
            second,
            maps: Vec::new(),
            weight: Numbers::new(&weight)?,
            shape: ConvShape {
                batch,
                inputs,
                outputs,
                height,
                width,
                kernel,
            },
            depth: filter.depth,
        })
    }

    /// Of what lies behind a normalisation by given statistics.
    pub(super) fn behind(norm: &NormState<Flex>, filter: &Filter<Flex>) -> Option<Self> {
        let conv = Self::new(&norm.input, None, filter)?;
        Some(conv.mapped(norm::maps(norm)?))
    }

    /// Of two images whose channels follow one another.
    pub(super) fn joined(joined: &Joined<Flex>, filter: &Filter<Flex>) -> Option<Self> {
        let conv = Self::new(joined.first.alike(), Some(&joined.second), filter)?;
        match &joined.first {
            Source::Image(_) => Some(conv),
            Source::Norm(state) => Some(conv.mapped(norm::maps(state)?)),
        }
    }

    /// With the channels of the first images mapped on the way.
    pub(super) fn mapped(self, maps: Vec<Affine>) -> Self {
        Self { maps, ..self }
    }

    fn input(&self) -> Input<'_> {
        Input {
            first: Images {
                maps: &self.maps,
                ..Images::new(self.first.0.get(), self.first.1)
            },
            second: self
                .second
                .as_ref()
                .map(|(numbers, channels)| Images::new(numbers.get(), *channels)),
            depth: self.depth,
        }
    }

    /// The output.
    pub(super) fn forward(&self, bias: Option<&FlexTensor>) -> Option<FlexTensor> {
        let bias = match bias {
            Some(bias) => Some(Numbers::new(bias)?),
            None => None,
        };
        let bias = bias.as_ref().map(Numbers::get);
        let ConvShape {
            batch,
            outputs,
            height,
            width,
            ..
        } = self.shape;
        let output = conv::forward(&self.input(), self.weight.get(), bias, &self.shape);
        Some(tensor(output, [batch, outputs, height, width]))
    }

    /// Gradient of the weight, in the shape of the weight.
    pub(super) fn weight_grad(&self, grad: &FlexTensor) -> Option<FlexTensor> {
        let dy = Numbers::new(grad)?;
        let ConvShape {
            inputs,
            outputs,
            kernel,
            ..
        } = self.shape;
        let found = conv::weight_grad(&self.input(), dy.get(), &self.shape);
        let found = tensor(found, [outputs, inputs, kernel, kernel]);
        Some(match self.depth {
            None => found,
            Some(_) => volume::solid::<Flex>(found),
        })
    }
}

/// Gradient of an input; the input back where the kernels do not cover it.
pub(super) fn input_grad(
    input: FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
) -> Result<FlexTensor, FlexTensor> {
    let filter = Filter {
        weight: weight.clone(),
        bias: None,
        depth: None,
    };
    let (Some(Convolution { weight, shape, .. }), Some(dy)) =
        (Convolution::new(&input, None, &filter), Numbers::new(grad))
    else {
        return Err(input);
    };
    // It may be the last to hold the input, which need not stay beside its gradient.
    drop(input);
    Ok(tensor(
        conv::input_grad(dy.get(), weight.get(), &shape),
        [shape.batch, shape.inputs, shape.height, shape.width],
    ))
}

pub(super) fn bias_grad(grad: &FlexTensor) -> Option<FlexTensor> {
    let planes = Planes::of(sizes(grad)?);
    let dy = Numbers::new(grad)?;
    Some(tensor(planes.channel_sums(dy.get()), [planes.channels]))
}

/// A transposed convolution of kernel 2 and stride 2 as a convolution of kernel 1 to four times
/// the channels, and the shuffle behind it.
fn up_shape(input: &FlexTensor, weight: &FlexTensor) -> Option<(ConvShape, ShuffleShape)> {
    let [batch, inputs, height, width] = sizes(input)?;
    let [rows, outputs, 2, 2] = sizes(weight)? else {
        return None;
    };
    if rows != inputs {
        return None;
    }
    let conv = ConvShape {
        batch,
        inputs,
        outputs: 4 * outputs,
        height,
        width,
        kernel: 1,
    };
    let shuffle = ShuffleShape { height, width };
    Some((conv, shuffle))
}

pub(super) fn up(input: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> Option<FlexTensor> {
    let (conv, shape) = up_shape(input, weight)?;
    let (x, w, b) = (
        Numbers::new(input)?,
        Numbers::new(weight)?,
        Numbers::new(bias)?,
    );
    let bias: Vec<f32> = b.get().iter().flat_map(|b| [*b; 4]).collect();
    let weight = conv::turn(w.get(), conv.inputs, conv.outputs);
    let input = Input::of(Images::new(x.get(), conv.inputs));
    let tiles = conv::forward(&input, &weight, Some(&bias), &conv);
    Some(tensor(
        shuffle(&tiles, &shape),
        [
            conv.batch,
            conv.outputs / 4,
            2 * conv.height,
            2 * conv.width,
        ],
    ))
}

pub(super) fn up_grads(
    input: &FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
    [input_needed, weight_needed]: [bool; 2],
) -> Option<[Option<FlexTensor>; 2]> {
    let (conv, shape) = up_shape(input, weight)?;
    let (x, w, dy) = (
        Numbers::new(input)?,
        Numbers::new(weight)?,
        Numbers::new(grad)?,
    );
    let tiles = unshuffle(dy.get(), &shape);
    // Backwards: from four times the outputs to the inputs, with the weight as it lies.
    let back = ConvShape {
        inputs: conv.outputs,
        outputs: conv.inputs,
        ..conv
    };
    let tiles = Input::of(Images::new(&tiles, back.inputs));
    let input_grad = input_needed.then(|| {
        tensor(
            conv::forward(&tiles, w.get(), None, &back),
            [back.batch, back.outputs, back.height, back.width],
        )
    });
    let weight_grad = weight_needed.then(|| {
        tensor(
            conv::weight_grad(&tiles, x.get(), &back),
            [back.outputs, back.inputs / 4, 2, 2],
        )
    });
    Some([input_grad, weight_grad])
}
