//! DenseCL: MoCo v2, and the same contrast at every position of the bottleneck
//! (`methods/contrastive.md` section 7).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moco::recipe;
use super::part::{
    Branch, METER, Meter, Queue, Shuffle, Source, Teacher, ViewBatch, Views, against_queue,
    bottleneck, in_groups, momentum, normalise, spread,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::backbone::pool;
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, inside, is_default, up_to,
    within,
};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// Options of DenseCL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenseClOptions {
    /// Temperature.
    pub temperature: f64,
    /// Length of an embedding.
    pub width: usize,
    /// Keys in each of the two queues.
    pub queue: usize,
    /// Weight of the dense loss; the global one has the rest.
    pub lambda: f64,
    /// Epochs at the start with the global loss alone.
    pub warmup_epochs: usize,
    /// Momentum of the teacher; 0 is 0.999 for runs of at least 100,000 steps and 0.99 for shorter
    /// ones.
    pub momentum: f64,
    /// Parts of a batch that have statistics of batch normalisation of their own; keys are shuffled
    /// between them.
    pub bn_groups: usize,
    /// Least and greatest share of a slice that a view shows.
    pub crop: [f64; 2],
    /// Strength of the jitter of brightness and contrast.
    pub jitter: f64,
    /// Chance of a blur.
    pub blur: f64,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for DenseClOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            width: 128,
            queue: 4032,
            lambda: 0.5,
            warmup_epochs: 2,
            momentum: 0.0,
            bn_groups: 4,
            crop: [0.2, 1.0],
            jitter: 0.4,
            blur: 0.5,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for DenseClOptions {
    fn check(&self, _: &Frame<'_>) -> Result<(), Misfit> {
        inside("densecl.temperature", self.temperature, 0.0, 100.0)?;
        within("densecl.width", self.width as f64, 1.0, 65536.0)?;
        within("densecl.queue", self.queue as f64, 1.0, 1e6)?;
        within("densecl.lambda", self.lambda, 0.0, 1.0)?;
        within("densecl.momentum", self.momentum, 0.0, 1.0)?;
        within("densecl.bn_groups", self.bn_groups as f64, 1.0, 1024.0)?;
        up_to("densecl.crop", self.crop[0], 0.0, self.crop[1])?;
        up_to("densecl.crop", self.crop[1], 0.0, 1.0)?;
        within("densecl.jitter", self.jitter, 0.0, 1.0)?;
        within("densecl.blur", self.blur, 0.0, 1.0)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Sgd,
            weight_decay: 1e-4,
            warmup_epochs: 0.0,
            ..OptimiserOptions::pretraining()
        };
        // That of its 800 epochs on COCO, not of its 200 on ImageNet.
        self.recipe.scaled(batch, 0.3, 256.0, original)
    }
}

/// DenseCL.
pub struct DenseCl;

/// What is trained, and what the teacher copies.
#[derive(Module, Debug)]
pub struct Network {
    /// Encoder and projection of the pooled bottleneck.
    pub branch: Branch,
    /// Projection of its positions.
    pub dense: Projection,
}

/// What a network makes of images.
struct Seen {
    /// `[n, d]`.
    global: Tensor<2>,
    /// Bottleneck, `[n, s, c]`.
    features: Tensor<3>,
    /// Its projection, `[n, s, d]`.
    dense: Tensor<3>,
}

impl Network {
    /// Global embedding, bottleneck and projected bottleneck side by side: parts of a batch can be
    /// put together again as one tensor.
    fn forward(&self, images: Tensor<4>) -> [Tensor<4>; 3] {
        let map = self.branch.encoder.bottleneck(images);
        let global = self.branch.head.forward(pool(map.clone()));
        let [n, d] = global.dims();
        let dense = self.dense.forward_map(map.clone());
        [global.reshape([n, d, 1, 1]), map, dense]
    }

    /// In groups of the batch, each with statistics of its own.
    fn see(
        &self,
        images: Tensor<4>,
        groups: usize,
        after: impl Fn(Tensor<4>) -> Tensor<4>,
    ) -> Seen {
        let mut rest: [Vec<Tensor<4>>; 2] = [Vec::new(), Vec::new()];
        let global = in_groups(images, groups, |part| {
            let [global, map, dense] = self.forward(part);
            rest[0].push(map);
            rest[1].push(dense);
            global
        });
        let [features, dense] = rest.map(|parts| positions(after(Tensor::cat(parts, 0))));
        let [n, d, _, _] = global.dims();
        Seen {
            global: after(global).reshape([n, d]),
            features,
            dense,
        }
    }
}

/// `[n, c, h, w]` to `[n, h * w, c]`.
fn positions(map: Tensor<4>) -> Tensor<3> {
    let [n, c, h, w] = map.dims();
    map.reshape([n, c, h * w]).swap_dims(1, 2)
}

/// `[n, s, c]` with every position at length 1.
fn unit(x: Tensor<3>) -> Tensor<3> {
    let [n, s, c] = x.dims();
    normalise(x.reshape([n * s, c])).reshape([n, s, c])
}

/// For each position of `query` `[n, s, c]` the most similar one of `key` `[n, t, c]` in the same
/// image, `[n, s]`.
fn matches(query: Tensor<3>, key: Tensor<3>) -> Tensor<2, Int> {
    let [n, s, _] = query.dims();
    let similarity = unit(query.detach()).matmul(unit(key.detach()).swap_dims(1, 2));
    similarity.argmax(2).reshape([n, s])
}

/// `x` `[n, t, d]` at the positions `at` `[n, s]`, as rows `[n * s, d]`.
fn pick(x: Tensor<3>, at: Tensor<2, Int>) -> Tensor<2> {
    let [n, _, d] = x.dims();
    let [_, s] = at.dims();
    let at = at.reshape([n, s, 1]).repeat_dim(2, d);
    x.gather(1, at).reshape([n * s, d])
}

impl Pretext for DenseCl {
    const ABOUT: About = About {
        doc: "MoCo v2 with the same contrast at every position of the bottleneck",
        family: Family::Contrastive,
        year: 2021,
        paper: "Wang et al., CVPR 2021, arXiv 2011.09157",
        version: 1,
    };

    type Options = DenseClOptions;
    type Model = Network;
    type Task<'a> = DenseClTask<'a>;

    fn task<'a>(
        options: &DenseClOptions,
        setup: &Setup<'a>,
    ) -> Result<(DenseClTask<'a>, Network), TrainError> {
        let mut init = Initialiser::new(setup.seed, setup.device);
        let kind = ProjectionKind {
            bias: true,
            last_bias: true,
            ..ProjectionKind::default()
        };
        let branch = Branch::init(setup, &[0, options.width], kind, &mut init)?;
        let features = bottleneck(setup);
        let dense = Projection::init(&mut init, &[features, features, options.width], kind);
        let network = Network { branch, dense };
        let queue = |which| {
            Queue::random(
                options.queue,
                options.width,
                setup.seed,
                which,
                setup.device,
            )
        };
        let task = DenseClTask {
            source: Source::new(setup),
            options: options.clone(),
            teacher: Teacher::of(&network),
            queues: [queue(0), queue(1)],
            meter: Meter::new(
                &["emb_std", "retrieved", "l_global", "l_dense"],
                setup.device,
            ),
            device: setup.device.clone(),
        };
        Ok((task, network))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.branch.encoder)
    }
}

/// DenseCL over a set of images.
pub struct DenseClTask<'a> {
    source: Source<'a>,
    options: DenseClOptions,
    teacher: Teacher<Network>,
    /// Global keys, and pooled dense keys.
    queues: [Queue; 2],
    meter: Meter,
    device: Device,
}

const TEACHER: &str = "teacher";
const QUEUES: [&str; 2] = ["queue.global", "queue.dense"];

impl<'a> Task for DenseClTask<'a> {
    type Model = Network;
    type Batch = ViewBatch;
    type Plan = Views<'a>;

    fn plan(&self, epoch: usize) -> Views<'a> {
        let o = &self.options;
        let recipe = recipe(self.source.size(), o.crop, o.jitter, o.blur);
        self.source.views(vec![recipe; 2], epoch)
    }

    /// The teacher follows the network as the step before left it.
    fn before_step(&mut self, model: Network, at: &Moment) -> Result<Network, TrainError> {
        let momentum = momentum(self.options.momentum, 0.999, at);
        self.teacher.follow(&model, momentum);
        Ok(model)
    }

    fn step(
        &mut self,
        model: &Network,
        batch: ViewBatch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let (groups, t) = (self.options.bn_groups, self.options.temperature);
        let [first, second] = [0, 1].map(|i| batch.tensor(i, &self.device));
        let query = model.see(first, groups, |x| x);
        let shuffle = Shuffle::draw(batch.n, self.source.seed, at, &self.device);
        let key = self
            .teacher
            .module()
            .see(shuffle.apply(second), groups, |x| shuffle.undo(x.detach()));

        let global_key = normalise(key.global);
        let global = against_queue(
            query.global.clone(),
            global_key.clone(),
            self.queues[0].keys(),
            t,
        );
        let partners = pick(key.dense.clone(), matches(query.features, key.features));
        let [n, s, d] = query.dense.dims();
        let dense = against_queue(
            query.dense.reshape([n * s, d]),
            partners,
            self.queues[1].keys(),
            t,
        );
        // One key per image: pooled as it is, then brought to length 1.
        let pooled = normalise(key.dense.mean_dim(1).reshape([n, d]));
        self.queues[0].push(global_key);
        self.queues[1].push(pooled);
        self.meter.add(
            n,
            [
                spread(query.global),
                global.retrieved,
                global.loss.clone(),
                dense.loss.clone(),
            ],
        );
        let lambda = if at.epoch <= self.options.warmup_epochs {
            0.0
        } else {
            self.options.lambda
        };
        Ok(global.loss.mul_scalar(1.0 - lambda) + dense.loss.mul_scalar(lambda))
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        let mut kept: Kept<'_> = vec![(METER, &mut self.meter), (TEACHER, &mut self.teacher)];
        for (name, queue) in QUEUES.into_iter().zip(&mut self.queues) {
            kept.push((name, queue));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::part::testing::{close, g, number, rows};
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    fn image(x: Tensor<2>) -> Tensor<3> {
        x.unsqueeze()
    }

    fn found(at: Tensor<2, Int>) -> Vec<i32> {
        at.into_data().try_to_vec_as::<i32>().unwrap()
    }

    #[test]
    fn positions_are_matched_by_features_and_contrasted_by_projections() {
        on_each_device(|| {
            let fq = rows([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]]);
            let fk = rows([[0.0, 2.0], [3.0, 0.0], [-1.0, 1.0], [1.0, 1.1]]);
            let at = matches(image(fq), image(fk));
            assert_eq!(found(at.clone()), [1, 0, 3, 2]);
            let query = normalise(g(4, 3, [0.7, 0.9, 0.2]));
            let keys = normalise(g(4, 3, [0.7, 0.9, 0.6]));
            let partners = pick(image(keys), at);
            let positive = host_values((query.clone() * partners.clone()).sum_dim(1));
            for (p, e) in positive
                .iter()
                .zip([0.585_654, 0.968_749, 0.299_183, 0.936_567])
            {
                close(f64::from(*p), e);
            }
            let queue = normalise(g(5, 3, [1.3, 0.5, 2.0]));
            let loss =
                |t| number(against_queue(query.clone(), partners.clone(), queue.clone(), t).loss);
            close(loss(0.2), 1.706_085);
            close(loss(0.1), 2.743_215);
            close(0.5 * loss(0.2) + 0.5 * 0.164_301, 0.935_193);
        });
    }

    #[test]
    fn keys_are_pooled_before_they_are_normalised() {
        on_each_device(|| {
            let raw = image(g(4, 3, [0.7, 0.9, 0.6]));
            let pooled = host_values(normalise(raw.mean_dim(1).reshape([1, 3])));
            for (p, e) in pooled.iter().zip([0.843_443, 0.471_853, -0.256_825]) {
                close(f64::from(*p), e);
            }
        });
    }

    #[test]
    fn a_mirror_image_is_matched_by_mirrored_positions() {
        on_each_device(|| {
            let (h, w) = (3, 4);
            let values: Vec<f32> = (0..2 * h * w).map(|i| (i as f32 * 1.7).sin()).collect();
            let data = TensorData::new(values, [1, 2, h, w]);
            let map = Tensor::<4>::from_data(data, &device());
            let at = found(matches(positions(map.clone()), positions(map.flip([3]))));
            let expected: Vec<i32> = (0..h)
                .flat_map(|r| (0..w).map(move |c| r * w + w - 1 - c))
                .collect();
            assert_eq!(at, expected);
        });
    }
}
