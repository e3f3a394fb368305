//! AdamW, Adam, stochastic gradient descent and LARS with their state in our hands.
//!
//! burn's arithmetic per parameter, but not burn's `ModuleOptimizer`: that one restores its state
//! through the default device of the build, which need not be the device of the run, and clips
//! gradients per tensor where the global norm is meant. Nor burn's `Sgd`, which hides its velocity
//! from checkpoints.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::nn::update::{Adamw, adamw};
use crate::nn::weights::{Array, ModulePath, Weights, host_values};
use crate::options::{OptimiserKind, OptimiserOptions};

/// An optimiser over all parameters of a module; parameters of one dimension (biases,
/// normalisation) are not decayed.
pub struct Optimiser {
    options: OptimiserOptions,
    first: GradientsParams,
    second: GradientsParams,
    steps: HashMap<ParamId, usize>,
}

/// State of an optimiser by parameter name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// First moments, or velocities.
    pub first: Weights,
    /// Second moments, where the rule has them.
    pub second: Weights,
    /// Updates that each parameter has seen.
    pub steps: BTreeMap<String, usize>,
}

impl Optimiser {
    /// An optimiser without state.
    #[must_use]
    pub fn new(options: &OptimiserOptions) -> Self {
        Self {
            options: options.clone(),
            first: GradientsParams::new(),
            second: GradientsParams::new(),
            steps: HashMap::new(),
        }
    }

    /// Makes the moments of Adam's rules before the first step, where they start at zero: beside the
    /// parameters, and not in the gaps that the first step leaves in memory, which later steps need.
    pub fn reserve<M: Module>(&mut self, module: &M) {
        if matches!(
            self.options.kind,
            OptimiserKind::Adamw | OptimiserKind::Adam
        ) {
            module.visit(&mut Reserve { optimiser: self });
        }
    }

    /// One update of `module` at learning rate `lr`.
    #[must_use]
    pub fn step<M: Module>(&mut self, lr: f64, module: M, mut gradients: GradientsParams) -> M {
        let clip_norm = self.options.clip_norm;
        let scale = if clip_norm > 0.0 {
            global_scale(&module, &gradients, clip_norm)
        } else {
            None
        };
        module.map(&mut Step {
            optimiser: self,
            gradients: &mut gradients,
            scale,
            lr,
        })
    }

    /// State by parameter name, on the host.
    #[must_use]
    pub fn export<M: Module>(&self, module: &M) -> Moments {
        let mut export = Export {
            path: ModulePath::default(),
            optimiser: self,
            moments: Moments::default(),
        };
        module.visit(&mut export);
        export.moments
    }

    /// Takes state back for the parameters of `module`. Names that it does not have are ignored;
    /// arrays that do not fit their parameter are refused.
    ///
    /// # Errors
    /// The name of the parameter whose state does not fit.
    pub fn import<M: Module>(&mut self, module: &M, moments: &Moments) -> Result<(), String> {
        let mut import = Import {
            path: ModulePath::default(),
            optimiser: self,
            moments,
            misfit: None,
        };
        module.visit(&mut import);
        import.misfit.map_or(Ok(()), Err)
    }
}

/// Takes the gradients of the `frozen` parameters away: the optimiser then leaves them, and their
/// moments, as they are. A gradient of zero would still decay and move them.
pub(super) fn drop_gradients<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    frozen: &[ParamId],
) {
    struct Drop<'a> {
        gradients: &'a mut GradientsParams,
        frozen: &'a [ParamId],
    }
    impl ModuleVisitor for Drop<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.frozen.contains(&param.id) {
                self.gradients.remove::<D>(param.id);
            }
        }
    }
    if !frozen.is_empty() {
        module.visit(&mut Drop { gradients, frozen });
    }
}

/// Factor `min(1, clip / norm)` that brings the norm of all gradients together down to `clip`, a
/// tensor of one value; no synchronisation.
fn global_scale<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    clip: f64,
) -> Option<Tensor<1>> {
    struct Squares<'a> {
        gradients: &'a GradientsParams,
        sum: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let squares = gradient.square().sum();
                self.sum = Some(match self.sum.take() {
                    Some(sum) => sum + squares,
                    None => squares,
                });
            }
        }
    }
    let mut squares = Squares {
        gradients,
        sum: None,
    };
    module.visit(&mut squares);
    let norm = squares.sum?.sqrt();
    Some(
        norm.add_scalar(1e-6)
            .recip()
            .mul_scalar(clip)
            .clamp_max(1.0),
    )
}

struct Step<'a> {
    optimiser: &'a mut Optimiser,
    gradients: &'a mut GradientsParams,
    scale: Option<Tensor<1>>,
    lr: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(mut gradient) = self.gradients.remove::<D>(id) else {
            return param;
        };
        if let Some(scale) = &self.scale {
            gradient = gradient * scale.clone().reshape([1; D]);
        }
        let lr = self.lr;
        let optimiser = &mut *self.optimiser;
        param.map(|tensor| {
            let trains = tensor.is_require_grad();
            let updated = optimiser.update(id, lr, tensor.inner(), gradient);
            updated.autodiff().set_require_grad(trains)
        })
    }
}

impl Optimiser {
    /// The next value of the parameter `id`; its state goes on with it.
    fn update<const D: usize>(
        &mut self,
        id: ParamId,
        lr: f64,
        value: Tensor<D>,
        gradient: Tensor<D>,
    ) -> Tensor<D> {
        let first = self.first.remove::<D>(id);
        let second = self.second.remove::<D>(id);
        let step = self.steps.get(&id).copied().unwrap_or(0) + 1;
        self.steps.insert(id, step);
        let options = &self.options;
        let weight_decay = if D == 1 { 0.0 } else { options.weight_decay };
        // AdamW alone decays apart from the gradient.
        let gradient = if weight_decay > 0.0 && options.kind != OptimiserKind::Adamw {
            gradient + value.clone().mul_scalar(weight_decay)
        } else {
            gradient
        };
        match options.kind {
            OptimiserKind::Adamw | OptimiserKind::Adam => {
                let moments = first.zip(second).map(|(first, second)| [first, second]);
                let rule = Adamw {
                    lr,
                    betas: options.betas,
                    epsilon: options.eps,
                    weight_decay: if options.kind == OptimiserKind::Adamw {
                        weight_decay
                    } else {
                        0.0
                    },
                    step,
                };
                let (updated, [first, second]) = adamw(value, gradient, moments, rule);
                self.first.register(id, first);
                self.second.register(id, second);
                updated
            }
            OptimiserKind::Sgd | OptimiserKind::Lars => {
                let gradient = if options.kind == OptimiserKind::Lars && D > 1 {
                    trusted(&value, gradient, options.trust)
                } else {
                    gradient
                };
                // The first velocity is the whole gradient, as PyTorch has it.
                let velocity = match first {
                    Some(velocity) => velocity.mul_scalar(options.momentum) + gradient,
                    None => gradient,
                };
                self.first.register(id, velocity.clone());
                value - velocity.mul_scalar(lr)
            }
        }
    }
}

/// The gradient at `trust` times the length of its parameter; as it is where either has no length
/// (BYOL's code; SimCLR's and SwAV's differ in where decay and learning rate enter).
fn trusted<const D: usize>(value: &Tensor<D>, gradient: Tensor<D>, trust: f64) -> Tensor<D> {
    let length = |tensor: &Tensor<D>| tensor.clone().square().sum().sqrt();
    let (own, pull) = (length(value), length(&gradient));
    let none = (own.clone() * pull.clone()).equal_elem(0.0);
    let scale = own.mul_scalar(trust) / pull;
    gradient * scale.mask_fill(none, 1.0).reshape([1; D])
}

struct Reserve<'a> {
    optimiser: &'a mut Optimiser,
}

impl ModuleVisitor for Reserve<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let new = self.optimiser.first.get::<D>(param.id).is_none();
        if new && value.is_require_grad() {
            let zeros = value.inner().zeros_like();
            self.optimiser.second.register(param.id, zeros.zeros_like());
            self.optimiser.first.register(param.id, zeros);
        }
    }
}

struct Export<'a> {
    path: ModulePath,
    optimiser: &'a Optimiser,
    moments: Moments,
}

impl ModuleVisitor for Export<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(&steps) = self.optimiser.steps.get(&param.id) else {
            return;
        };
        let name = self.path.name();
        for (store, target) in [
            (&self.optimiser.first, &mut self.moments.first),
            (&self.optimiser.second, &mut self.moments.second),
        ] {
            if let Some(tensor) = store.get::<D>(param.id) {
                let shape = tensor.dims().to_vec();
                let values = host_values(tensor);
                target.0.insert(name.clone(), Array { shape, values });
            }
        }
        self.moments.steps.insert(name, steps);
    }
}

struct Import<'a> {
    path: ModulePath,
    optimiser: &'a mut Optimiser,
    moments: &'a Moments,
    misfit: Option<String>,
}

impl ModuleVisitor for Import<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let Some(&steps) = self.moments.steps.get(&name) else {
            return;
        };
        let tensor = param.val().inner();
        let read = |weights: &Weights| {
            let array = weights.0.get(&name)?;
            (array.shape == tensor.dims()).then(|| {
                let data = TensorData::new(array.values.clone(), tensor.shape());
                Tensor::<D>::from_data(data, &tensor.device())
            })
        };
        let second = read(&self.moments.second);
        let has_second = matches!(
            self.optimiser.options.kind,
            OptimiserKind::Adamw | OptimiserKind::Adam
        );
        match read(&self.moments.first) {
            Some(first) if second.is_some() == has_second => {
                self.optimiser.first.register(param.id, first);
                if let Some(second) = second {
                    self.optimiser.second.register(param.id, second);
                }
                self.optimiser.steps.insert(param.id, steps);
            }
            _ => self.misfit = Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::init::Initialiser;
    use crate::nn::layer::Conv2d;

    fn model() -> (Conv2d, Tensor<4>) {
        let device = Device::flex().autodiff();
        let conv = Conv2d::init(&mut Initialiser::new(5, &device), 1, 2, 3, true);
        (conv, Tensor::ones([1, 1, 4, 4], &device))
    }

    fn gradients(conv: &Conv2d, x: &Tensor<4>) -> GradientsParams {
        let loss = conv.forward(x.clone()).square().sum();
        GradientsParams::from_grads(loss.backward(), conv)
    }

    fn options() -> OptimiserOptions {
        OptimiserOptions {
            weight_decay: 0.5,
            ..OptimiserOptions::pretraining()
        }
    }

    #[test]
    fn first_step_is_adamw_by_hand_without_decay_of_the_bias() {
        let (conv, x) = model();
        let before = Weights::of(&conv);
        let mut optimiser = Optimiser::new(&options());
        let lr = 0.01;
        let conv = optimiser.step(lr, conv.clone(), gradients(&conv, &x));
        let after = Weights::of(&conv);
        // The first corrected step has size lr in the direction of the gradient's sign.
        for (name, decay) in [("weight", 1.0 - lr * 0.5), ("bias", 1.0)] {
            for (b, a) in before.0[name].values.iter().zip(&after.0[name].values) {
                let step = (f64::from(*b) * decay - f64::from(*a)).abs();
                assert!((step - lr).abs() < 1e-5, "{name}: {step}");
            }
        }
    }

    #[test]
    fn moments_made_before_the_first_step_change_nothing() {
        let run = |reserve: bool| {
            let (conv, x) = model();
            let mut optimiser = Optimiser::new(&options());
            if reserve {
                optimiser.reserve(&conv);
                // Before a step there is no state.
                assert_eq!(optimiser.export(&conv), Moments::default());
            }
            let conv = optimiser.step(0.01, conv.clone(), gradients(&conv, &x));
            (Weights::of(&conv), optimiser.export(&conv))
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn descent_with_momentum_by_hand() {
        let (conv, x) = model();
        let (momentum, decay, lr) = (0.8, 0.1, 0.01);
        let mut optimiser = Optimiser::new(&OptimiserOptions {
            kind: OptimiserKind::Sgd,
            momentum,
            weight_decay: decay,
            ..OptimiserOptions::pretraining()
        });
        let mut net = conv;
        let mut velocity = BTreeMap::<String, Vec<f64>>::new();
        for _ in 0..3 {
            let g = gradients(&net, &x);
            let found = [
                (
                    "weight",
                    host_values(g.get::<4>(net.weight.id).unwrap()),
                    decay,
                ),
                (
                    "bias",
                    host_values(g.get::<1>(net.bias.as_ref().unwrap().id).unwrap()),
                    0.0,
                ),
            ];
            let before = Weights::of(&net);
            net = optimiser.step(lr, net, g);
            let after = Weights::of(&net);
            for (name, gradient, decay) in found {
                let (b, a) = (&before.0[name].values, &after.0[name].values);
                let old = velocity.get(name).cloned();
                let new: Vec<f64> = (0..gradient.len())
                    .map(|i| {
                        let g = f64::from(gradient[i]) + decay * f64::from(b[i]);
                        old.as_ref().map_or(g, |v| momentum * v[i] + g)
                    })
                    .collect();
                for i in 0..new.len() {
                    let expected = f64::from(b[i]) - lr * new[i];
                    assert!((f64::from(a[i]) - expected).abs() < 1e-5, "{name}");
                }
                velocity.insert(name.to_owned(), new);
            }
        }
    }

    #[test]
    fn lars_by_hand() {
        let device = Device::flex().autodiff();
        let mut optimiser = Optimiser::new(&OptimiserOptions {
            kind: OptimiserKind::Lars,
            momentum: 0.5,
            weight_decay: 0.25,
            trust: 0.1,
            ..OptimiserOptions::pretraining()
        });
        let mut step = |value: [f32; 2], gradient: [f32; 2]| {
            let matrix = |row: [f32; 2]| Tensor::<2>::from_floats([row], &device).inner();
            let id = ParamId::from(1);
            host_values(optimiser.update(id, 2.0, matrix(value), matrix(gradient)))
        };
        // Length 5; with decay the gradient is (4, 3) + (3, 4) / 4 = (4.75, 4): it becomes
        // 0.1 * 5 / 6.2099 as long.
        let scale = 0.5 / (4.75f64.powi(2) + 16.0).sqrt();
        let velocity = [4.75 * scale, 4.0 * scale];
        let after = step([3.0, 4.0], [4.0, 3.0]);
        for (i, before) in [3.0, 4.0].into_iter().enumerate() {
            assert!((f64::from(after[i]) - (before - 2.0 * velocity[i])).abs() < 1e-6);
        }
        // A parameter of length 0 has no length to scale to.
        let after = step([0.0, 0.0], [1.0, -2.0]);
        for (i, gradient) in [1.0, -2.0].into_iter().enumerate() {
            let expected = -2.0 * (0.5 * velocity[i] + gradient);
            assert!((f64::from(after[i]) - expected).abs() < 1e-6);
        }
        // One dimension: neither decayed nor scaled.
        let row = |v: [f32; 2]| Tensor::<1>::from_floats(v, &device).inner();
        let bias = optimiser.update(ParamId::from(2), 2.0, row([3.0, 4.0]), row([4.0, 3.0]));
        assert_eq!(host_values(bias), [-5.0, -2.0]);
    }

    #[test]
    fn adam_adds_the_decay_to_the_gradient() {
        let (conv, x) = model();
        let (decay, lr, [b1, b2]) = (0.5, 0.01, [0.9, 0.95]);
        let mut optimiser = Optimiser::new(&OptimiserOptions {
            kind: OptimiserKind::Adam,
            ..options()
        });
        let mut net = conv;
        let mut moments = vec![[0.0f64; 2]; 18];
        for step in 1..=3 {
            let g = gradients(&net, &x);
            let gradient = host_values(g.get::<4>(net.weight.id).unwrap());
            let before = Weights::of(&net);
            net = optimiser.step(lr, net, g);
            let after = Weights::of(&net);
            let (b, a) = (&before.0["weight"].values, &after.0["weight"].values);
            assert_eq!(moments.len(), gradient.len());
            for (i, [first, second]) in moments.iter_mut().enumerate() {
                let g = f64::from(gradient[i]) + decay * f64::from(b[i]);
                *first = b1 * *first + (1.0 - b1) * g;
                *second = b2 * *second + (1.0 - b2) * g * g;
                let (m, v) = (
                    *first / (1.0 - b1.powi(step)),
                    *second / (1.0 - b2.powi(step)),
                );
                let expected = f64::from(b[i]) - lr * m / (v.sqrt() + 1e-8);
                assert!((f64::from(a[i]) - expected).abs() < 1e-5, "{step} {i}");
            }
        }
    }

    #[test]
    fn frozen_parameters_stay_as_they_are() {
        let (mut conv, x) = model();
        let mut optimiser = Optimiser::new(&options());
        let g = gradients(&conv, &x);
        conv = optimiser.step(0.01, conv, g);
        let (before, moments) = (Weights::of(&conv), optimiser.export(&conv));
        let mut g = gradients(&conv, &x);
        drop_gradients(&conv, &mut g, &[conv.weight.id]);
        conv = optimiser.step(0.01, conv, g);
        let (after, later) = (Weights::of(&conv), optimiser.export(&conv));
        assert_eq!(before.0["weight"], after.0["weight"]);
        assert_eq!(moments.first.0["weight"], later.first.0["weight"]);
        assert_eq!((later.steps["weight"], later.steps["bias"]), (1, 2));
        assert_ne!(before.0["bias"], after.0["bias"]);
    }

    #[test]
    fn clipping_scales_all_gradients_by_one_factor() {
        let (conv, x) = model();
        let g = gradients(&conv, &x);
        let weight = host_values(g.get::<4>(conv.weight.id).unwrap());
        let bias = host_values(g.get::<1>(conv.bias.as_ref().unwrap().id).unwrap());
        let norm = weight
            .iter()
            .chain(&bias)
            .map(|v| f64::from(v * v))
            .sum::<f64>()
            .sqrt();
        assert!(norm > 1.0);
        let scale = global_scale(&conv, &g, 1.0).unwrap().into_scalar::<f32>();
        assert!((f64::from(scale) - 1.0 / norm).abs() < 1e-6 / norm);
        let loose = global_scale(&conv, &g, 10.0 * norm).unwrap();
        assert_eq!(loose.into_scalar::<f32>(), 1.0);
    }

    #[test]
    fn state_goes_out_and_back_bit_exact() {
        for kind in [
            OptimiserKind::Adamw,
            OptimiserKind::Adam,
            OptimiserKind::Sgd,
            OptimiserKind::Lars,
        ] {
            goes_out_and_back(&OptimiserOptions { kind, ..options() });
        }
        // State of one rule is no state of the other.
        let (net, x) = model();
        let mut adamw = Optimiser::new(&options());
        let net = adamw.step(0.01, net.clone(), gradients(&net, &x));
        let mut sgd = Optimiser::new(&OptimiserOptions {
            kind: OptimiserKind::Sgd,
            ..options()
        });
        assert!(sgd.import(&net, &adamw.export(&net)).is_err());
    }

    fn goes_out_and_back(options: &OptimiserOptions) {
        let (conv, x) = model();
        let mut a = Optimiser::new(options);
        let mut net = conv;
        for _ in 0..3 {
            let g = gradients(&net, &x);
            net = a.step(0.01, net, g);
        }
        let moments = a.export(&net);
        assert_eq!(moments.steps["weight"], 3);
        let mut b = Optimiser::new(options);
        b.import(&net, &moments).unwrap();
        let na = a.step(0.01, net.clone(), gradients(&net, &x));
        let nb = b.step(0.01, net.clone(), gradients(&net, &x));
        assert_eq!(Weights::of(&na), Weights::of(&nb));
        let mut wrong = moments.clone();
        if let Some(array) = wrong.first.0.get_mut("bias") {
            array.shape = vec![1];
        }
        assert_eq!(b.import(&net, &wrong), Err("bias".to_owned()));
    }
}
