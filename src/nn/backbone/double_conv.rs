//! Two convolutions with normalisation and ReLU: the block of the U-Net.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, Feature, NormLayer};
use crate::options::Norm;

/// `conv3x3 - norm - ReLU`, twice.
#[derive(Module, Debug)]
pub struct DoubleConv {
    /// First convolution, without bias: the shift of the normalisation does its work.
    pub conv1: Conv2d,
    /// First normalisation.
    pub bn1: NormLayer,
    /// Second convolution, without bias.
    pub conv2: Conv2d,
    /// Second normalisation.
    pub bn2: NormLayer,
}

impl DoubleConv {
    /// A block from `inputs` to `outputs` channels.
    pub fn init(init: &mut Initialiser, norm: Norm, inputs: usize, outputs: usize) -> Self {
        Self {
            conv1: Conv2d::init(init, inputs, outputs, 3, false),
            bn1: NormLayer::init(init, norm, outputs),
            conv2: Conv2d::init(init, outputs, outputs, 3, false),
            bn2: NormLayer::init(init, norm, outputs),
        }
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h, w]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if input.device().is_autodiff() {
            return self.forward_observed(input, &mut |_, _| ());
        }
        let x = self.bn1.conv_forward_relu(&self.conv1, input);
        self.bn2.conv_forward_relu(&self.conv2, x)
    }

    /// [`DoubleConv::forward`]; `observe` sees each normalisation with its input before it runs.
    pub fn forward_observed(
        &self,
        input: Tensor<4>,
        observe: &mut dyn FnMut(&NormLayer, &Tensor<4>),
    ) -> Tensor<4> {
        self.bn2.forward_relu(self.before_last(input, observe))
    }

    /// [`DoubleConv::forward`], with what the output came of in training.
    #[must_use]
    pub fn feature(&self, input: Tensor<4>) -> Feature {
        if input.device().is_autodiff() {
            return self.bn2.feature(self.before_last(input, &mut |_, _| ()));
        }
        self.forward(input).into()
    }

    /// What the second normalisation sees.
    fn before_last(
        &self,
        input: Tensor<4>,
        observe: &mut dyn FnMut(&NormLayer, &Tensor<4>),
    ) -> Tensor<4> {
        let x = self.conv1.forward(input);
        observe(&self.bn1, &x);
        let x = self.bn1.forward_relu_conv(x, &self.conv2);
        observe(&self.bn2, &x);
        x
    }

    /// [`DoubleConv::forward`] of two images whose channels follow one another, then `last` where it
    /// is given. Neither the two together nor, in training, what goes into `last` is kept where that
    /// can be had.
    #[must_use]
    pub fn forward_joined(
        &self,
        first: Feature,
        second: Tensor<4>,
        last: Option<&Conv2d>,
    ) -> Tensor<4> {
        if !second.device().is_autodiff() {
            let x = self
                .bn1
                .joined_conv_forward_relu(&self.conv1, first, second);
            let x = self.bn2.conv_forward_relu(&self.conv2, x);
            return match last {
                None => x,
                Some(last) => last.forward(x),
            };
        }
        let x = self.conv1.forward_joined(first, second);
        let x = self.bn1.forward_relu_conv(x, &self.conv2);
        match last {
            None => self.bn2.forward_relu(x),
            Some(last) => self.bn2.forward_relu_conv(x, last),
        }
    }
}
