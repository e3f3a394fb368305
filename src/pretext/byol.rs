//! BYOL: a network predicts what a teacher makes of the other view; no negatives
//! (`methods/contrastive.md` section 4).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::{
    Branch, Jitter, METER, Meter, Recipe, Shift, Source, Teacher, ViewBatch, Views, bottleneck,
    momentum, normalise, rising, spread, width_or,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, is_default, up_to, within,
};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// Options of BYOL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ByolOptions {
    /// Width of the hidden layers; 0 is four times the channels of the bottleneck, the published
    /// 4096 for the paper's network.
    pub hidden: usize,
    /// Length of an embedding.
    pub width: usize,
    /// Momentum of the teacher at the start, from where it rises to 1; 0 is 0.996 for runs of at
    /// least 100,000 steps and 0.99 for shorter ones.
    pub momentum: f64,
    /// Least and greatest share of a slice that a view shows.
    pub crop: [f64; 2],
    /// Shift of brightness and change of contrast.
    pub jitter: f64,
    /// Chance of a blur in the first and the second view.
    pub blur: [f64; 2],
    /// Chance that the upper half of the intensities is turned over, likewise.
    pub solarise: [f64; 2],
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for ByolOptions {
    fn default() -> Self {
        Self {
            hidden: 0,
            width: 256,
            momentum: 0.0,
            crop: [0.08, 1.0],
            jitter: 0.4,
            blur: [1.0, 0.1],
            solarise: [0.0, 0.2],
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for ByolOptions {
    fn check(&self, _: &Frame<'_>) -> Result<(), Misfit> {
        within("byol.hidden", self.hidden as f64, 0.0, 65536.0)?;
        within("byol.width", self.width as f64, 1.0, 65536.0)?;
        within("byol.momentum", self.momentum, 0.0, 1.0)?;
        up_to("byol.crop", self.crop[0], 0.0, self.crop[1])?;
        up_to("byol.crop", self.crop[1], 0.0, 1.0)?;
        within("byol.jitter", self.jitter, 0.0, 1.0)?;
        for i in 0..2 {
            within("byol.blur", self.blur[i], 0.0, 1.0)?;
            within("byol.solarise", self.solarise[i], 0.0, 1.0)?;
        }
        Ok(())
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Lars,
            weight_decay: 1.5e-6,
            warmup_epochs: 10.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 0.2, 256.0, original)
    }
}

/// BYOL.
pub struct Byol;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// Encoder and projection, which the teacher follows.
    pub branch: Branch,
    /// From an embedding to the teacher's.
    pub predictor: Projection,
}

impl Pretext for Byol {
    const ABOUT: About = About {
        doc: "predicts what a slowly following teacher makes of the other view of a slice",
        family: Family::Contrastive,
        year: 2020,
        paper: "Grill et al., NeurIPS 2020, arXiv 2006.07733",
        version: 1,
    };

    type Options = ByolOptions;
    type Model = Network;
    type Task<'a> = ByolTask<'a>;

    fn task<'a>(
        options: &ByolOptions,
        setup: &Setup<'a>,
    ) -> Result<(ByolTask<'a>, Network), TrainError> {
        let mut init = Initialiser::new(setup.seed, setup.device);
        let kind = ProjectionKind {
            norm: true,
            bias: true,
            ..ProjectionKind::default()
        };
        let hidden = width_or(options.hidden, 4 * bottleneck(setup));
        let branch = Branch::init(setup, &[hidden, options.width], kind, &mut init)?;
        let widths = [options.width, hidden, options.width];
        let predictor = Projection::init(&mut init, &widths, kind);
        let task = ByolTask {
            source: Source::new(setup),
            options: options.clone(),
            teacher: Teacher::of(&branch),
            meter: Meter::new(&["emb_std"], setup.device),
            device: setup.device.clone(),
        };
        Ok((task, Network { branch, predictor }))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.branch.encoder)
    }
}

/// BYOL over a set of images.
pub struct ByolTask<'a> {
    source: Source<'a>,
    options: ByolOptions,
    teacher: Teacher<Branch>,
    meter: Meter,
    device: Device,
}

const TEACHER: &str = "teacher";

impl ByolTask<'_> {
    /// The teacher.
    #[must_use]
    pub fn teacher(&self) -> &Branch {
        self.teacher.module()
    }
}

/// `2 - 2 cos` of predictions and targets `[n, d]`, mean over rows, a tensor of one value. Targets
/// take no gradient.
#[must_use]
pub fn distance(prediction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    let cosine = normalise(prediction) * normalise(target.detach());
    cosine.sum_dim(1).mean().mul_scalar(-2.0).add_scalar(2.0)
}

impl<'a> Task for ByolTask<'a> {
    type Model = Network;
    type Batch = ViewBatch;
    type Plan = Views<'a>;

    fn plan(&self, epoch: usize) -> Views<'a> {
        let o = &self.options;
        let recipe = |i: usize| Recipe {
            size: self.source.size(),
            crop: o.crop,
            jitter: Jitter {
                chance: 0.8,
                brightness: Shift::Add(o.jitter),
                contrast: o.jitter,
            },
            blur: o.blur[i],
            solarise: o.solarise[i],
        };
        self.source.views(vec![recipe(0), recipe(1)], epoch)
    }

    fn step(
        &mut self,
        model: &Network,
        batch: ViewBatch,
        _: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        // View by view: each has batch statistics of its own.
        let views = [0, 1].map(|i| batch.tensor(i, &self.device));
        let targets = views
            .clone()
            .map(|v| self.teacher.module().forward(v).detach());
        let [z1, z2] = views.map(|v| model.branch.forward(v));
        let [k1, k2] = targets;
        self.meter.add(batch.n, [spread(z1.clone())]);
        let forward = distance(model.predictor.forward(z1), k2);
        let backward = distance(model.predictor.forward(z2), k1);
        Ok(forward + backward)
    }

    fn after_step(&mut self, model: &Network, at: &Moment) -> Result<(), TrainError> {
        let base = momentum(self.options.momentum, 0.996, at);
        let momentum = rising(base, at.done(), at.total());
        self.teacher.follow(&model.branch, momentum);
        Ok(())
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![(METER, &mut self.meter), (TEACHER, &mut self.teacher)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::testing::{close, g, number, rows};
    use super::*;
    use crate::nn::device::testing::on_each_device;
    use crate::nn::weights::host_values;

    #[test]
    fn distances_by_hand() {
        on_each_device(|| {
            let p = || rows([[1.0, 0.0]]);
            close(number(distance(p(), p())), 0.0);
            close(number(distance(p(), rows([[0.0, 3.0]]))), 2.0);
            close(number(distance(p(), rows([[-2.0, 0.0]]))), 4.0);
            close(number(distance(p(), rows([[0.6, 0.8]]))), 0.8);
        });
    }

    #[test]
    fn fixture_and_gradient() {
        on_each_device(|| {
            let p = g(2, 3, [0.5, 0.9, 0.3]).require_grad();
            let k = g(2, 3, [0.5, 0.9, 1.0]).require_grad();
            let loss = distance(p.clone(), k.clone());
            close(number(loss.clone()), 0.360_733);
            let row = |i: usize| {
                let of = |t: &Tensor<2>| t.clone().slice([i..i + 1, 0..3]);
                number(distance(of(&p), of(&k)))
            };
            close(row(0), 0.337_880);
            close(row(1), 0.383_586);
            let gradients = loss.backward();
            assert!(k.grad(&gradients).is_none(), "targets take no gradient");
            let found = host_values(p.grad(&gradients).unwrap());
            let expected = [
                -0.348_165, -0.098_569, 0.225_623, -0.289_485, 0.035_793, 0.333_984,
            ];
            for (f, e) in found.iter().zip(expected) {
                close(f64::from(*f), e);
            }
            // A step along the gradient turns an embedding and does not stretch it.
            for (gradient, row) in found.chunks(3).zip(host_values(p).chunks(3)) {
                let dot: f32 = gradient.iter().zip(row).map(|(a, b)| a * b).sum();
                assert!(dot.abs() < 1e-6);
            }
        });
    }
}
