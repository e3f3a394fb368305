//! Why something could not be measured.

use thiserror::Error;

use crate::cluster::points::PointsError;
use crate::mask::labels::LabelError;
use crate::mask::patch::PatchError;

/// Why something could not be measured.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// No image to measure.
    #[error("no slice of the training cases has a lesion")]
    NoImages,
    /// Patches that do not tile the images.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// Patches that are no vectors.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// Labels that do not fit the patches.
    #[error(transparent)]
    Labels(#[from] LabelError),
}
