//! Options of pre-training and fine-tuning (paper sections IV, `metrics-and-data.md` section 11).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimiser::FinetuningOptimiser;
use super::{OptimiserOptions, SparseOptions, ViewOptions, is_default};

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

/// Numbers of activations and convolutions in training. Weights, normalisation statistics, losses
/// and the optimiser are always in single precision, and so is prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComputePrecision {
    /// Single precision.
    #[default]
    F32,
    /// Half precision with the range of single (8 bits of mantissa): for GPUs.
    Bf16,
}

/// What a pre-training hands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// The encoder; the decoder of the segmentation network starts anew.
    #[default]
    Encoder,
    /// The decoder as well, where the method trains that of the backbone (AMLP and BASE, PCRL,
    /// vox2vec), but for its last layer. The others hand on the encoder.
    Full,
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
    /// Numbers of activations and convolutions.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: ComputePrecision,
    /// Keep the whole network beside the encoder that is handed on: a report then shows what it
    /// makes of masked slices.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_network: bool,
    /// What is handed on to the segmentation network.
    #[serde(skip_serializing_if = "is_default")]
    pub transfer: Transfer,
    /// How the contrastive methods make views; nothing to the others.
    #[serde(skip_serializing_if = "is_default")]
    pub views: ViewOptions,
    /// The sparse encoder of MAE, ConvMAE, BootMAE and SelfMedMAE; nothing to the others.
    #[serde(skip_serializing_if = "is_default")]
    pub sparse: SparseOptions,
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
            precision: ComputePrecision::default(),
            keep_network: false,
            transfer: Transfer::default(),
            views: ViewOptions::default(),
            sparse: SparseOptions::default(),
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

/// What of a network is taken from a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitPart {
    /// The encoder; the decoder starts from the seed, as after pre-training.
    #[default]
    Encoder,
    /// All of it.
    Network,
}

/// Weights from a file, which fine-tuning starts from instead of a pre-trained encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InitOptions {
    /// File, from the folder of the project: safetensors, or a checkpoint of PyTorch (`.pth`). Its
    /// content is part of the key, its name is not. Without one there is no such start.
    pub file: String,
    /// What is taken from it.
    pub part: InitPart,
    /// What stands before the network's names in the file, e.g. `state_dict.module`; found where it
    /// is left out.
    pub prefix: String,
}

impl InitOptions {
    /// Whether there is a file.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.file.is_empty()
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
    /// Numbers of activations and convolutions.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: ComputePrecision,
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
    /// Weights from a file.
    #[serde(skip_serializing_if = "is_default")]
    pub init: InitOptions,
}

impl Default for FinetuneOptions {
    fn default() -> Self {
        Self {
            epochs: 70,
            batch: 56,
            micro_batch: 0,
            on_out_of_memory: OnOutOfMemory::default(),
            precision: ComputePrecision::default(),
            max_steps: 0,
            optimiser: OptimiserOptions::finetuning(),
            loss: SegmentationLoss::default(),
            augment: LightAugment::default(),
            select: ValidationSelect::default(),
            transfer: TransferOptions::default(),
            init: InitOptions::default(),
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
