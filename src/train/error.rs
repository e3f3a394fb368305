//! What can end a training early.

use std::path::PathBuf;

use crate::cluster::points::PointsError;
use crate::mask::labels::LabelError;
use crate::mask::patch::PatchError;
use crate::nn::backbone::BackboneError;
use crate::nn::foreign::ForeignError;
use crate::nn::weights::WeightsError;

/// Why a training did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is not a number any more.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step}; {}; {}",
        last_losses(last),
        to_look_at(saved.as_ref())
    )]
    NotFinite {
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the epoch, from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// Losses before it, oldest first.
        last: Vec<f64>,
        /// The last checkpoint.
        saved: Option<Saved>,
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
    /// A file of weights does not fit.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
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

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Epoch in progress, from 1.
    pub epoch: usize,
    /// Steps of it that were done.
    pub step: usize,
}

fn last_losses(last: &[f64]) -> String {
    if last.is_empty() {
        return "no loss before it was finite".to_owned();
    }
    // They were single precision; so many digits mean something.
    let last: Vec<String> = last.iter().map(|&l| format!("{:?}", l as f32)).collect();
    format!("the last finite losses were {}", last.join(", "))
}

fn to_look_at(saved: Option<&Saved>) -> String {
    match saved {
        Some(Saved { path, epoch, step }) => format!(
            "the checkpoint to look at is '{}', of epoch {epoch} after step {step}",
            path.display()
        ),
        None => "no checkpoint was written before it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_not_finite_says_where_to_look() {
        let error = |last: &[f64], saved| TrainError::NotFinite {
            epoch: 3,
            step: 7,
            loss: f64::NAN,
            last: last.to_vec(),
            saved,
        };
        let saved = Saved {
            path: "work/c".into(),
            epoch: 3,
            step: 0,
        };
        assert_eq!(
            error(&[f64::from(0.1f32), 1e30], Some(saved)).to_string(),
            "the loss became NaN in epoch 3, step 7; the last finite losses were 0.1, 1e30; \
             the checkpoint to look at is 'work/c', of epoch 3 after step 0"
        );
        assert_eq!(
            error(&[], None).to_string(),
            "the loss became NaN in epoch 3, step 7; no loss before it was finite; \
             no checkpoint was written before it"
        );
    }
}
