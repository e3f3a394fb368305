//! Training: one loop that drives pre-training and fine-tuning, and what it needs.

mod checkpoint;
mod error;
mod finetune;
mod loss;
mod optimiser;
mod predict;
mod prefetch;
mod pretrain;
mod recalibrate;
mod run;
mod schedule;
mod segment;
mod task;

pub use checkpoint::Checkpoints;
pub use error::{Saved, TrainError};
pub use finetune::{FinetuneJob, FinetuneOutput, finetune};
pub use loss::{bce, segmentation_loss, soft_dice};
pub use optimiser::Optimiser;
pub use predict::Predictor;
pub use pretrain::{DECODER, NETWORK, PretrainJob, PretrainOutput, pretrain};
pub use recalibrate::recalibrate;
pub use run::{EpochLog, Observer, Progress};
pub use schedule::learning_rate;
pub use segment::Segmentation;
pub use task::{EpochPlan, Keep, Kept, Moment, Scalars, Task, TaskState, whole_steps};
