//! What a pretext task must provide.

use burn::module::Module;
use burn::tensor::Device;

use crate::data::images::Images;
use crate::nn::weights::Weights;
use crate::options::{BackboneOptions, PretrainOptions, TaskOptions, Transfer};
use crate::train::{Task, TaskState, TrainError};

/// What kind of method it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Trains from scratch.
    Supervised,
    /// Reconstructs what is masked.
    Masked,
    /// Compares views of images.
    Contrastive,
}

impl Family {
    /// Name in lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervised => "supervised",
            Self::Masked => "masked",
            Self::Contrastive => "contrastive",
        }
    }
}

/// What lists and keys say of a method.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// One line.
    pub doc: &'static str,
    /// Kind of method.
    pub family: Family,
    /// Year of publication.
    pub year: u16,
    /// Where it comes from.
    pub paper: &'static str,
    /// Version of the algorithm; bumped when the same inputs give other weights. Part of keys.
    pub version: u32,
}

/// What a task is made from.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Training images.
    pub images: &'a dyn Images,
    /// Categories of the patches before the first epoch, `[images, patches]`.
    pub labels: Option<&'a [u8]>,
    /// Codes of the patches, `[images, patches]`, for tasks that predict them.
    pub codes: Option<&'a [u16]>,
    /// Encoder of a finished pre-training, for tasks that learn from it.
    pub teacher: Option<&'a Weights>,
    /// Network.
    pub backbone: &'a BackboneOptions,
    /// The training, in so far as it concerns the task.
    pub pretrain: &'a PretrainOptions,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Device of the network, with autodiff.
    pub device: &'a Device,
}

/// A pretext task: options, a training task, and the encoder that it leaves behind.
pub trait Pretext {
    /// What lists and keys say of it.
    const ABOUT: About;
    /// Whether it trains the decoder of the backbone, which [`Transfer::Full`] then hands on.
    const TRAINS_DECODER: bool = false;
    /// Whether it reads [`PretrainOptions::sparse`].
    const SPARSE: bool = false;

    /// Options as a manifest gives them.
    type Options: TaskOptions;
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

    /// The tensors of the blocks of the decoder that are handed on with the encoder, under the
    /// names of the backbone.
    fn decoder(_model: &Self::Model, _transfer: Transfer) -> Option<Weights> {
        None
    }

    /// What the artifact keeps of the finished task beside the encoder, by file name.
    fn remains(_task: &Self::Task<'_>) -> TaskState {
        TaskState::new()
    }
}
