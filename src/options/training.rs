//! Options of pre-training and fine-tuning (paper sections IV, `metrics-and-data.md` section 11).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimiserOptions;
use super::optimiser::FinetuningOptimiser;

/// What follows when the memory does not hold a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOutOfMemory {
    /// The training fails.
    #[default]
    Fail,
    /// The training goes on with half the images per pass, once in a run. Statistics of batch
    /// normalisation are then those of smaller batches, and the artifact says so.
    Halve,
}

/// Pre-training, whatever the pretext task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainOptions {
    /// Passes over the training slices.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Images per pass through the network, for less memory: the gradients of the passes of a step
    /// are added up. 0 is the whole batch.
    #[serde(skip_serializing_if = "is_default")]
    pub micro_batch: usize,
    /// What follows when memory runs out.
    #[serde(skip_serializing_if = "is_default")]
    pub on_out_of_memory: OnOutOfMemory,
    /// Steps per epoch at most; 0 is no limit. The samples differ from epoch to epoch.
    pub max_steps: usize,
    /// Optimiser and schedule.
    pub optimiser: OptimiserOptions,
}

impl Default for PretrainOptions {
    fn default() -> Self {
        Self {
            epochs: 800,
            batch: 48,
            micro_batch: 0,
            on_out_of_memory: OnOutOfMemory::default(),
            max_steps: 0,
            optimiser: OptimiserOptions::pretraining(),
        }
    }
}

impl PretrainOptions {
    /// Images per pass through the network.
    #[must_use]
    pub fn pass(&self) -> usize {
        pass(self.batch, self.micro_batch)
    }
}

fn pass(batch: usize, micro_batch: usize) -> usize {
    match micro_batch {
        0 => batch,
        n => n.min(batch),
    }
}

/// Options that came later leave the keys of those who do not use them alone.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Loss of the segmentation network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SegmentationLoss {
    /// Soft Dice (batch sums per region) plus binary cross-entropy, 1:1.
    #[default]
    DiceBce,
    /// Soft Dice alone.
    Dice,
    /// Binary cross-entropy alone.
    Bce,
}

/// Augmentation in fine-tuning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LightAugment {
    /// None (comparability).
    #[default]
    None,
    /// Flip, rotation by up to 15 degrees, scale 0.9 to 1.1, intensity factor and shift of 0.1.
    Light,
}

/// Which weights of fine-tuning are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidationSelect {
    /// Those of the last epoch: no selection, no labelled validation set.
    #[default]
    Last,
    /// Those of the epoch with the best Dice on the validation patients.
    Best,
}

/// What happens between pre-training and fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransferOptions {
    /// Re-estimate the running statistics of batch normalisation on clean images first.
    pub recalibrate_bn: bool,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            recalibrate_bn: true,
        }
    }
}

/// Fine-tuning for segmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneOptions {
    /// Passes over the labelled slices.
    pub epochs: usize,
    /// Images per step. With fewer labelled slices than this, one batch holds them all.
    pub batch: usize,
    /// Images per pass through the network, for less memory: the gradients of the passes of a step
    /// are added up. 0 is the whole batch.
    #[serde(skip_serializing_if = "is_default")]
    pub micro_batch: usize,
    /// What follows when memory runs out.
    #[serde(skip_serializing_if = "is_default")]
    pub on_out_of_memory: OnOutOfMemory,
    /// Steps per epoch at most; 0 is no limit.
    pub max_steps: usize,
    /// Optimiser and schedule.
    #[serde(with = "FinetuningOptimiser")]
    pub optimiser: OptimiserOptions,
    /// Loss.
    pub loss: SegmentationLoss,
    /// Augmentation.
    pub augment: LightAugment,
    /// Which epoch's weights are kept.
    pub select: ValidationSelect,
    /// Transfer of the encoder.
    pub transfer: TransferOptions,
}

impl Default for FinetuneOptions {
    fn default() -> Self {
        Self {
            epochs: 70,
            batch: 56,
            micro_batch: 0,
            on_out_of_memory: OnOutOfMemory::default(),
            max_steps: 0,
            optimiser: OptimiserOptions::finetuning(),
            loss: SegmentationLoss::default(),
            augment: LightAugment::default(),
            select: ValidationSelect::default(),
            transfer: TransferOptions::default(),
        }
    }
}

impl FinetuneOptions {
    /// Images per pass through the network.
    #[must_use]
    pub fn pass(&self) -> usize {
        pass(self.batch, self.micro_batch)
    }
}
