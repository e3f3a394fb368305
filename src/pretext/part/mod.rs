//! What several methods are made of: augmentation, losses on embeddings, teachers, queues, meters.

pub mod augment;
mod branch;
mod embedding;
mod groups;
mod info_nce;
pub mod masked;
mod meter;
mod momentum;
mod queue;
mod ranges;
mod sinkhorn;
mod source;
mod teacher;
#[cfg(test)]
pub(in crate::pretext) mod testing;
mod views;

pub use branch::{Branch, bottleneck, width_or};
pub use embedding::{normalise, spread};
pub use groups::{Shuffle, in_groups, indices};
pub use info_nce::{Contrast, against_queue, log_sum_exp, nt_xent};
pub use meter::{METER, Meter};
pub use momentum::{momentum, rising};
pub use queue::Queue;
use ranges::Ranges;
pub use sinkhorn::sinkhorn;
pub use source::Source;
pub use teacher::Teacher;
pub use views::{Jitter, Recipe, Shift, View, ViewBatch, Views};
