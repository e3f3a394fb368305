//! The training task of every method that hides patches.

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Batch, Hiding, Plan, Seen, Target};
use crate::data::images::Images;
use crate::mask::patch::Grid;
use crate::nn::backbone::UNet;
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, SparseOptions, TaskOptions};
use crate::pretext::part::{METER, Meter};
use crate::pretext::{About, Pretext, Setup};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// What a method is made for.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// How images are cut into patches.
    pub grid: Grid,
    /// Network.
    pub backbone: &'a BackboneOptions,
    /// Its sparse mode, for methods that use it.
    pub sparse: &'a SparseOptions,
}

impl Frame<'_> {
    /// Channels of the bottleneck.
    #[must_use]
    pub fn width(&self) -> usize {
        self.backbone.width << self.backbone.depth
    }
}

/// A method that hides patches of an image and predicts something of them; [`Masking`] makes a
/// pretext task of it.
pub trait Masked: Sized {
    /// What lists and keys say of it.
    const ABOUT: About;
    /// Names of what [`Masked::loss`] measures; the spread of the features is one of them.
    const MEASURED: &'static [&'static str];
    /// See [`Pretext::SPARSE`].
    const SPARSE: bool = false;
    /// Options as a manifest gives them.
    type Options: TaskOptions;
    /// Network with the heads of the method.
    type Model: Module;

    /// Side of a patch.
    fn patch(options: &Self::Options, backbone: &BackboneOptions) -> usize;

    /// Which patches are hidden.
    fn hiding(options: &Self::Options, grid: Grid) -> Hiding;

    /// What is to be predicted.
    ///
    /// # Errors
    /// A target that the setup does not hold.
    fn target<'a>(
        options: &Self::Options,
        setup: &Setup<'a>,
        grid: Grid,
    ) -> Result<Target<'a>, TrainError>;

    /// Probability of a flip along each axis.
    fn flip(_: &Self::Options) -> f64 {
        0.0
    }

    /// The method at its start and its network with initial weights.
    ///
    /// # Errors
    /// Options that do not fit the images or the network.
    fn start(
        options: &Self::Options,
        frame: &Frame<'_>,
        init: &mut Initialiser,
    ) -> Result<(Self, Self::Model), TrainError>;

    /// The loss of a batch, a tensor of one value. What it measures goes into `meter`.
    ///
    /// # Errors
    /// State that does not fit the network.
    fn loss(
        &mut self,
        model: &Self::Model,
        seen: &Seen,
        at: &Moment,
        meter: &mut Meter,
    ) -> Result<Tensor<1>, TrainError>;

    /// After the optimiser's update.
    ///
    /// # Errors
    /// State that does not fit the network.
    fn after_step(&mut self, _: &Self::Model, _: &Moment) -> Result<(), TrainError> {
        Ok(())
    }

    /// See [`Task::kept`].
    fn kept(&mut self) -> Kept<'_> {
        Vec::new()
    }

    /// The tensors of the encoder, under the names of the backbone.
    fn encoder(model: &Self::Model) -> Weights;
}

/// The pretext task of a [`Masked`] method.
pub struct Masking<M>(PhantomData<M>);

/// A [`Masked`] method over a set of images.
pub struct MaskingTask<'a, M> {
    images: &'a dyn Images,
    method: M,
    grid: Grid,
    hiding: Hiding,
    target: Target<'a>,
    flip: f64,
    sparse: SparseOptions,
    seed: u64,
    device: Device,
    meter: Meter,
}

impl<M: Masked> Pretext for Masking<M> {
    const ABOUT: About = M::ABOUT;
    const SPARSE: bool = M::SPARSE;
    type Options = M::Options;
    type Model = M::Model;
    type Task<'a> = MaskingTask<'a, M>;

    fn task<'a>(
        options: &M::Options,
        setup: &Setup<'a>,
    ) -> Result<(MaskingTask<'a, M>, M::Model), TrainError> {
        let shape = setup.images.shape();
        UNet::check(setup.backbone, shape[1], shape[2])?;
        let grid = Grid::new(shape, M::patch(options, setup.backbone))?;
        let frame = Frame {
            grid,
            backbone: setup.backbone,
            sparse: &setup.pretrain.sparse,
        };
        let mut init = Initialiser::new(setup.seed, setup.device);
        let (method, model) = M::start(options, &frame, &mut init)?;
        let task = MaskingTask {
            images: setup.images,
            method,
            grid,
            hiding: M::hiding(options, grid),
            target: M::target(options, setup, grid)?,
            flip: M::flip(options),
            sparse: setup.pretrain.sparse,
            seed: setup.seed,
            device: setup.device.clone(),
            meter: Meter::new(M::MEASURED, setup.device),
        };
        Ok((task, model))
    }

    fn encoder(model: &M::Model) -> Weights {
        M::encoder(model)
    }
}

impl<'a, M: Masked> Task for MaskingTask<'a, M> {
    type Model = M::Model;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            images: self.images,
            grid: self.grid,
            hiding: self.hiding,
            target: self.target,
            flip: self.flip,
            seed: self.seed,
            epoch: epoch as u64,
        }
    }

    fn step(
        &mut self,
        model: &M::Model,
        batch: Batch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let seen = Seen::new(batch, self.grid, &self.sparse, &self.device);
        self.method.loss(model, &seen, at, &mut self.meter)
    }

    fn after_step(&mut self, model: &M::Model, at: &Moment) -> Result<(), TrainError> {
        self.method.after_step(model, at)
    }

    fn after_epoch(&mut self, _: &M::Model, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        let mut kept = self.method.kept();
        kept.push((METER, &mut self.meter));
        kept
    }
}
