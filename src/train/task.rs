//! What the loop drives: a network, its batches, and its loss.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;

use super::TrainError;

/// Numbers of one epoch by name, for the curve.
pub type Scalars = BTreeMap<String, f64>;

/// What a task keeps beside the network, by name: label tables, best weights.
pub type TaskState = BTreeMap<String, Vec<u8>>;

/// A training task: pre-training with some method, or segmentation.
pub trait Task {
    /// The network that is trained, with whatever heads the task adds.
    type Model: Module;
    /// What one step reads, on the host.
    type Batch: Send;
    /// A frozen view of the task for one epoch, from which batches are made.
    type Plan: EpochPlan<Batch = Self::Batch>;

    /// The view for `epoch`, counted from 1.
    fn plan(&self, epoch: usize) -> Self::Plan;

    /// Forward pass of one batch: the loss to be minimised, a tensor of one value.
    ///
    /// # Errors
    /// State that does not fit the batch.
    fn step(
        &mut self,
        model: &Self::Model,
        batch: Self::Batch,
        epoch: usize,
    ) -> Result<Tensor<1>, TrainError>;

    /// Ends an epoch; the numbers go into the curve.
    ///
    /// # Errors
    /// What a validation can meet.
    fn after_epoch(&mut self, model: &Self::Model, epoch: usize) -> Result<Scalars, TrainError>;

    /// What a checkpoint must hold beside network and optimiser, also in the middle of an epoch.
    ///
    /// # Errors
    /// State that cannot be written.
    fn state(&self) -> Result<TaskState, TrainError>;

    /// Takes [`Task::state`] back.
    ///
    /// # Errors
    /// State of another run.
    fn load_state(&mut self, state: &TaskState) -> Result<(), TrainError>;
}

/// Makes the batches of one epoch, on the prefetch thread.
pub trait EpochPlan: Sync {
    /// What one step reads.
    type Batch: Send;

    /// The batch of the images at `indices`: a pure function of them.
    ///
    /// # Errors
    /// Images that do not fit the task.
    fn batch(&self, indices: &[usize]) -> Result<Self::Batch, TrainError>;
}
