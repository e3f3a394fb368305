//! Segmentation metrics on masks, the scores of a case, and their aggregation to one number.

mod aggregate;
mod boundary;
mod distance;
mod empty;
mod error;
mod hausdorff;
mod mask;
mod overlap;
mod region;
mod registry;
mod score;
mod surface;

pub use aggregate::{Aggregate, RegionChoice, aggregate, case_values};
pub use boundary::{BoundaryOverlap, boundary_overlap, boundary_region, boundary_width};
pub use distance::squared_distances;
pub use empty::{Emptiness, MetricValues, Raw, resolve};
pub use error::MetricError;
pub use hausdorff::{SurfaceDistances, percentile, surface_distances};
pub use mask::{Grid, Mask};
pub use overlap::Overlap;
pub use region::{RegionPreset, brats_regions, label_regions};
pub use registry::{Direction, METRICS, Metric, MetricEntry};
pub use score::{
    CaseScores, RegionScore, RegionScores, ScoreReport, SliceScores, score_labels, score_volumes,
};
pub use surface::surface_voxels;
