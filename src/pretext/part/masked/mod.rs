//! What methods share that hide patches of clean images and predict something of them: masks,
//! batches, the training task.

mod batch;
mod hiding;
mod seen;
mod task;

pub use batch::{Batch, Plan, Target};
pub use hiding::Hiding;
pub use seen::Seen;
pub(in crate::pretext) use seen::squared;
pub use task::{Frame, Masked, Masking, MaskingTask};
