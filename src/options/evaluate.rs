//! Options of metrics and their aggregation (`metrics-and-data.md` sections 1, 2 and 4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value of a metric where one of the masks, or both, is empty (section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmptyPolicy {
    /// As the BraTS challenge: both empty is perfect, one empty is the worst value.
    #[default]
    Brats,
    /// The smoothed formulas as printed.
    Eps,
    /// Cases with both masks empty are left out.
    Skip,
}

/// Form of HD95 that a table shows; both are always stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HausdorffMode {
    /// Larger of the two directed 95th percentiles (MONAI).
    #[default]
    Max,
    /// 95th percentile of both directions together (MedPy).
    Pooled,
}

/// Unit over which scores are averaged (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Volumes of patients.
    #[default]
    Volume,
    /// Slices in which the reference is not empty.
    SliceFg,
    /// All slices.
    SliceAll,
    /// Slices, first averaged per patient.
    SlicePatient,
}

/// How a score is computed; part of the key of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricOptions {
    /// Smoothing constant of Dice and sensitivity.
    pub eps: f64,
    /// Empty masks.
    pub empty: EmptyPolicy,
    /// BIoU: boundary width as a share of the image diagonal.
    pub biou_ratio: f64,
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self {
            eps: 1e-5,
            empty: EmptyPolicy::default(),
            biou_ratio: 0.02,
        }
    }
}

/// Evaluation and what a table shows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateOptions {
    /// How scores are computed.
    pub metric: MetricOptions,
    /// Unit of averaging that the tables show; can change without training again.
    pub aggregation: Aggregation,
    /// HD95 that the tables show.
    pub hausdorff: HausdorffMode,
}
