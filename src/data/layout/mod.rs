//! Layouts: how a data set lies on disk. One file and one line of [`LAYOUTS`] each.

mod abd110;
mod brats2018;
mod error;
mod hecktor2020;
mod listing;
mod msd;
mod names;
mod pairs;
mod pattern;
mod problem;
mod registry;
mod scan;

pub use abd110::ORGANS;
pub use error::LayoutError;
pub use problem::{Problem, ProblemKind, Severity};
pub use registry::{LAYOUTS, Layout, find};
pub use scan::Scan;
