//! From volumes to prepared slices: one grid, clipped, normalised, cropped, memory-mapped; and back.

mod artifact;
mod back;
mod clip;
mod crop;
mod error;
mod grid;
mod normalise;
mod pipeline;
mod reader;
mod resample;
mod slices;
mod source;
mod target;
mod zscore;

pub use artifact::{LabelBox, PreparedMeta};
pub use back::to_source_grid;
pub use clip::{clip_bounds, percentile};
pub use crop::Window;
pub use error::PrepareError;
pub use grid::Grid;
pub use normalise::normalise;
pub use pipeline::{CaseSummary, Preparation, Scratch, prepare_case};
pub use reader::PreparedCase;
pub use resample::{Edge, resample, resample_labels};
pub use slices::SliceSet;
pub use target::{Target, target_grid};
