//! Gradients of the operations.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::operands::{Filter, Joined, NormState, Source};
use super::{Kernels, LayerOps, composed};

/// Backward of a convolution.
#[derive(Debug)]
struct Conv;
/// Backward of a transposed convolution.
#[derive(Debug)]
struct UpConv;
/// Backward of a batch normalisation.
#[derive(Debug)]
struct Norm;
/// Backward of a batch normalisation with ReLU and a convolution behind it.
#[derive(Debug)]
struct NormConv;
/// Backward of a convolution of two images whose channels follow one another.
#[derive(Debug)]
struct JoinedConv;
/// Backward of a pooling.
#[derive(Debug)]
struct Pool;

/// What the gradients of a convolution need.
#[derive(Clone, Debug)]
struct ConvState<B: Backend> {
    input: FloatTensor<B>,
    filter: Filter<B>,
}

impl<B: Kernels> Backward<B, 3> for Conv {
    type State = ConvState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ConvState { input, filter } = ops.state;
        let [input_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::bias_grad(grad.clone()));
        }
        if let Some(node) = weight_node {
            let value = filter.clone().weight_grad(input.clone(), grad.clone());
            grads.register::<B>(node.id, value);
        }
        if let Some(node) = input_node {
            grads.register::<B>(node.id, filter.input_grad(input, grad));
        }
    }
}

/// A convolution, of volumes of `depth` slices where it is given.
fn conv<B: Kernels, C: CheckpointStrategy>(
    [input, weight]: [FloatTensor<Autodiff<B, C>>; 2],
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    depth: Option<usize>,
) -> FloatTensor<Autodiff<B, C>> {
    let (input, input_node) = input.into_parts();
    let (filter, nodes) = filter::<B, C>(weight, bias, depth);
    let output = filter.clone().conv(input.clone());
    let [weight_node, bias_node] = nodes;
    let nodes = [input_node, weight_node, bias_node];
    match Conv.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(ConvState { input, filter }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// What a convolution holds, and the nodes of weight and bias.
fn filter<B: Kernels, C: CheckpointStrategy>(
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    depth: Option<usize>,
) -> (Filter<B>, [NodeGuard; 2]) {
    // Where there is no bias, no gradient is asked for: a node that tracks none stands in.
    let none = || FloatTensor::<Autodiff<B, C>>::new(weight.primitive().clone()).node();
    let bias_node = bias.as_ref().map_or_else(none, |bias| bias.node());
    let weight_node = weight.node();
    let filter = Filter {
        weight: weight.into_primitive(),
        bias: bias.map(|bias| bias.into_primitive()),
        depth,
    };
    (filter, [weight_node, bias_node])
}

impl<B: Kernels> Backward<B, 3> for UpConv {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [input, weight] = ops.state;
        let [input_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::bias_grad(grad.clone()));
        }
        let needed = [input_node.is_some(), weight_node.is_some()];
        let values = B::up_grads(input, weight, grad, needed);
        for (node, value) in [input_node, weight_node].into_iter().zip(values) {
            if let (Some(node), Some(value)) = (node, value) {
                grads.register::<B>(node.id, value);
            }
        }
    }
}

impl<B: Kernels> Backward<B, 3> for Norm {
    type State = NormState<B>;

    fn backward(self, ops: Ops<NormState<B>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let values = B::norm_grads(ops.state, grad);
        let values = [values.x_grad, values.gamma_grad, values.beta_grad];
        for (node, value) in ops.parents.into_iter().zip(values) {
            if let Some(node) = node {
                grads.register::<B>(node.id, value);
            }
        }
    }
}

/// What the gradients of a normalisation with a convolution behind it need.
#[derive(Clone, Debug)]
struct NormConvState<B: Backend> {
    norm: NormState<B>,
    filter: Filter<B>,
}

impl<B: Kernels> Backward<B, 5> for NormConv {
    type State = NormConvState<B>;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let NormConvState { norm, filter } = ops.state;
        let [input_node, gamma_node, beta_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::bias_grad(grad.clone()));
        }
        let (weight, norm) = B::norm_conv_grads(norm, filter, grad);
        let nodes = [weight_node, input_node, gamma_node, beta_node];
        let values = [weight, norm.x_grad, norm.gamma_grad, norm.beta_grad];
        for (node, value) in nodes.into_iter().zip(values) {
            if let Some(node) = node {
                grads.register::<B>(node.id, value);
            }
        }
    }
}

/// Batch normalisation and ReLU, then a [`conv`].
fn norm_conv<B: Kernels, C: CheckpointStrategy>(
    [input, gamma, beta, weight]: [FloatTensor<Autodiff<B, C>>; 4],
    bias: Option<FloatTensor<Autodiff<B, C>>>,
    epsilon: f64,
    depth: Option<usize>,
) -> [FloatTensor<Autodiff<B, C>>; 3] {
    let (input, input_node) = input.into_parts();
    let (gamma, gamma_node) = gamma.into_parts();
    let (beta, beta_node) = beta.into_parts();
    let (filter, [weight_node, bias_node]) = filter::<B, C>(weight, bias, depth);
    let norm = B::norm_conv(
        input.clone(),
        gamma.clone(),
        beta.clone(),
        epsilon,
        filter.clone(),
    );
    let nodes = [input_node, gamma_node, beta_node, weight_node, bias_node];
    let output = match NormConv.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let state = NormState {
                input,
                gamma,
                beta,
                mean: norm.mean.clone(),
                variance: norm.variance.clone(),
                epsilon,
                relu: true,
                output: None,
            };
            prep.finish(
                NormConvState {
                    norm: state,
                    filter,
                },
                norm.output,
            )
        }
        OpsKind::UnTracked(prep) => prep.finish(norm.output),
    };
    let [mean, variance] = [norm.mean, norm.variance].map(FloatTensor::<Autodiff<B, C>>::new);
    [output, mean, variance]
}

/// What the gradients of a convolution of two images need.
#[derive(Clone, Debug)]
struct JoinedConvState<B: Backend> {
    joined: Joined<B>,
    filter: Filter<B>,
}

impl<B: Kernels> Backward<B, 3> for JoinedConv {
    type State = JoinedConvState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let JoinedConvState { joined, filter } = ops.state;
        let [first_node, second_node, weight_node] = ops.parents;
        if let Some(node) = weight_node {
            let value = B::joined_weight_grad(joined.clone(), filter.clone(), grad.clone());
            grads.register::<B>(node.id, value);
        }
        let mut start = 0;
        let inputs = [joined.first.alike().clone(), joined.second];
        for (node, input) in [first_node, second_node].into_iter().zip(inputs) {
            let count = input.shape()[1];
            if let Some(node) = node {
                let filter = filter.of_channels(start, count);
                grads.register::<B>(node.id, filter.input_grad(input, grad.clone()));
            }
            start += count;
        }
    }
}

/// Convolution of two images whose channels follow one another; `source` is what the gradients know
/// of the first.
fn joined_conv<B: Kernels, C: CheckpointStrategy>(
    [first, second, weight]: [FloatTensor<Autodiff<B, C>>; 3],
    source: Source<B>,
    depth: Option<usize>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [first.node(), second.node(), weight.node()];
    let filter = Filter::<B> {
        weight: weight.primitive().clone(),
        bias: None,
        depth,
    };
    let joined = Joined {
        first: Source::Image(first.primitive().clone()),
        second: second.primitive().clone(),
    };
    let Some(output) = B::joined_conv(&joined, &filter) else {
        drop(joined);
        let whole = Autodiff::<B, C>::float_cat(vec![first, second], 1);
        return conv::<B, C>([whole, weight], None, depth);
    };
    let joined = Joined {
        first: source,
        ..joined
    };
    match JoinedConv.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(JoinedConvState { joined, filter }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl<B: Kernels> Backward<B, 1> for Pool {
    type State = B::Pooled;

    fn backward(self, ops: Ops<B::Pooled, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::pool_grad(ops.state, grad));
        }
    }
}

impl<B: Kernels, C: CheckpointStrategy> LayerOps for Autodiff<B, C> {
    fn same_conv2d(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        conv::<B, C>([input, weight], None, None)
    }

    fn same_conv2d_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        conv::<B, C>([input, weight], Some(bias), None)
    }

    fn same_conv3d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        depth: usize,
    ) -> FloatTensor<Self> {
        conv::<B, C>([input, weight], None, Some(depth))
    }

    fn up_conv2d(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (input, input_node) = input.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let output = B::up(input.clone(), weight.clone(), bias);
        let nodes = [input_node, weight_node, bias_node];
        match UpConv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([input, weight], output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn norm_by_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (input, input_node) = input.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let (beta, beta_node) = beta.into_parts();
        let norm = B::norm(input.clone(), gamma.clone(), beta.clone(), epsilon, relu);
        let nodes = [input_node, gamma_node, beta_node];
        let output = match Norm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = B::keeps_output(&input).then(|| norm.output.clone());
                let state = NormState {
                    input,
                    gamma,
                    beta,
                    mean: norm.mean.clone(),
                    variance: norm.variance.clone(),
                    epsilon,
                    relu,
                    output,
                };
                prep.finish(state, norm.output)
            }
            OpsKind::UnTracked(prep) => prep.finish(norm.output),
        };
        (
            output,
            FloatTensor::<Self>::new(norm.mean),
            FloatTensor::<Self>::new(norm.variance),
        )
    }

    fn norm_relu_conv(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        depth: Option<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm_conv::<B, C>([input, gamma, beta, weight], None, epsilon, depth).into()
    }

    fn norm_relu_conv_bias(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm_conv::<B, C>([input, gamma, beta, weight], Some(bias), epsilon, None).into()
    }

    fn joined_conv(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        depth: Option<usize>,
    ) -> FloatTensor<Self> {
        let source = Source::Image(first.primitive().clone());
        joined_conv::<B, C>([first, second, weight], source, depth)
    }

    fn norm_joined_conv(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        input: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        epsilon: f64,
        depth: Option<usize>,
    ) -> FloatTensor<Self> {
        let (input, norm) = (input.into_primitive(), norm.into_primitive());
        let source = Source::Norm(NormState::given(input, norm, epsilon));
        joined_conv::<B, C>([first, second, weight], source, depth)
    }

    fn norm_by_statistics(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self> {
        // Rare in training (a frozen layer): burn's operations with burn's gradients.
        composed::norm_by::<Self>(NormState {
            input,
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            relu,
            output: None,
        })
    }

    fn conv2d_norm_relu(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let input = Self::same_conv2d(input, weight);
        Self::norm_by_statistics(input, gamma, beta, mean, variance, epsilon, true)
    }

    fn joined_conv2d_norm_relu(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        norm: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let input = <Self as LayerOps>::joined_conv(first, second, weight, None);
        composed::norm_by::<Self>(NormState::given(input, norm, epsilon))
    }

    fn pool_max(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let (input, node) = input.into_parts();
        match Pool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (output, pooled) = B::pool_keeping(input);
                prep.finish(pooled, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::pool(input)),
        }
    }
}
