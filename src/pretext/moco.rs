//! MoCo v2: a query against its key from a teacher and a queue of older keys
//! (`methods/contrastive.md` section 6).

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::{
    Branch, Jitter, METER, Meter, Queue, Recipe, Shift, Shuffle, Source, Teacher, ViewBatch, Views,
    against_queue, in_groups, momentum, normalise, spread,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::head::ProjectionKind;
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, inside, is_default, up_to,
    within,
};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// Options of MoCo v2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MocoOptions {
    /// Temperature.
    pub temperature: f64,
    /// Length of an embedding.
    pub width: usize,
    /// Keys in the queue.
    pub queue: usize,
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

impl Default for MocoOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            width: 128,
            queue: 4032,
            momentum: 0.0,
            bn_groups: 4,
            crop: [0.2, 1.0],
            jitter: 0.4,
            blur: 0.5,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for MocoOptions {
    fn check(&self, _: &Frame<'_>) -> Result<(), Misfit> {
        inside("moco.temperature", self.temperature, 0.0, 100.0)?;
        within("moco.width", self.width as f64, 1.0, 65536.0)?;
        within("moco.queue", self.queue as f64, 1.0, 1e6)?;
        within("moco.momentum", self.momentum, 0.0, 1.0)?;
        within("moco.bn_groups", self.bn_groups as f64, 1.0, 1024.0)?;
        up_to("moco.crop", self.crop[0], 0.0, self.crop[1])?;
        up_to("moco.crop", self.crop[1], 0.0, 1.0)?;
        within("moco.jitter", self.jitter, 0.0, 1.0)?;
        within("moco.blur", self.blur, 0.0, 1.0)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Sgd,
            weight_decay: 1e-4,
            warmup_epochs: 0.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 0.03, 256.0, original)
    }
}

/// MoCo v2.
pub struct Moco;

impl Pretext for Moco {
    const ABOUT: About = About {
        doc: "finds the other view of a slice, made by a slow teacher, among a queue of older ones",
        family: Family::Contrastive,
        year: 2020,
        paper: "X. Chen et al., arXiv 2003.04297",
        version: 1,
    };

    type Options = MocoOptions;
    type Model = Branch;
    type Task<'a> = MocoTask<'a>;

    fn task<'a>(
        options: &MocoOptions,
        setup: &Setup<'a>,
    ) -> Result<(MocoTask<'a>, Branch), TrainError> {
        let mut init = Initialiser::new(setup.seed, setup.device);
        let kind = ProjectionKind {
            bias: true,
            last_bias: true,
            ..ProjectionKind::default()
        };
        let branch = Branch::init(setup, &[0, options.width], kind, &mut init)?;
        let queue = Queue::random(options.queue, options.width, setup.seed, 0, setup.device);
        let task = MocoTask {
            source: Source::new(setup),
            options: options.clone(),
            teacher: Teacher::of(&branch),
            queue,
            meter: Meter::new(&["emb_std", "retrieved"], setup.device),
            device: setup.device.clone(),
        };
        Ok((task, branch))
    }

    fn encoder(model: &Branch) -> Weights {
        Weights::of(&model.encoder)
    }
}

/// MoCo v2 over a set of images.
pub struct MocoTask<'a> {
    source: Source<'a>,
    options: MocoOptions,
    teacher: Teacher<Branch>,
    queue: Queue,
    meter: Meter,
    device: Device,
}

const TEACHER: &str = "teacher";
const QUEUE: &str = "queue";

/// The augmentation of MoCo v2, which DenseCL has too.
pub(super) fn recipe(size: [usize; 2], crop: [f64; 2], jitter: f64, blur: f64) -> Recipe {
    Recipe {
        size,
        crop,
        jitter: Jitter {
            chance: 0.8,
            brightness: Shift::Multiply(jitter),
            contrast: jitter,
        },
        blur,
        solarise: 0.0,
    }
}

impl<'a> Task for MocoTask<'a> {
    type Model = Branch;
    type Batch = ViewBatch;
    type Plan = Views<'a>;

    fn plan(&self, epoch: usize) -> Views<'a> {
        let o = &self.options;
        let recipe = recipe(self.source.size(), o.crop, o.jitter, o.blur);
        self.source.views(vec![recipe; 2], epoch)
    }

    /// The teacher follows the network as the step before left it.
    fn before_step(&mut self, model: Branch, at: &Moment) -> Result<Branch, TrainError> {
        let momentum = momentum(self.options.momentum, 0.999, at);
        self.teacher.follow(&model, momentum);
        Ok(model)
    }

    fn step(
        &mut self,
        model: &Branch,
        batch: ViewBatch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let groups = self.options.bn_groups;
        let [first, second] = [0, 1].map(|i| batch.tensor(i, &self.device));
        let query = in_groups(first, groups, |part| model.forward(part));
        let shuffle = Shuffle::draw(batch.n, self.source.seed, at, &self.device);
        let teacher = self.teacher.module();
        let key = in_groups(shuffle.apply(second), groups, |part| {
            teacher.forward(part).detach()
        });
        let key = normalise(shuffle.undo(key));
        let found = against_queue(
            query.clone(),
            key.clone(),
            self.queue.keys(),
            self.options.temperature,
        );
        // Only now: a key must not be among its own negatives.
        self.queue.push(key);
        self.meter.add(batch.n, [spread(query), found.retrieved]);
        Ok(found.loss)
    }

    fn after_epoch(&mut self, _: &Branch, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![
            (METER, &mut self.meter),
            (TEACHER, &mut self.teacher),
            (QUEUE, &mut self.queue),
        ]
    }
}
