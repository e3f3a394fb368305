//! From raw counts and distances to values: what a metric means where a mask is empty
//! (`metrics-and-data.md` section 2).

use serde::{Deserialize, Serialize};

use crate::options::{EmptyPolicy, MetricOptions};

use super::{BoundaryOverlap, Metric, Overlap, SurfaceDistances};
use crate::options::HausdorffMode;

/// Which of the two masks has no voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptiness {
    /// Neither.
    Neither,
    /// Only the prediction.
    Prediction,
    /// Only the reference.
    Reference,
    /// Both.
    Both,
}

impl Overlap {
    /// Which mask is empty.
    #[must_use]
    pub fn emptiness(&self) -> Emptiness {
        match (self.prediction, self.reference) {
            (0, 0) => Emptiness::Both,
            (0, _) => Emptiness::Prediction,
            (_, 0) => Emptiness::Reference,
            _ => Emptiness::Neither,
        }
    }
}

/// Every metric of one region in one volume or slice; `None` is undefined. Ratios are 0 to 1,
/// distances in mm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricValues {
    /// Dice similarity coefficient.
    pub dsc: Option<f64>,
    /// Sensitivity.
    pub sensitivity: Option<f64>,
    /// Positive predictive value.
    pub ppv: Option<f64>,
    /// Boundary intersection over union.
    pub biou: Option<f64>,
    /// 95 % Hausdorff distance, larger of the directed percentiles.
    pub hd95: Option<f64>,
    /// 95 % Hausdorff distance, percentile of both directions together.
    pub hd95_pooled: Option<f64>,
    /// Hausdorff distance.
    pub hd100: Option<f64>,
    /// Average symmetric surface distance.
    pub assd: Option<f64>,
}

impl MetricValues {
    /// The value of `metric`.
    #[must_use]
    pub fn get(&self, metric: Metric, mode: HausdorffMode) -> Option<f64> {
        match (metric, mode) {
            (Metric::Dsc, _) => self.dsc,
            (Metric::Sensitivity, _) => self.sensitivity,
            (Metric::Ppv, _) => self.ppv,
            (Metric::Biou, _) => self.biou,
            (Metric::Hd95, HausdorffMode::Max) => self.hd95,
            (Metric::Hd95, HausdorffMode::Pooled) => self.hd95_pooled,
            (Metric::Hd100, _) => self.hd100,
            (Metric::Assd, _) => self.assd,
        }
    }

    fn with_distance(mut self, mm: Option<f64>) -> Self {
        self.hd95 = mm;
        self.hd95_pooled = mm;
        self.hd100 = mm;
        self.assd = mm;
        self
    }
}

/// What was measured, before conventions.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Voxel counts.
    pub overlap: Overlap,
    /// Boundary regions.
    pub boundary: BoundaryOverlap,
    /// Distances; `None` where a mask is empty.
    pub distances: Option<&'a SurfaceDistances>,
    /// Diagonal of the evaluated grid in mm: the distance of what was not found.
    pub diagonal: f64,
}

/// Values under the policy of `options`.
///
/// - `brats`: both empty is perfect (ratios 1, distances 0). One empty: Dice, BIoU 0, distances the
///   diagonal. Sensitivity without a reference and PPV without a prediction are undefined.
/// - `eps`: ratios as the smoothed formulas give them; a distance to nothing is undefined.
/// - `skip`: as `brats`, but all values undefined where both masks are empty.
#[must_use]
pub fn resolve(raw: &Raw<'_>, options: &MetricOptions) -> MetricValues {
    let overlap = raw.overlap;
    let emptiness = overlap.emptiness();
    let formulas = MetricValues {
        dsc: Some(overlap.dice(options.eps)),
        sensitivity: Some(overlap.sensitivity(options.eps)),
        ppv: Some(overlap.ppv(options.eps)),
        biou: Some(raw.boundary.biou().unwrap_or(1.0)),
        ..MetricValues::default()
    };
    let perfect = MetricValues {
        dsc: Some(1.0),
        sensitivity: Some(1.0),
        ppv: Some(1.0),
        biou: Some(1.0),
        ..MetricValues::default()
    }
    .with_distance(Some(0.0));
    let nothing_found = MetricValues {
        dsc: Some(0.0),
        biou: Some(0.0),
        ..MetricValues::default()
    }
    .with_distance(Some(raw.diagonal));

    match (options.empty, emptiness) {
        (_, Emptiness::Neither) => match raw.distances {
            Some(distances) => MetricValues {
                hd95: Some(distances.hd95(HausdorffMode::Max)),
                hd95_pooled: Some(distances.hd95(HausdorffMode::Pooled)),
                hd100: Some(distances.hd100()),
                assd: Some(distances.assd()),
                ..formulas
            },
            None => formulas,
        },
        (EmptyPolicy::Eps, _) => formulas,
        (EmptyPolicy::Brats, Emptiness::Both) => perfect,
        (EmptyPolicy::Skip, Emptiness::Both) => MetricValues::default(),
        (_, Emptiness::Prediction) => MetricValues {
            sensitivity: Some(0.0),
            ..nothing_found
        },
        (_, Emptiness::Reference) => MetricValues {
            ppv: Some(0.0),
            ..nothing_found
        },
    }
}
