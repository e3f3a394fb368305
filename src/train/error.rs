//! What can end a training early.

use std::path::PathBuf;

use crate::cluster::points::PointsError;
use crate::mask::labels::LabelError;
use crate::mask::patch::PatchError;
use crate::nn::backbone::BackboneError;
use crate::nn::weights::WeightsError;

/// Why a training did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is not a number any more.
    #[error("the loss became {loss} in epoch {epoch}, step {step}; last finite losses: {last:?}")]
    NotFinite {
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the epoch, from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// Losses before it, oldest first.
        last: Vec<f64>,
    },
    /// The observer asked to stop; a checkpoint was written where there is a place for it.
    #[error("stopped in epoch {epoch} after step {step}")]
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Steps done in it.
        step: usize,
    },
    /// There is nothing to train on.
    #[error("there are no images to train on")]
    NoImages,
    /// An option that cannot be met.
    #[error("{field}: {reason}")]
    Options {
        /// Field of the options.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The network cannot be made.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// Weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The label table does not fit.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Images do not fit the patch grid.
    #[error("patch: {0}")]
    Patch(#[from] PatchError),
    /// Patch vectors do not fit.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// A checkpoint could not be written or read.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
