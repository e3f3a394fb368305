//! What the loop drives: a network, its batches, and its loss.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;

use super::TrainError;

/// Numbers of one epoch by name, for the curve.
pub type Scalars = BTreeMap<String, f64>;

/// What a task keeps beside the network, by name: label tables, best weights, teachers and queues
/// (see [`crate::nn::weights::Weights::to_bytes`] for tensors).
pub type TaskState = BTreeMap<String, Vec<u8>>;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps of the epoch that are done.
    pub step: usize,
    /// Steps per epoch.
    pub steps: usize,
}

impl Moment {
    /// Steps that are done since the start of the run.
    #[must_use]
    pub fn done(&self) -> usize {
        (self.epoch - 1) * self.steps + self.step
    }

    /// Steps of the whole run.
    #[must_use]
    pub fn total(&self) -> usize {
        self.epochs * self.steps
    }
}

/// A training task: pre-training with some method, or segmentation.
///
/// A step is `before_step`, then `step` once per pass, the optimiser, and `after_step`.
pub trait Task {
    /// The network that is trained, with whatever heads the task adds.
    type Model: Module;
    /// What one pass reads, on the host: images, or several views of them.
    type Batch: Send;
    /// A frozen view of the task for one epoch, from which batches are made.
    type Plan: EpochPlan<Batch = Self::Batch>;

    /// The view for `epoch`, counted from 1.
    fn plan(&self, epoch: usize) -> Self::Plan;

    /// The epochs, counted from 0, that share one schedule of the learning rate with `epoch`: all
    /// `epochs` of a run, unless it has stages.
    fn span(&self, _epoch: usize, epochs: usize) -> Range<usize> {
        0..epochs
    }

    /// Before the passes of a step: a teacher that follows the network as it was, prototypes that
    /// are brought back to length 1.
    ///
    /// # Errors
    /// State that does not fit the network.
    fn before_step(&mut self, model: Self::Model, _: &Moment) -> Result<Self::Model, TrainError> {
        Ok(model)
    }

    /// Forward pass of one batch: the loss to be minimised, a tensor of one value.
    ///
    /// # Errors
    /// State that does not fit the batch.
    fn step(
        &mut self,
        model: &Self::Model,
        batch: Self::Batch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError>;

    /// Parameters that this step leaves alone: no update, no decay, moments as they are.
    fn frozen(&self, _: &Self::Model, _: &Moment) -> Vec<ParamId> {
        Vec::new()
    }

    /// After the optimiser's update: a teacher that follows the network as it has become.
    ///
    /// # Errors
    /// State that does not fit the network.
    fn after_step(&mut self, _: &Self::Model, _: &Moment) -> Result<(), TrainError> {
        Ok(())
    }

    /// Ends an epoch; the numbers go into the curve.
    ///
    /// # Errors
    /// What a validation can meet.
    fn after_epoch(&mut self, model: &Self::Model, epoch: usize) -> Result<Scalars, TrainError>;

    /// What a checkpoint must hold beside network and optimiser, also in the middle of an epoch: all
    /// that lives from step to step.
    fn kept(&mut self) -> Kept<'_> {
        Vec::new()
    }

    /// The parts that it keeps, as bytes.
    ///
    /// # Errors
    /// State that cannot be written.
    fn state(&mut self) -> Result<TaskState, TrainError> {
        let mut state = TaskState::new();
        for (name, part) in self.kept() {
            if let Some(bytes) = part.bytes()? {
                state.insert(name.to_owned(), bytes);
            }
        }
        Ok(state)
    }

    /// Takes [`Task::state`] back.
    ///
    /// # Errors
    /// State of another run.
    fn load_state(&mut self, state: &TaskState) -> Result<(), TrainError> {
        for (name, part) in self.kept() {
            if let Some(bytes) = state.get(name) {
                part.restore(bytes)?;
            }
        }
        Ok(())
    }
}

/// Parts of a task by name, which a checkpoint holds.
pub type Kept<'a> = Vec<(&'static str, &'a mut dyn Keep)>;

/// A part of a task that lives from step to step: a teacher, a queue, the sums of an epoch.
pub trait Keep {
    /// Its bytes; `None` where there is nothing to keep.
    ///
    /// # Errors
    /// State that cannot be written.
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError>;

    /// Takes them back.
    ///
    /// # Errors
    /// Bytes of another part.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError>;
}

/// Makes the batches of one epoch, on the prefetch thread.
pub trait EpochPlan: Sync {
    /// What one pass reads.
    type Batch: Send;

    /// The images of every step. `shuffled` are those of the loop: a seeded permutation cut into
    /// batches, of which the last may be smaller. A pure function, of the same length in every
    /// epoch.
    fn steps(&self, shuffled: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        shuffled
    }

    /// The batch of the images at `indices`: a pure function of them.
    ///
    /// # Errors
    /// Images that do not fit the task.
    fn batch(&self, indices: &[usize]) -> Result<Self::Batch, TrainError>;
}

/// `steps` without a last one that is smaller than the others, where there are others: for tasks
/// whose queues and statistics count on full batches.
#[must_use]
pub fn whole_steps(mut steps: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    if let [first, .., last] = steps.as_slice()
        && last.len() < first.len()
    {
        steps.pop();
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_last_step_goes_where_there_are_others() {
        let steps = |sizes: &[usize]| -> Vec<Vec<usize>> {
            sizes.iter().map(|&n| (0..n).collect()).collect()
        };
        assert_eq!(whole_steps(steps(&[4, 4, 1])), steps(&[4, 4]));
        assert_eq!(whole_steps(steps(&[4, 4])), steps(&[4, 4]));
        assert_eq!(whole_steps(steps(&[3])), steps(&[3]));
        assert!(whole_steps(Vec::new()).is_empty());
    }

    #[test]
    fn moments_count_steps() {
        let at = Moment {
            epoch: 3,
            epochs: 10,
            step: 1,
            steps: 7,
        };
        assert_eq!((at.done(), at.total()), (15, 70));
    }
}
