//! Overlap of two masks: Dice, sensitivity, positive predictive value.

use serde::{Deserialize, Serialize};

use super::{Mask, MetricError};

/// Voxel counts of a prediction and a reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// Voxels in both.
    pub both: u64,
    /// Voxels of the prediction.
    pub prediction: u64,
    /// Voxels of the reference.
    pub reference: u64,
}

impl Overlap {
    /// Counts.
    ///
    /// # Errors
    /// If the masks lie on different grids.
    pub fn of(prediction: &Mask<'_>, reference: &Mask<'_>) -> Result<Self, MetricError> {
        prediction.same_grid(reference)?;
        Ok(Self::count(prediction.data(), reference.data()))
    }

    pub(super) fn count(prediction: &[bool], reference: &[bool]) -> Self {
        let mut counts = Self::default();
        for (&p, &g) in prediction.iter().zip(reference) {
            counts.both += u64::from(p & g);
            counts.prediction += u64::from(p);
            counts.reference += u64::from(g);
        }
        counts
    }

    /// Dice similarity coefficient, paper equation 6: `(2 TP + eps) / (|P| + |G| + eps)`.
    #[must_use]
    pub fn dice(&self, eps: f64) -> f64 {
        (2.0 * self.both as f64 + eps) / ((self.prediction + self.reference) as f64 + eps)
    }

    /// Sensitivity, paper equation 7: `(TP + eps) / (|G| + eps)`.
    #[must_use]
    pub fn sensitivity(&self, eps: f64) -> f64 {
        (self.both as f64 + eps) / (self.reference as f64 + eps)
    }

    /// Positive predictive value: `(TP + eps) / (|P| + eps)`.
    #[must_use]
    pub fn ppv(&self, eps: f64) -> f64 {
        (self.both as f64 + eps) / (self.prediction as f64 + eps)
    }
}
