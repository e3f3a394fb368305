//! What the operations of a device work on, on plain tensors.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

use super::Kernels;

/// Input and parameters of a batch normalisation, and the statistics that it uses.
#[derive(Clone, Debug)]
pub struct NormState<B: Backend> {
    /// `[n, c, h, w]`.
    pub input: FloatTensor<B>,
    /// Scale, `[c]`.
    pub gamma: FloatTensor<B>,
    /// Shift, `[c]`.
    pub beta: FloatTensor<B>,
    /// Mean, `[c]`.
    pub mean: FloatTensor<B>,
    /// Biased variance, `[c]`.
    pub variance: FloatTensor<B>,
    /// Added to the variance.
    pub epsilon: f64,
    /// ReLU behind it.
    pub relu: bool,
    /// What came out, where the kernels keep it ([`Kernels::keeps_output`]).
    pub output: Option<FloatTensor<B>>,
}

impl<B: Backend> NormState<B> {
    /// A normalisation with ReLU of which `norm` `[4, c]` holds scale, shift, mean and biased variance.
    pub fn given(input: FloatTensor<B>, norm: FloatTensor<B>, epsilon: f64) -> Self {
        let channels = norm.shape()[1];
        let row = |i: isize| {
            let row = [Slice::new(i, Some(i + 1), 1), Slice::new(0, None, 1)];
            B::float_reshape(B::float_slice(norm.clone(), &row), Shape::new([channels]))
        };
        Self {
            input,
            gamma: row(0),
            beta: row(1),
            mean: row(2),
            variance: row(3),
            epsilon,
            relu: true,
            output: None,
        }
    }
}

/// A convolution, but for what it reads.
#[derive(Clone, Debug)]
pub struct Filter<B: Backend> {
    /// `[out, in, k, k]`, of volumes `[out, in, 3, 3, 3]`.
    pub weight: FloatTensor<B>,
    /// `[out]`; of images only.
    pub bias: Option<FloatTensor<B>>,
    /// Slices of a volume, where it is one of volumes.
    pub depth: Option<usize>,
}

impl<B: Kernels> Filter<B> {
    /// Of images.
    pub fn new(weight: FloatTensor<B>, bias: Option<FloatTensor<B>>) -> Self {
        Self {
            weight,
            bias,
            depth: None,
        }
    }

    /// The same of volumes of `depth` slices.
    pub fn of_volumes(self, depth: usize) -> Self {
        Self {
            depth: Some(depth),
            ..self
        }
    }

    /// Its output.
    pub fn conv(self, input: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv(input, self.weight, self.bias),
            Some(depth) => B::volume_conv(input, self.weight, depth),
        }
    }

    /// Its output for two images whose channels follow one another.
    pub fn joined_conv(self, joined: Joined<B>) -> FloatTensor<B> {
        B::joined_conv(&joined, &self).unwrap_or_else(|| self.conv(joined.whole()))
    }

    /// Gradient of its weight.
    pub fn weight_grad(self, input: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv_weight_grad(input, self.weight, grad),
            Some(depth) => B::volume_conv_weight_grad(input, self.weight, grad, depth),
        }
    }

    /// Gradient of its input, of which only the sizes matter.
    pub fn input_grad(self, input: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        match self.depth {
            None => B::conv_input_grad(input, self.weight, grad),
            Some(depth) => {
                drop(input);
                B::volume_conv_input_grad(self.weight, grad, depth)
            }
        }
    }

    /// The part of it that reads `count` channels from `start` on.
    pub fn of_channels(&self, start: usize, count: usize) -> Self {
        let part = Slice::new(start as isize, Some((start + count) as isize), 1);
        let mut slices = vec![Slice::new(0, None, 1); self.weight.shape().num_dims()];
        slices[1] = part;
        Self {
            weight: B::float_slice(self.weight.clone(), &slices),
            bias: None,
            depth: self.depth,
        }
    }
}

/// An image, or what makes it.
#[derive(Clone, Debug)]
pub enum Source<B: Backend> {
    /// `[n, c, h, w]`.
    Image(FloatTensor<B>),
    /// A normalisation by given statistics.
    Norm(NormState<B>),
}

impl<B: Kernels> Source<B> {
    /// The image.
    pub fn image(self) -> FloatTensor<B> {
        match self {
            Self::Image(image) => image,
            Self::Norm(state) => B::norm_by(state),
        }
    }

    /// A tensor of the shape of the image.
    pub fn alike(&self) -> &FloatTensor<B> {
        match self {
            Self::Image(image) => image,
            Self::Norm(state) => &state.input,
        }
    }
}

/// Two images whose channels follow one another.
#[derive(Clone, Debug)]
pub struct Joined<B: Backend> {
    /// The first channels.
    pub first: Source<B>,
    /// Those behind them, `[n, c, h, w]`.
    pub second: FloatTensor<B>,
}

impl<B: Kernels> Joined<B> {
    /// As one image.
    pub fn whole(self) -> FloatTensor<B> {
        B::float_cat(vec![self.first.image(), self.second], 1)
    }
}
