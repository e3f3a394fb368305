//! SwAV: the balanced assignment of one view to prototypes is predicted from the other views
//! (`methods/contrastive.md` section 5).

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::{
    Branch, Jitter, METER, Meter, Queue, Recipe, Shift, Source, ViewBatch, Views, bottleneck,
    normalise, sinkhorn, spread, width_or,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::head::ProjectionKind;
use crate::nn::init::Initialiser;
use crate::nn::layer::Linear;
use crate::nn::weights::Weights;
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, inside, is_default, up_to,
    within,
};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// Views that are assigned to prototypes; the others only predict.
const ASSIGNED: usize = 2;

/// Options of SwAV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwavOptions {
    /// Temperature of predictions.
    pub temperature: f64,
    /// Sharpness of assignments.
    pub epsilon: f64,
    /// Rounds of balancing.
    pub iterations: usize,
    /// Prototypes.
    pub prototypes: usize,
    /// Epochs at the start in which prototypes stay as they were drawn.
    pub freeze_epochs: usize,
    /// Older embeddings that take part in the balance; 0 is none.
    pub queue: usize,
    /// Epochs before the queue is used.
    pub queue_after: usize,
    /// Width of the hidden layer; 0 is twice the channels of the bottleneck, the published 2048 for
    /// the paper's network.
    pub hidden: usize,
    /// Length of an embedding.
    pub width: usize,
    /// Small views beside the two whole ones.
    pub local_views: usize,
    /// Side of a small view; 0 is the multiple of the network's stride next to 0.43 of the slice.
    pub local_size: usize,
    /// Least and greatest share of a slice that a whole view shows.
    pub crop: [f64; 2],
    /// The same for a small view.
    pub local_crop: [f64; 2],
    /// Strength of the jitter of brightness and contrast; 1 on photographs.
    pub jitter: f64,
    /// Chance of a blur.
    pub blur: f64,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for SwavOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            epsilon: 0.05,
            iterations: 3,
            prototypes: 512,
            freeze_epochs: 1,
            queue: 720,
            queue_after: 15,
            hidden: 0,
            width: 128,
            local_views: 6,
            local_size: 0,
            crop: [0.14, 1.0],
            local_crop: [0.05, 0.14],
            jitter: 0.5,
            blur: 0.5,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for SwavOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("swav.temperature", self.temperature, 0.0, 100.0)?;
        inside("swav.epsilon", self.epsilon, 0.0, 100.0)?;
        within("swav.iterations", self.iterations as f64, 1.0, 1000.0)?;
        within("swav.prototypes", self.prototypes as f64, 2.0, 1e6)?;
        within("swav.queue", self.queue as f64, 0.0, 1e6)?;
        within("swav.hidden", self.hidden as f64, 0.0, 65536.0)?;
        within("swav.width", self.width as f64, 1.0, 65536.0)?;
        within("swav.local_views", self.local_views as f64, 0.0, 64.0)?;
        for (key, crop) in [
            ("swav.crop", self.crop),
            ("swav.local_crop", self.local_crop),
        ] {
            up_to(key, crop[0], 0.0, crop[1])?;
            up_to(key, crop[1], 0.0, 1.0)?;
        }
        within("swav.jitter", self.jitter, 0.0, 1.25)?;
        within("swav.blur", self.blur, 0.0, 1.0)?;
        let stride = 1usize << frame.backbone.depth;
        if !self.local_size.is_multiple_of(stride) {
            return Err(Misfit::new(
                &["swav.local_size", "backbone.depth"],
                format!(
                    "a view of {} is no multiple of the network's stride {stride}",
                    self.local_size
                ),
            ));
        }
        Ok(())
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Lars,
            min_lr: 6e-4 * batch as f64 / 256.0,
            weight_decay: 1e-6,
            warmup_epochs: 0.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 0.6, 256.0, original)
    }
}

/// The multiple of `stride` next to 0.43 of `side`, at least one.
fn local_side(side: usize, stride: usize) -> usize {
    let steps = (0.43 * side as f64 / stride as f64).round() as usize;
    steps.max(1) * stride
}

/// SwAV.
pub struct Swav;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// Encoder and projection.
    pub branch: Branch,
    /// Prototypes, rows of length 1 at the start of each step.
    pub prototypes: Linear,
}

impl Pretext for Swav {
    const ABOUT: About = About {
        doc: "predicts the prototypes of one view of a slice from its other, also smaller, views",
        family: Family::Contrastive,
        year: 2020,
        paper: "Caron et al., NeurIPS 2020, arXiv 2006.09882",
        version: 1,
    };

    type Options = SwavOptions;
    type Model = Network;
    type Task<'a> = SwavTask<'a>;

    fn task<'a>(
        options: &SwavOptions,
        setup: &Setup<'a>,
    ) -> Result<(SwavTask<'a>, Network), TrainError> {
        let mut init = Initialiser::new(setup.seed, setup.device);
        let kind = ProjectionKind {
            norm: true,
            bias: true,
            last_bias: true,
            ..ProjectionKind::default()
        };
        let hidden = width_or(options.hidden, 2 * bottleneck(setup));
        let branch = Branch::init(setup, &[hidden, options.width], kind, &mut init)?;
        let prototypes = Linear::init(&mut init, options.width, options.prototypes, false);
        let queue = || Queue::zeros(options.queue, options.width, setup.device);
        let task = SwavTask {
            source: Source::new(setup),
            options: options.clone(),
            stride: 1 << setup.backbone.depth,
            queues: [queue(), queue()],
            meter: Meter::new(&["emb_std"], setup.device),
            device: setup.device.clone(),
        };
        Ok((task, Network { branch, prototypes }))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.branch.encoder)
    }
}

/// SwAV over a set of images.
pub struct SwavTask<'a> {
    source: Source<'a>,
    options: SwavOptions,
    stride: usize,
    /// Embeddings of the assigned views.
    queues: [Queue; ASSIGNED],
    meter: Meter,
    device: Device,
}

const QUEUES: [&str; ASSIGNED] = ["queue.0", "queue.1"];

/// The loss of `scores`, one `[n, k]` per view, against the `codes` of the first views: mean over
/// codes and over the views other than their own of the cross-entropy at temperature `t`.
#[must_use]
pub fn swapped(scores: &[Tensor<2>], codes: &[Tensor<2>], t: f64) -> Tensor<1> {
    let logs: Vec<Tensor<2>> = scores
        .iter()
        .map(|s| log_softmax(s.clone().div_scalar(t), 1))
        .collect();
    let mut terms = Vec::new();
    for (i, code) in codes.iter().enumerate() {
        for (v, log) in logs.iter().enumerate() {
            if v != i {
                let product = (code.clone().detach() * log.clone()).sum_dim(1);
                terms.push(product.mean().neg());
            }
        }
    }
    Tensor::cat(terms, 0).mean()
}

impl SwavTask<'_> {
    /// Codes of an assigned view, and its embeddings into the queue.
    fn code(
        &mut self,
        i: usize,
        z: Tensor<2>,
        scores: Tensor<2>,
        model: &Network,
        at: &Moment,
    ) -> Tensor<2> {
        let [n, k] = scores.dims();
        let uses_queue = self.options.queue > 0 && at.epoch > self.options.queue_after;
        let mut all = scores.detach();
        if uses_queue {
            if self.queues[i].is_full() {
                let older = model.prototypes.forward(self.queues[i].keys()).detach();
                all = Tensor::cat(vec![older, all], 0);
            }
            self.queues[i].push(z);
        }
        let [rows, _] = all.dims();
        let codes = sinkhorn(all, self.options.epsilon, self.options.iterations);
        codes.slice([rows - n..rows, 0..k])
    }
}

impl<'a> Task for SwavTask<'a> {
    type Model = Network;
    type Batch = ViewBatch;
    type Plan = Views<'a>;

    fn plan(&self, epoch: usize) -> Views<'a> {
        let [height, width] = self.source.size();
        let o = &self.options;
        let strength = 0.8 * o.jitter;
        let recipe = |size, crop| Recipe {
            size,
            crop,
            jitter: Jitter {
                chance: 0.8,
                brightness: Shift::Multiply(strength),
                contrast: strength,
            },
            blur: o.blur,
            solarise: 0.0,
        };
        let local = match o.local_size {
            0 => [height, width].map(|side| local_side(side, self.stride)),
            side => [side, side],
        };
        let mut recipes = vec![recipe([height, width], o.crop); ASSIGNED];
        recipes.extend(vec![recipe(local, o.local_crop); o.local_views]);
        self.source.views(recipes, epoch)
    }

    /// Prototypes back to length 1.
    fn before_step(&mut self, mut model: Network, _: &Moment) -> Result<Network, TrainError> {
        model.prototypes.weight = unit_rows(model.prototypes.weight);
        Ok(model)
    }

    fn step(
        &mut self,
        model: &Network,
        batch: ViewBatch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let n = batch.n;
        let views = batch.views.len();
        // Views of one size go through the encoder together, all views through the head.
        let whole = batch.join(&[0, 1], &self.device);
        let mut pooled = vec![model.branch.encoder.pooled(whole)];
        if views > ASSIGNED {
            let local: Vec<usize> = (ASSIGNED..views).collect();
            let local = batch.join(&local, &self.device);
            pooled.push(model.branch.encoder.pooled(local));
        }
        let z = normalise(model.branch.head.forward(Tensor::cat(pooled, 0)));
        let [_, d] = z.dims();
        let of = |v: usize| z.clone().slice([v * n..(v + 1) * n, 0..d]);
        let scores: Vec<Tensor<2>> = (0..views)
            .map(|v| model.prototypes.forward(of(v)))
            .collect();
        let codes: Vec<Tensor<2>> = (0..ASSIGNED)
            .map(|i| self.code(i, of(i), scores[i].clone(), model, at))
            .collect();
        self.meter.add(n, [spread(of(0))]);
        Ok(swapped(&scores, &codes, self.options.temperature))
    }

    fn frozen(&self, model: &Network, at: &Moment) -> Vec<ParamId> {
        if at.epoch <= self.options.freeze_epochs {
            vec![model.prototypes.weight.id]
        } else {
            Vec::new()
        }
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        let mut kept: Kept<'_> = vec![(METER, &mut self.meter)];
        for (name, queue) in QUEUES.into_iter().zip(&mut self.queues) {
            kept.push((name, queue));
        }
        kept
    }
}

/// A matrix of parameters with rows of length 1.
fn unit_rows(weight: Param<Tensor<2>>) -> Param<Tensor<2>> {
    weight.map(|rows| {
        let trains = rows.is_require_grad();
        normalise(rows.inner()).autodiff().set_require_grad(trains)
    })
}

#[cfg(test)]
mod tests {
    use super::super::part::testing::{close, number};
    use super::*;
    use crate::data::images::InMemory;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;
    use crate::options::{BackboneOptions, PretrainOptions};

    fn matrix<const N: usize>(rows: [[f32; 3]; N]) -> Tensor<2> {
        Tensor::from_floats(rows, &device())
    }

    fn scores() -> [Tensor<2>; 3] {
        [
            matrix([
                [0.9, 0.2, -0.1],
                [0.8, 0.3, 0.0],
                [0.7, -0.2, 0.4],
                [0.6, 0.5, 0.1],
            ]),
            matrix([
                [0.7, 0.1, 0.2],
                [0.5, 0.6, -0.3],
                [0.4, 0.1, 0.6],
                [0.2, 0.8, 0.3],
            ]),
            matrix([
                [0.3, 0.1, 0.0],
                [0.2, 0.2, 0.1],
                [0.0, 0.1, 0.5],
                [0.1, 0.6, 0.2],
            ]),
        ]
    }

    #[test]
    fn losses_of_the_specification() {
        on_each_device(|| {
            let scores = scores();
            let codes = [0, 1].map(|i| sinkhorn(scores[i].clone(), 0.05, 3));
            let one = |code: usize, view: usize| {
                let log = log_softmax(scores[view].clone().div_scalar(0.1), 1);
                number((codes[code].clone() * log).sum_dim(1).mean().neg())
            };
            close(one(0, 1), 0.330_261);
            close(one(1, 0), 1.727_440);
            close(number(swapped(&scores[..2], &codes, 0.1)), 1.028_850);
            close(number(swapped(&scores, &codes, 0.1)), 0.655_409);
        });
    }

    #[test]
    fn equal_scores_cost_the_logarithm_of_the_prototypes() {
        on_each_device(|| {
            for (k, expected) in [(512, 6.238_325), (3000, 8.006_368)] {
                let flat = Tensor::<2>::ones([4, k], &device());
                let code = sinkhorn(flat.clone(), 0.05, 3);
                let codes = [code.clone(), code];
                close(
                    number(swapped(&[flat.clone(), flat], &codes, 0.1)),
                    expected,
                );
            }
        });
    }

    #[test]
    fn prototypes_are_brought_to_length_one() {
        on_each_device(|| {
            let rows = Tensor::from_floats([[3.0, 4.0], [0.0, 2.0]], &device());
            let rows = unit_rows(Param::from_tensor(rows).set_require_grad(true));
            assert!(rows.is_require_grad());
            assert_eq!(host_values(rows.val()), [0.6, 0.8, 0.0, 1.0]);
        });
    }

    #[test]
    fn prototypes_stand_still_in_the_first_epochs() {
        on_each_device(|| {
            let images = InMemory {
                shape: [1, 8, 8],
                regions: 0,
                images: vec![vec![0.0; 64]; 2],
                masks: vec![Vec::new(); 2],
                ids: vec![1, 2],
            };
            let backbone = BackboneOptions {
                width: 1,
                depth: 1,
                ..BackboneOptions::default()
            };
            let pretrain = PretrainOptions {
                epochs: 3,
                ..PretrainOptions::default()
            };
            let setup = Setup {
                images: &images,
                labels: None,
                codes: None,
                teacher: None,
                backbone: &backbone,
                pretrain: &pretrain,
                seed: 1,
                device: &device(),
            };
            let options = SwavOptions {
                freeze_epochs: 2,
                ..SwavOptions::default()
            };
            let (task, model) = Swav::task(&options, &setup).unwrap();
            for (epoch, expected) in [(1, 1), (2, 1), (3, 0)] {
                let at = Moment {
                    epoch,
                    epochs: 3,
                    step: 0,
                    steps: 1,
                };
                let frozen = task.frozen(&model, &at);
                assert_eq!(frozen.len(), expected);
                assert!(frozen.iter().all(|id| *id == model.prototypes.weight.id));
            }
        });
    }

    #[test]
    fn sides_of_small_views() {
        assert_eq!(local_side(144, 16), 64);
        assert_eq!(local_side(160, 16), 64);
        assert_eq!(local_side(64, 16), 32);
        assert_eq!(local_side(16, 16), 16);
    }
}
