//! Gradients of the operations.

use burn::backend::Autodiff;
use burn::backend::Backend;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{Kernels, LayerOps};

/// Backward of a convolution; parents are input and weight, and bias where there is one.
#[derive(Debug)]
struct Conv;

/// Input and weight, then the bias where there is one.
#[derive(Clone, Debug)]
struct ConvState<B: Backend> {
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
}

impl<B: Kernels> Backward<B, 2> for Conv {
    type State = ConvState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let ConvState { input, weight, .. } = ops.state;
        let [input_node, weight_node] = ops.parents;
        if let Some(node) = weight_node {
            let value = B::conv_weight_grad(input.clone(), weight.clone(), grad.clone());
            grads.register::<B>(node.id, value);
        }
        if let Some(node) = input_node {
            grads.register::<B>(node.id, B::conv_input_grad(input, weight, grad));
        }
    }
}

impl<B: Kernels> Backward<B, 3> for Conv {
    type State = ConvState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let ConvState {
            input,
            weight,
            bias,
        } = ops.state;
        let [input_node, weight_node, bias_node] = ops.parents;
        if let (Some(node), Some(bias)) = (bias_node, bias) {
            let value = B::conv_bias_grad(input.clone(), bias, grad.clone());
            grads.register::<B>(node.id, value);
        }
        if let Some(node) = weight_node {
            let value = B::conv_weight_grad(input.clone(), weight.clone(), grad.clone());
            grads.register::<B>(node.id, value);
        }
        if let Some(node) = input_node {
            grads.register::<B>(node.id, B::conv_input_grad(input, weight, grad));
        }
    }
}

impl<B: Kernels, C: CheckpointStrategy> LayerOps for Autodiff<B, C> {
    fn same_conv2d(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (input, input_node) = input.into_parts();
        let (weight, weight_node) = weight.into_parts();
        match Backward::<B, 2>::prepare::<C>(Conv, [input_node, weight_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let output = B::conv(input.clone(), weight.clone(), None);
                let state = ConvState {
                    input,
                    weight,
                    bias: None,
                };
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::conv(input, weight, None)),
        }
    }

    fn same_conv2d_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (input, input_node) = input.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        match Backward::<B, 3>::prepare::<C>(Conv, [input_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let output = B::conv(input.clone(), weight.clone(), Some(bias.clone()));
                let state = ConvState {
                    input,
                    weight,
                    bias: Some(bias),
                };
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::conv(input, weight, Some(bias))),
        }
    }
}
