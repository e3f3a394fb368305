//! What several methods are made of: augmentation, losses on embeddings, teachers, queues, meters.

pub mod augment;
mod embedding;
mod info_nce;
mod meter;
mod queue;
mod ranges;
mod teacher;
mod views;

pub use embedding::{normalise, spread};
pub use info_nce::{Contrast, against_queue, nt_xent};
pub use meter::Meter;
pub use queue::Queue;
pub use ranges::Ranges;
pub use teacher::Teacher;
pub use views::{Jitter, Recipe, Shift, View, ViewBatch, Views};
