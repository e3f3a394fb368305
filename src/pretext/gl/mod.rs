//! G-L: slices at the same relative height of different volumes attract (global stage), then regions
//! of decoder features at the same place of two copies do (local stage, where asked for)
//! (`methods/contrastive.md` section 8).

mod batch;
mod global;
mod local;
mod network;
mod options;
mod task;

pub use batch::{Batch, Plan};
pub use global::global_loss;
pub use local::{local_loss, regions};
pub use network::{Local, Network};
pub use options::{Attraction, GlLocalOptions, GlOptions, JitterPer, PartBounds};
pub use task::{Gl, GlTask};
