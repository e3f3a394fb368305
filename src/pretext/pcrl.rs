//! PCRL: contrast with a queue, and reconstruction of transformed images from features that are
//! gated by a code of the transformation and mixed with a teacher's (`methods/contrastive.md`
//! section 9).

use burn::module::Module;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::augment::{
    TOP, Turned, blur, contrast, cut_out, flip, in_unit, multiply, resize, rotate,
};
use super::part::{
    Branch, METER, Meter, Queue, Source, Teacher, against_queue, bottleneck, indices, momentum,
    normalise, spread, width_or,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::backbone::{Decoder, UNet, pool};
use crate::nn::head::{Projection, ProjectionKind};
use crate::nn::init::Initialiser;
use crate::nn::layer::Linear;
use crate::nn::weights::{Weights, host_values};
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, Transfer, inside,
    is_default, up_to, within,
};
use crate::random::{Purpose, Stream};
use crate::train::{EpochPlan, Keep, Kept, Moment, Scalars, Task, TrainError};

/// Numbers that tell a transformation.
const CODE: usize = 6;
/// Squares that are cut out of a view.
const HOLES: usize = 3;
/// Degrees of rotation.
const DEGREES: f64 = 10.0;
/// Change of brightness and contrast.
const JITTER: f64 = 0.4;
/// Added to probabilities of [`PcrlLoss::Nce`].
const EPSILON: f64 = 1e-5;

/// Form of the contrast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PcrlLoss {
    /// Softmax over the own key and the queue.
    #[default]
    InfoNce,
    /// Binary decisions with a constant fixed by the first batch, as in the released code.
    Nce,
}

/// When the keys of a step go into the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enqueue {
    /// After all three contrasts.
    #[default]
    After,
    /// Those of a contrast right after it, as in the released code: the next one then sees keys of
    /// its own images as negatives.
    Between,
}

/// What a rotation brings in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// The median of the four corners of the view: air, in every modality.
    #[default]
    Corners,
    /// Zeros.
    Zero,
}

/// Options of PCRL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PcrlOptions {
    /// Temperature.
    pub temperature: f64,
    /// Form of the contrast.
    pub loss: PcrlLoss,
    /// Length of an embedding, and of the hidden layer before it.
    pub width: usize,
    /// Width of the hidden layer of the gate; 0 is a quarter of the channels of the bottleneck.
    pub gate: usize,
    /// Keys in the queue.
    pub queue: usize,
    /// When the keys of a step go into the queue.
    #[serde(skip_serializing_if = "is_default")]
    pub enqueue: Enqueue,
    /// What a rotation brings in.
    #[serde(skip_serializing_if = "is_default")]
    pub beyond: Beyond,
    /// Momentum of the teacher; 0 is 0.999 for runs of at least 100,000 steps and 0.99 for shorter
    /// ones.
    pub momentum: f64,
    /// Least and greatest share of a slice that a view shows.
    pub crop: [f64; 2],
    /// Chance of a blur.
    pub blur: f64,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for PcrlOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            loss: PcrlLoss::default(),
            width: 128,
            gate: 0,
            queue: 4032,
            enqueue: Enqueue::default(),
            beyond: Beyond::default(),
            momentum: 0.0,
            crop: [0.2, 1.0],
            blur: 0.5,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for PcrlOptions {
    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        inside("pcrl.temperature", self.temperature, 0.0, 100.0)?;
        within("pcrl.width", self.width as f64, 1.0, 65536.0)?;
        within("pcrl.gate", self.gate as f64, 0.0, 65536.0)?;
        within("pcrl.queue", self.queue as f64, 1.0, 1e6)?;
        within("pcrl.momentum", self.momentum, 0.0, 1.0)?;
        up_to("pcrl.crop", self.crop[0], 0.0, self.crop[1])?;
        up_to("pcrl.crop", self.crop[1], 0.0, 1.0)?;
        within("pcrl.blur", self.blur, 0.0, 1.0)?;
        let [height, width] = frame.image;
        if height != width {
            return Err(Misfit::new(
                &["prepare.crop.size", "pretext"],
                format!("quarter turns need a square image, not {height} x {width}"),
            ));
        }
        Ok(())
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Sgd,
            weight_decay: 1e-4,
            warmup_epochs: 0.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1e-3, 64.0, original)
    }
}

/// PCRL.
pub struct Pcrl;

/// What is trained.
#[derive(Module, Debug)]
pub struct Network {
    /// Encoder and projection, which the teacher follows.
    pub branch: Branch,
    /// From features to images.
    pub decoder: Decoder,
    /// From a code to a factor for each channel of the bottleneck.
    pub gate: Gate,
}

/// A code of a transformation as factors of channels.
#[derive(Module, Debug)]
pub struct Gate {
    /// First layer.
    pub first: Linear,
    /// Second layer.
    pub second: Linear,
}

impl Gate {
    /// A gate for `channels`.
    fn init(init: &mut Initialiser, hidden: usize, channels: usize) -> Self {
        Self {
            first: Linear::init(init, CODE, hidden, true),
            second: Linear::init(init, hidden, channels, true),
        }
    }

    /// `[n, 6]` to `[n, c, 1, 1]`, between 0 and 1.
    fn forward(&self, code: Tensor<2>) -> Tensor<4> {
        let factors = sigmoid(self.second.forward(relu(self.first.forward(code))));
        let [n, c] = factors.dims();
        factors.reshape([n, c, 1, 1])
    }
}

impl Branch {
    /// Features of every level, and the embedding.
    fn see(&self, images: Tensor<4>) -> Features {
        let levels = self.encoder.forward(images);
        // A network has a level at least.
        let rows = levels.last().map(|bottleneck| pool(bottleneck.clone()));
        let embedding = match rows {
            Some(rows) => self.head.forward(rows),
            None => Tensor::empty([0, 0], &self.head.layers[0].weight.val().device()),
        };
        Features { levels, embedding }
    }
}

/// What a branch makes of images.
#[derive(Clone)]
struct Features {
    /// Finest first.
    levels: Vec<Tensor<4>>,
    /// `[n, d]`.
    embedding: Tensor<2>,
}

impl Features {
    /// The same without gradients.
    fn detach(self) -> Self {
        Self {
            levels: self.levels.into_iter().map(Tensor::detach).collect(),
            embedding: self.embedding.detach(),
        }
    }

    /// Levels with the bottleneck multiplied by `gate`.
    fn gated(&self, gate: &Tensor<4>) -> Vec<Tensor<4>> {
        let mut levels = self.levels.clone();
        if let Some(last) = levels.pop() {
            levels.push(last * gate.clone());
        }
        levels
    }
}

/// `alpha` of one and the rest of the other, level by level.
fn blend(a: Vec<Tensor<4>>, b: Vec<Tensor<4>>, alpha: f64) -> Vec<Tensor<4>> {
    a.into_iter()
        .zip(b)
        .map(|(a, b)| mix(a, b, alpha))
        .collect()
}

/// `alpha a + (1 - alpha) b`.
fn mix<const D: usize>(a: Tensor<D>, b: Tensor<D>, alpha: f64) -> Tensor<D> {
    a.mul_scalar(alpha) + b.mul_scalar(1.0 - alpha)
}

/// Mean squared error.
fn error(a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
    (a - b).square().mean()
}

impl Pretext for Pcrl {
    const ABOUT: About = About {
        doc: "contrast with a queue, and reconstruction from features gated by the transformation",
        family: Family::Contrastive,
        year: 2021,
        paper: "Zhou et al., ICCV 2021, arXiv 2109.04379",
        version: 1,
    };
    const TRAINS_DECODER: bool = true;

    type Options = PcrlOptions;
    type Model = Network;
    type Task<'a> = PcrlTask<'a>;

    fn task<'a>(
        options: &PcrlOptions,
        setup: &Setup<'a>,
    ) -> Result<(PcrlTask<'a>, Network), TrainError> {
        let [channels, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let mut init = Initialiser::new(setup.seed, setup.device);
        let (encoder, decoder) = Decoder::halves(setup.backbone, channels, channels, &mut init)?;
        let features = bottleneck(setup);
        let kind = ProjectionKind {
            bias: true,
            last_bias: true,
            ..ProjectionKind::default()
        };
        let head = Projection::init(&mut init, &[features, options.width, options.width], kind);
        let hidden = width_or(options.gate, (features / 4).max(1));
        let gate = Gate::init(&mut init, hidden, features);
        let branch = Branch { encoder, head };
        let task = PcrlTask {
            source: Source::new(setup),
            options: options.clone(),
            teacher: Teacher::of(&branch),
            queue: Queue::random(options.queue, options.width, setup.seed, 0, setup.device),
            constant: None,
            meter: Meter::new(
                &["emb_std", "retrieved", "l_contrast", "l_pixel"],
                setup.device,
            ),
            device: setup.device.clone(),
        };
        let network = Network {
            branch,
            decoder,
            gate,
        };
        Ok((task, network))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.branch.encoder)
    }

    fn decoder(model: &Network, transfer: Transfer) -> Option<Weights> {
        (transfer == Transfer::Full).then(|| model.decoder.blocks())
    }
}

impl Keep for Option<f64> {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        Ok(self.map(|value| value.to_le_bytes().to_vec()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        *self = bytes.first_chunk().map(|bytes| f64::from_le_bytes(*bytes));
        Ok(())
    }
}

/// PCRL over a set of images.
pub struct PcrlTask<'a> {
    source: Source<'a>,
    options: PcrlOptions,
    teacher: Teacher<Branch>,
    queue: Queue,
    /// `Z` of [`PcrlLoss::Nce`], once it is known.
    constant: Option<f64>,
    meter: Meter,
    device: Device,
}

const TEACHER: &str = "teacher";
const QUEUE: &str = "queue";
const CONSTANT: &str = "constant";

/// The view of one epoch.
pub struct Plan<'a> {
    source: Source<'a>,
    options: PcrlOptions,
    epoch: u64,
}

/// Two views of every image.
#[derive(Clone, Debug)]
pub struct Batch {
    n: usize,
    views: [Views; 2],
}

/// The views of one kind, `[n, c, h, w]` each.
#[derive(Clone, Debug, Default)]
struct Views {
    /// What the network sees.
    seen: Vec<f32>,
    /// The same, mirrored and turned.
    turned: Vec<f32>,
    /// The window before everything else.
    clean: Vec<f32>,
    /// How it was turned, `[n, 6]`.
    code: Vec<f32>,
}

impl Plan<'_> {
    fn add(&self, index: usize, image: &[f32], which: usize, views: &mut Views) {
        let source = &self.source;
        let full = source.size();
        let [height, width] = full;
        let key = [
            source.seed,
            self.epoch,
            source.images.id(index),
            which as u64,
        ];
        let stream = &mut Stream::new(Purpose::Augment, &key);
        let window = source.window(index, image, self.options.crop, stream);
        let clean = resize(image, full, window, full);
        let fill: Vec<f32> = clean
            .chunks_exact(height * width)
            .map(|plane| match self.options.beyond {
                Beyond::Corners => background(plane, width),
                Beyond::Zero => 0.0,
            })
            .collect();
        let mut seen = rotate(&clean, full, stream.range(-DEGREES, DEGREES), &fill);
        if stream.uniform() < 0.5 {
            flip(&mut seen, width);
        }
        let (blurs, sigma) = (stream.uniform() < self.options.blur, stream.range(0.1, 2.0));
        let brightness = stream.range(1.0 - JITTER, 1.0 + JITTER) as f32;
        let factor = stream.range(1.0 - JITTER, 1.0 + JITTER) as f32;
        let brightness_first = stream.uniform() < 0.5;
        in_unit(&mut seen, height * width, source.bounds(index), |plane| {
            if blurs {
                blur(
                    plane,
                    width,
                    sigma,
                    (height / 20).max(1),
                    source.options.border,
                );
            }
            if brightness_first {
                multiply(plane, brightness);
            }
            contrast(plane, factor, TOP);
            if !brightness_first {
                multiply(plane, brightness);
            }
        });
        let side = hole(height);
        for _ in 0..HOLES {
            let centre = [stream.below(height), stream.below(width)];
            cut_out(&mut seen, full, centre, side);
        }
        let turned = Turned::draw(stream);
        views.turned.extend(turned.apply(&seen, height));
        views.code.extend(turned.code());
        views.seen.extend(seen);
        views.clean.extend(clean);
    }
}

/// Side of a square that is cut out: 32 of 224 pixels, even.
fn hole(side: usize) -> usize {
    (32 * side / 224) & !1
}

/// What lies outside of the body: the median of the four corners.
fn background(plane: &[f32], width: usize) -> f32 {
    let last = plane.len().saturating_sub(1);
    let places = [0, width - 1, last + 1 - width, last];
    let mut corners = places.map(|i| plane.get(i).copied().unwrap_or_default());
    corners.sort_by(f32::total_cmp);
    corners[1]
}

impl EpochPlan for Plan<'_> {
    type Batch = Batch;

    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        self.source.steps(shuffled, self.epoch)
    }

    fn batch(&self, slices: &[usize]) -> Result<Batch, TrainError> {
        let images = self.source.images;
        let [channels, height, width] = images.shape();
        let mut image = vec![0.0; channels * height * width];
        let mut batch = Batch {
            n: slices.len(),
            views: [Views::default(), Views::default()],
        };
        for &index in slices {
            images.image(index, &mut image);
            for (which, views) in batch.views.iter_mut().enumerate() {
                self.add(index, &image, which, views);
            }
        }
        Ok(batch)
    }
}

/// What a step draws: one number for all images, not one for each.
struct Mixture {
    /// Share of the student in reconstructions of views.
    alpha: f64,
    /// The same for mixed images.
    alpha_mixed: f64,
    /// Share of the first image in a mixed one.
    lambda: f64,
    /// Partners of the images in mixed ones.
    partners: Vec<usize>,
}

impl Mixture {
    fn draw(n: usize, seed: u64, at: &Moment) -> Self {
        let key = [seed, at.epoch as u64, at.step as u64];
        let mut stream = Stream::new(Purpose::Mixture, &key);
        let mut share = || {
            let u = stream.uniform();
            u.max(1.0 - u)
        };
        let (alpha, alpha_mixed, lambda) = (share(), share(), share());
        Self {
            alpha,
            alpha_mixed,
            lambda,
            partners: stream.permutation(n),
        }
    }
}

/// Binary form of the contrast: `m` keys in the queue, `data` images by which noise is weighed, `z`
/// the constant of the probabilities.
fn nce(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, t: f64, z: f64, data: f64) -> Tensor<1> {
    let [n, _] = query.dims();
    let [m, _] = queue.dims();
    let noise = m as f64 / data;
    let (positive, negative) = similarities(query, key, queue, t);
    let p = |s: Tensor<2>| s.exp().div_scalar(z);
    let (p0, pk) = (p(positive), p(negative));
    let own = (p0.clone() / p0.add_scalar(noise + EPSILON)).log().sum();
    let others = pk
        .add_scalar(noise + EPSILON)
        .recip()
        .mul_scalar(noise)
        .log()
        .sum();
    (own + others).div_scalar(-(n as f64))
}

/// `Z` of [`nce`] from a first batch.
fn constant(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, t: f64, data: f64) -> f64 {
    let (positive, negative) = similarities(query, key, queue, t);
    let all = Tensor::cat(vec![positive, negative], 1);
    let mean = host_values(all.exp().mean());
    mean.first().map_or(1.0, |&v| f64::from(v)) * data
}

fn similarities(
    query: Tensor<2>,
    key: Tensor<2>,
    queue: Tensor<2>,
    t: f64,
) -> (Tensor<2>, Tensor<2>) {
    let (query, key) = (normalise(query), normalise(key.detach()));
    let positive = (query.clone() * key).sum_dim(1).div_scalar(t);
    (positive, query.matmul(queue.transpose()).div_scalar(t))
}

impl PcrlTask<'_> {
    fn images(&self, values: Vec<f32>, n: usize) -> Tensor<4> {
        let [channels, height, width] = self.source.images.shape();
        let data = TensorData::new(values, [n, channels, height, width]);
        Tensor::from_data(data, &self.device)
    }

    /// The contrast in the form that was chosen, and the share of retrieved partners. The key goes
    /// into the queue at once where that is asked for.
    fn contrast(&mut self, query: Tensor<2>, key: Tensor<2>, at: &Moment) -> [Tensor<1>; 2] {
        let (t, queue) = (self.options.temperature, self.queue.keys());
        let found = against_queue(query.clone(), key.clone(), queue.clone(), t);
        let loss = match self.options.loss {
            PcrlLoss::InfoNce => found.loss,
            PcrlLoss::Nce => {
                let data = at.steps as f64;
                let z = *self.constant.get_or_insert_with(|| {
                    constant(query.clone(), key.clone(), queue.clone(), t, data)
                });
                nce(query, key.clone(), queue, t, z, data)
            }
        };
        if self.options.enqueue == Enqueue::Between {
            self.queue.push(normalise(key));
        }
        [loss, found.retrieved]
    }
}

impl<'a> Task for PcrlTask<'a> {
    type Model = Network;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            source: self.source.clone(),
            options: self.options.clone(),
            epoch: epoch as u64,
        }
    }

    fn step(
        &mut self,
        model: &Network,
        batch: Batch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let n = batch.n;
        let drawn = Mixture::draw(n, self.source.seed, at);
        let partners = indices(&drawn.partners, &self.device);
        let [first, second] = batch.views;
        let codes = [&first.code, &second.code].map(|code| {
            let data = TensorData::new(code.clone(), [n, CODE]);
            model.gate.forward(Tensor::from_data(data, &self.device))
        });
        let [gate1, gate2] = codes;
        let x1 = self.images(first.seen, n);
        let x2 = self.images(second.seen, n);
        let (m1, m2) = (self.images(first.turned, n), self.images(second.turned, n));
        let (g1, g2) = (self.images(first.clean, n), self.images(second.clean, n));

        // Views: gated features of the student, and their blend with the teacher's.
        let taught = self.teacher.module().see(x2.clone()).detach();
        let seen = model.branch.see(x1.clone());
        let y = model.decoder.forward(seen.gated(&gate1));
        let blended = blend(seen.gated(&gate1), taught.gated(&gate2), drawn.alpha);
        let y_blended = model.decoder.forward(blended);

        // Mixed images: no gate.
        let mixed = |x: Tensor<4>| {
            let other = x.clone().select(0, partners.clone());
            mix(x, other, drawn.lambda)
        };
        let key = taught.embedding;
        // Keys are mixed as they are, before they are brought to length 1.
        let key_mixed = mix(
            key.clone(),
            key.clone().select(0, partners.clone()),
            drawn.lambda,
        );
        let taught = self.teacher.module().see(mixed(x2)).detach();
        let also = model.branch.see(mixed(x1));
        let z = model.decoder.forward(also.levels.clone());
        let blended = blend(also.levels, taught.levels, drawn.alpha_mixed);
        let z_blended = model.decoder.forward(blended);

        // All three against the same queue, after which the keys are added, unless asked otherwise.
        let query = seen.embedding;
        let [own, retrieved] = self.contrast(query.clone(), key.clone(), at);
        let [of_mixed, _] = self.contrast(also.embedding.clone(), taught.embedding.clone(), at);
        let [of_keys, _] = self.contrast(also.embedding, key_mixed.clone(), at);
        let l_contrast = (own + of_mixed + of_keys).div_scalar(3.0);
        let (c1, c2) = (mixed(g1), mixed(g2));
        let l_pixel = error(y, m1.clone())
            + error(y_blended, mix(m1, m2, drawn.alpha))
            + error(z, c1.clone())
            + error(z_blended, mix(c1, c2, drawn.alpha_mixed));
        let l_pixel = l_pixel.div_scalar(4.0);
        if self.options.enqueue == Enqueue::After {
            for key in [key, taught.embedding, key_mixed] {
                self.queue.push(normalise(key));
            }
        }
        self.meter.add(
            n,
            [
                spread(query),
                retrieved,
                l_contrast.clone(),
                l_pixel.clone(),
            ],
        );
        Ok(l_contrast + l_pixel)
    }

    fn after_step(&mut self, model: &Network, at: &Moment) -> Result<(), TrainError> {
        let momentum = momentum(self.options.momentum, 0.999, at);
        self.teacher.follow(&model.branch, momentum);
        Ok(())
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![
            (METER, &mut self.meter),
            (TEACHER, &mut self.teacher),
            (QUEUE, &mut self.queue),
            (CONSTANT, &mut self.constant),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::testing::{close, g, number, rows};
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::trainable;

    #[test]
    fn fixtures_of_both_forms() {
        on_each_device(|| {
            let q = || g(2, 3, [0.9, 0.4, 0.1]);
            let k = || g(2, 3, [0.9, 0.4, 0.4]);
            let queue = || normalise(g(3, 3, [1.4, 0.7, 0.9]));
            for (t, info_nce, z, binary) in [
                (0.2, 0.555_959, 607.610_786, 1.299_833),
                (0.1, 0.458_912, 78_213.902_068, 1.215_233),
            ] {
                close(number(against_queue(q(), k(), queue(), t).loss), info_nce);
                let found = constant(q(), k(), queue(), t, 10.0);
                assert!((found / z - 1.0).abs() < 1e-5, "{found}, not {z}");
                close(number(nce(q(), k(), queue(), t, found, 10.0)), binary);
            }
        });
    }

    #[test]
    fn the_binary_form_starts_at_the_logarithm_of_its_noise() {
        on_each_device(|| {
            for (m, data, expected) in [(16384, 1000.0, 10.714_091), (4032, 300.0, 9.305_142)] {
                let one = || rows([[1.0, 0.0]]);
                let queue = || one().repeat(&[m, 1]);
                let z = constant(one(), one(), queue(), 0.2, data);
                let loss = number(nce(one(), one(), queue(), 0.2, z, data));
                assert!((loss - expected).abs() < 2e-3, "{loss}, not {expected}");
            }
        });
    }

    #[test]
    fn blends_and_mixtures_by_hand() {
        on_each_device(|| {
            let device = device().inner();
            let one = |v: f32| Tensor::<4>::full([1, 1, 1, 1], v, &device);
            let of = |v: f32| Features {
                levels: vec![one(v)],
                embedding: Tensor::zeros([1, 1], &device),
            };
            let blended = blend(of(2.0).gated(&one(0.5)), of(4.0).gated(&one(0.75)), 0.6);
            assert!((host_values(blended[0].clone())[0] - 1.8).abs() < 1e-6);
            let same = blend(of(2.0).gated(&one(0.5)), of(4.0).gated(&one(0.75)), 1.0);
            assert_eq!(host_values(same[0].clone()), [1.0]);
            let x = rows([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
            let partners = indices(&[2, 0, 1], &x.device());
            let mixed = host_values(mix(x.clone(), x.clone().select(0, partners), 0.7));
            for (m, e) in mixed.iter().zip([2.2, 3.2, 2.4, 3.4, 4.4, 5.4]) {
                close(f64::from(*m), e);
            }
            assert_eq!(host_values(mix(x.clone(), x.clone(), 1.0)), host_values(x));
        });
    }

    #[test]
    fn shares_lie_in_the_upper_half_and_holes_are_even() {
        on_each_device(|| {
            let at = Moment {
                epoch: 1,
                epochs: 2,
                step: 0,
                steps: 4,
            };
            let drawn = Mixture::draw(5, 3, &at);
            for share in [drawn.alpha, drawn.alpha_mixed, drawn.lambda] {
                assert!((0.5..=1.0).contains(&share));
            }
            assert_eq!(drawn.partners.len(), 5);
            assert_eq!((hole(144), hole(160), hole(224)), (20, 22, 32));
            let gate = Gate::init(&mut Initialiser::new(1, &device()), 256, 1024);
            assert_eq!(trainable(&gate), 264_960);
        });
    }
}
