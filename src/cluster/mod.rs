//! The patches of one image become two categories, foreground and background.

mod blocks;
pub mod dbscan;
pub mod foreground;
pub mod hierarchical;
pub mod images;
pub mod kmeans;
pub mod outcome;
pub mod points;
pub mod registry;
pub mod tsne;
mod vector;

pub use images::cluster_images;
pub use outcome::{Outcome, Reason};
pub use points::Points;
pub use registry::{CLUSTERERS, Clusterer, find};
