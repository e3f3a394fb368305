//! What a pretext task must provide.

use burn::module::Module;
use burn::tensor::Device;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::images::Images;
use crate::nn::weights::Weights;
use crate::options::BackboneOptions;
use crate::train::{Task, TaskState, TrainError};

/// What a task is made from.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Training images.
    pub images: &'a dyn Images,
    /// Categories of the patches before the first epoch, `[images, patches]`.
    pub labels: Option<&'a [u8]>,
    /// Network.
    pub backbone: &'a BackboneOptions,
    /// Epochs of the run.
    pub epochs: usize,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Device of the network, with autodiff.
    pub device: &'a Device,
}

/// A pretext task: options, a training task, and the encoder that it leaves behind.
pub trait Pretext {
    /// Options as a manifest gives them.
    type Options: Default + Serialize + DeserializeOwned + JsonSchema;
    /// Network with whatever heads the task adds.
    type Model: Module;
    /// The task over borrowed images.
    type Task<'a>: Task<Model = Self::Model>;

    /// The task at its start and its network with initial weights.
    ///
    /// # Errors
    /// Options that do not fit the images or the network.
    fn task<'a>(
        options: &Self::Options,
        setup: &Setup<'a>,
    ) -> Result<(Self::Task<'a>, Self::Model), TrainError>;

    /// The tensors of the encoder, under the names of the backbone.
    fn encoder(model: &Self::Model) -> Weights;

    /// What the artifact keeps of the finished task beside the encoder, by file name.
    fn remains(_task: &Self::Task<'_>) -> TaskState {
        TaskState::new()
    }
}
