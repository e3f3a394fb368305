//! The tokenizer: an encoder of its own, a codebook in the middle, and a decoder to the features of
//! the teacher. What it leaves are the codes of all training slices.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::teacher::{TokenizerTeacher, batches, to_rows};
use super::{CODES, read_codes, write_codes};
use crate::data::images::Images;
use crate::mask::patch::Grid;
use crate::nn::backbone::{Encoder, UNet};
use crate::nn::codebook::{Codebook, to_host};
use crate::nn::head::{ResidualBlocks, to_grid};
use crate::nn::init::Initialiser;
use crate::nn::layer::{Conv2d, Linear};
use crate::nn::weights::{Weights, floats, host_values, little_endian};
use crate::options::{Tokens, patch_side};
use crate::pretext::part::{METER, Meter, momentum, normalise, spread};
use crate::pretext::{About, Family, Pretext, Setup};
use crate::train::{EpochPlan, Keep, Moment, Scalars, Task, TaskState, TrainError};

/// Vectors per code that the first codes are made of.
const PER_CODE: usize = 4;
/// Images that are looked at together outside of training.
const BATCH: usize = 32;
/// The codebook and the teacher's mean in checkpoints and artifacts.
const BOOK: &str = "codebook.f32";
const MEAN: &str = "teacher_mean.f32";
/// A teacher that moves, in checkpoints.
const TEACHER: &str = "teacher";

/// The first stage of BEiT v2.
pub struct Tokenizer;

/// Encoder to code vectors, and decoder from codes to features.
#[derive(Module, Debug)]
pub struct TokenizerNetwork {
    /// Encoder.
    pub encoder: Encoder,
    /// Bottleneck to hidden.
    pub hidden: Linear,
    /// Hidden to code vector.
    pub code: Linear,
    /// Code to the decoder.
    pub widen: Conv2d,
    /// Decoder.
    pub decoder: ResidualBlocks,
    /// Decoder to hidden.
    pub back: Linear,
    /// Hidden to the teacher's features.
    pub features: Linear,
}

impl TokenizerNetwork {
    /// Code vectors of length 1 for images `[n, c, h, w]`: `[n * patches, dim]`.
    fn vectors(&self, images: Tensor<4>, grid: Grid) -> Tensor<2> {
        let features = to_grid(self.encoder.bottleneck(images), grid.rows(), grid.cols());
        let hidden = self.hidden.forward(to_rows(features)).tanh();
        normalise(self.code.forward(hidden))
    }

    /// Codes `[n * patches, dim]` to features `[n * patches, width]`.
    fn decode(&self, codes: Tensor<2>, grid: Grid) -> Tensor<2> {
        let [count, dim] = codes.dims();
        let (rows, cols) = (grid.rows(), grid.cols());
        let n = count / (rows * cols);
        let map: Tensor<4> = codes.reshape([n, rows, cols, dim]).permute([0, 3, 1, 2]);
        let decoded = self.decoder.forward(self.widen.forward(map));
        self.features
            .forward(self.back.forward(to_rows(decoded)).tanh())
    }
}

/// `1 - cos` of rows, averaged: a tensor of one value.
#[must_use]
pub fn cosine_loss(prediction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    let cosine = (normalise(prediction) * normalise(target)).sum_dim(1);
    cosine.neg().add_scalar(1.0).mean()
}

impl Pretext for Tokenizer {
    const ABOUT: About = About {
        doc: "puts the features of a teacher into codes, for BEiT v2",
        family: Family::Masked,
        year: 2022,
        paper: "Peng et al., arXiv 2208.06366",
        version: 1,
    };
    type Options = Tokens;
    type Model = TokenizerNetwork;
    type Task<'a> = TokenizerTask<'a>;

    fn task<'a>(
        options: &Tokens,
        setup: &Setup<'a>,
    ) -> Result<(TokenizerTask<'a>, TokenizerNetwork), TrainError> {
        let shape = setup.images.shape();
        let backbone = setup.backbone;
        UNet::check(backbone, shape[1], shape[2])?;
        let grid = Grid::new(shape, patch_side(options.patch, backbone.depth))?;
        let o = &options.tokenizer;
        let width = backbone.width << backbone.depth;
        let half = (width / 2).max(1);
        let mut init = Initialiser::new(setup.seed, setup.device);
        let init = &mut init;
        let encoder = Encoder::init(backbone, shape[0], init)?;
        let (kind, mae) = (o.teacher, setup.teacher);
        let teacher = TokenizerTeacher::new(kind, grid, backbone, mae, &encoder, setup.device)?;
        let network = TokenizerNetwork {
            encoder,
            hidden: Linear::init(init, width, width, true),
            code: Linear::init(init, width, o.code_dim, true),
            widen: Conv2d::init(init, o.code_dim, half, 1, true),
            decoder: ResidualBlocks::init(init, backbone.norm, half, o.blocks),
            back: Linear::init(init, half, half, true),
            features: Linear::init(init, half, teacher.width(backbone), true),
        };
        let task = TokenizerTask {
            images: setup.images,
            options: options.clone(),
            grid,
            teacher,
            book: None,
            codes: Vec::new(),
            epochs: setup.pretrain.epochs,
            seed: setup.seed,
            device: setup.device.clone(),
            meter: Meter::new(&["emb_std", "l_teacher", "l_commit"], setup.device),
        };
        Ok((task, network))
    }

    /// All of the network: the whole tokenizer is the artifact.
    fn encoder(model: &TokenizerNetwork) -> Weights {
        Weights::of(model)
    }

    fn remains(task: &TokenizerTask<'_>) -> TaskState {
        task.learned()
    }
}

/// The tokenizer over a set of images.
pub struct TokenizerTask<'a> {
    images: &'a dyn Images,
    options: Tokens,
    grid: Grid,
    teacher: TokenizerTeacher,
    /// None before the first step.
    book: Option<Codebook>,
    /// Codes of all images after the last epoch; empty before.
    codes: Vec<u16>,
    epochs: usize,
    seed: u64,
    device: Device,
    meter: Meter,
}

impl TokenizerTask<'_> {
    fn on(&self, images: Vec<f32>, device: &Device) -> Tensor<4> {
        let [c, h, w] = self.grid.shape();
        let n = images.len() / (c * h * w);
        Tensor::from_data(TensorData::new(images, [n, c, h, w]), device)
    }

    /// The first codes, of so many vectors that there are several for each; a batch alone has
    /// fewer patches than a codebook has codes. The untrained encoder makes them.
    fn first_codes(&self, model: &TokenizerNetwork) -> Codebook {
        let o = &self.options.tokenizer;
        let plain = self.device.clone().inner();
        // Batch statistics, as in the steps to come, and statistics that nobody keeps.
        let probe = model.clone();
        let mut parts = Vec::new();
        let mut count = 0;
        for pixels in batches(self.images, BATCH) {
            let vectors = probe.vectors(self.on(pixels, &self.device), self.grid);
            count += vectors.dims()[0];
            parts.push(vectors.inner());
            if count >= PER_CODE * o.codebook {
                break;
            }
        }
        if count < o.codebook {
            tracing::warn!(
                "{count} patches for {} codes: some codes begin as one; set beit2.tokenizer.codebook",
                o.codebook
            );
        }
        let vectors = Tensor::cat(parts, 0).to_device(&plain);
        Codebook::fitted(&vectors, o.codebook, o.ema, self.seed)
    }

    /// Codes of all images by the trained network and its running statistics.
    fn all_codes(&self, model: &TokenizerNetwork, book: &Codebook) -> Vec<u16> {
        let plain = self.device.clone().inner();
        let model = model.valid();
        let mut codes = Vec::with_capacity(self.images.len() * self.grid.patches());
        for pixels in batches(self.images, BATCH) {
            let vectors = model.vectors(self.on(pixels, &plain), self.grid);
            let index = to_host(book.nearest(vectors, &plain));
            codes.extend(index.into_iter().map(|i| u16::try_from(i).unwrap_or(0)));
        }
        codes
    }

    fn learned(&self) -> TaskState {
        let mut kept = TaskState::new();
        if let Some(book) = &self.book {
            kept.insert(BOOK.to_owned(), book.to_bytes());
            if !self.teacher.mean().is_empty() {
                kept.insert(MEAN.to_owned(), little_endian(self.teacher.mean()));
            }
        }
        if !self.codes.is_empty() {
            kept.insert(CODES.to_owned(), write_codes(&self.codes));
        }
        kept
    }
}

/// The view of one epoch: clean images.
pub struct Plan<'a>(&'a dyn Images);

impl EpochPlan for Plan<'_> {
    type Batch = Vec<f32>;

    fn batch(&self, indices: &[usize]) -> Result<Vec<f32>, TrainError> {
        let size: usize = self.0.shape().iter().product();
        let mut pixels = vec![0.0; indices.len() * size];
        for (&index, image) in indices.iter().zip(pixels.chunks_exact_mut(size)) {
            self.0.image(index, image);
        }
        Ok(pixels)
    }
}

impl<'a> Task for TokenizerTask<'a> {
    type Model = TokenizerNetwork;
    type Batch = Vec<f32>;
    type Plan = Plan<'a>;

    fn plan(&self, _: usize) -> Plan<'a> {
        Plan(self.images)
    }

    fn before_step(
        &mut self,
        model: TokenizerNetwork,
        _: &Moment,
    ) -> Result<TokenizerNetwork, TrainError> {
        if self.book.is_none() {
            self.teacher.find_mean(self.images);
            self.book = Some(self.first_codes(&model));
        }
        Ok(model)
    }

    fn step(
        &mut self,
        model: &TokenizerNetwork,
        batch: Vec<f32>,
        _: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let target = self.teacher.features(&batch);
        let images = self.on(batch, &self.device);
        let [n, _, _, _] = images.dims();
        let vectors = model.vectors(images, self.grid);
        let Some(book) = &mut self.book else {
            return Err(TrainError::NoImages);
        };
        let quantised = book.quantise(vectors.clone());
        book.update(&host_values(vectors.clone()), &to_host(quantised.index));
        let decoded = model.decode(quantised.codes, self.grid);
        let loss = cosine_loss(decoded, target);
        let commitment = quantised.commitment;
        let measured = [spread(vectors), loss.clone(), commitment.clone()];
        self.meter.add(n, measured);
        Ok(loss + commitment)
    }

    fn after_step(&mut self, model: &TokenizerNetwork, at: &Moment) -> Result<(), TrainError> {
        let momentum = momentum(self.options.tokenizer.momentum, 0.999, at);
        if let Some(teacher) = self.teacher.moving() {
            teacher.follow(&model.encoder, momentum);
        }
        Ok(())
    }

    fn after_epoch(
        &mut self,
        model: &TokenizerNetwork,
        epoch: usize,
    ) -> Result<Scalars, TrainError> {
        let mut scalars = self.meter.take();
        if let Some(book) = &mut self.book {
            let (used, perplexity) = book.spread();
            scalars.insert("codes.used".to_owned(), used);
            scalars.insert("codes.perplexity".to_owned(), perplexity);
            book.reset_usage();
        }
        if let (Some(book), true) = (&self.book, epoch == self.epochs) {
            self.codes = self.all_codes(model, book);
        }
        Ok(scalars)
    }

    fn state(&mut self) -> Result<TaskState, TrainError> {
        let mut state = self.learned();
        let meter = self.meter.bytes()?.map(|bytes| (METER.to_owned(), bytes));
        state.extend(meter);
        if let Some(bytes) = self
            .teacher
            .moving()
            .map(|t| t.bytes())
            .transpose()?
            .flatten()
        {
            state.insert(TEACHER.to_owned(), bytes);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &TaskState) -> Result<(), TrainError> {
        if let Some(bytes) = state.get(METER) {
            self.meter.restore(bytes)?;
        }
        if let (Some(teacher), Some(bytes)) = (self.teacher.moving(), state.get(TEACHER)) {
            teacher.restore(bytes)?;
        }
        let o = &self.options.tokenizer;
        if let Some(bytes) = state.get(BOOK) {
            self.book = Codebook::from_bytes(bytes, o.code_dim, o.ema);
        }
        if let Some(bytes) = state.get(MEAN) {
            self.teacher.set_mean(floats(bytes));
        }
        if let Some(bytes) = state.get(CODES) {
            self.codes = read_codes(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};

    #[test]
    fn cosine_loss_of_n11() {
        on_each_device(|| {
            let device = device().inner();
            let rows = |v: [[f32; 3]; 2]| Tensor::<2>::from_floats(v, &device);
            let teacher = rows([[1., 2., 2.], [0., 3., 4.]]);
            let rec = rows([[2., 2., 1.], [0., 1., 0.]]);
            let loss = host_values(cosine_loss(rec, teacher))[0];
            assert!((loss - 0.255_556).abs() < 1e-5, "{loss}");
        });
    }
}
