//! Measurements: numbers of a table that are no scores of a trained network. A file per measure.

mod clustering;
mod clustering_time;
mod error;
mod job;
mod measurement;
mod registry;

pub use error::MeasureError;
pub use job::{Drawn, MeasureJob};
pub use measurement::{Measurement, Values};
pub use registry::{MEASURES, MeasureEntry, Quantity, find};
