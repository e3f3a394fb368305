//! From scores of cases to the number of a table cell (`metrics-and-data.md` section 4).

use serde::{Deserialize, Serialize};

use crate::options::{Aggregation, HausdorffMode};

use super::{CaseScores, Emptiness, Metric, MetricError, RegionScores};

/// Which regions a number covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionChoice<'a> {
    /// Mean over all regions, taken after the mean of each region.
    Mean,
    /// One region by name.
    One(&'a str),
}

/// A mean and what it was made of. Counts are summed over the regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The mean; `None` if a region has no defined value at all.
    pub mean: Option<f64>,
    /// Values that entered the mean (cases, slices, or cases with their slice means).
    pub n: usize,
    /// Values that are undefined and did not enter.
    pub undefined: usize,
    /// Volumes or slices with both masks empty.
    pub both_empty: usize,
    /// Volumes or slices with exactly one mask empty.
    pub one_empty: usize,
}

/// Mean of a metric over cases.
///
/// # Errors
/// If a case lacks a region that the first case, or the choice, names.
pub fn aggregate(
    cases: &[CaseScores],
    regions: RegionChoice<'_>,
    metric: Metric,
    aggregation: Aggregation,
    mode: HausdorffMode,
) -> Result<Aggregate, MetricError> {
    let names = region_names(cases, regions);
    let mut total = Aggregate::default();
    let mut means = Vec::with_capacity(names.len());
    for name in &names {
        let mut values = Values::default();
        for case in cases {
            let one = unit_values(find(case, name)?, case, metric, aggregation, mode);
            match aggregation {
                Aggregation::Volume | Aggregation::SliceFg | Aggregation::SliceAll => {
                    values.add(&one);
                }
                Aggregation::SlicePatient => {
                    values.undefined += one.undefined;
                    values.both_empty += one.both_empty;
                    values.one_empty += one.one_empty;
                    if let Some(mean) = one.mean() {
                        values.sum += mean;
                        values.n += 1;
                    }
                }
            }
        }
        means.push(values.mean());
        total.n += values.n;
        total.undefined += values.undefined;
        total.both_empty += values.both_empty;
        total.one_empty += values.one_empty;
    }
    total.mean = mean_of_all(&means);
    Ok(total)
}

/// The value of each case in the same unit, for paired comparisons: case and its mean over its
/// volume or slices, then over the regions. `None` where a region of the case is undefined.
///
/// # Errors
/// As [`aggregate`].
pub fn case_values(
    cases: &[CaseScores],
    regions: RegionChoice<'_>,
    metric: Metric,
    aggregation: Aggregation,
    mode: HausdorffMode,
) -> Result<Vec<(String, Option<f64>)>, MetricError> {
    let names = region_names(cases, regions);
    cases
        .iter()
        .map(|case| {
            let means = names
                .iter()
                .map(|name| {
                    let region = find(case, name)?;
                    Ok(unit_values(region, case, metric, aggregation, mode).mean())
                })
                .collect::<Result<Vec<_>, MetricError>>()?;
            Ok((case.case.clone(), mean_of_all(&means)))
        })
        .collect()
}

/// Regions of the choice; for the mean, those of the first case.
fn region_names(cases: &[CaseScores], choice: RegionChoice<'_>) -> Vec<String> {
    match choice {
        RegionChoice::One(name) => vec![name.to_owned()],
        RegionChoice::Mean => cases
            .first()
            .map(|case| case.regions.iter().map(|r| r.name.clone()).collect())
            .unwrap_or_default(),
    }
}

fn find<'a>(case: &'a CaseScores, name: &str) -> Result<&'a RegionScores, MetricError> {
    case.regions
        .iter()
        .find(|r| r.name == name)
        .ok_or_else(|| MetricError::Region {
            case: case.case.clone(),
            region: name.to_owned(),
        })
}

/// Mean if every part has a value: leaving a region out would change what the number means.
fn mean_of_all(means: &[Option<f64>]) -> Option<f64> {
    let defined: Option<Vec<f64>> = means.iter().copied().collect();
    let defined = defined.filter(|d| !d.is_empty())?;
    Some(defined.iter().sum::<f64>() / defined.len() as f64)
}

/// Sum and counts of the units of one or more cases.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    sum: f64,
    n: usize,
    undefined: usize,
    both_empty: usize,
    one_empty: usize,
}

impl Values {
    fn push(&mut self, value: Option<f64>, emptiness: Emptiness, times: usize) {
        match value {
            Some(value) => {
                self.sum += value * times as f64;
                self.n += times;
            }
            None => self.undefined += times,
        }
        match emptiness {
            Emptiness::Neither => {}
            Emptiness::Prediction | Emptiness::Reference => self.one_empty += times,
            Emptiness::Both => self.both_empty += times,
        }
    }

    fn add(&mut self, other: &Self) {
        self.sum += other.sum;
        self.n += other.n;
        self.undefined += other.undefined;
        self.both_empty += other.both_empty;
        self.one_empty += other.one_empty;
    }

    fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// The units of one region of one case.
fn unit_values(
    region: &RegionScores,
    case: &CaseScores,
    metric: Metric,
    aggregation: Aggregation,
    mode: HausdorffMode,
) -> Values {
    let mut values = Values::default();
    match aggregation {
        Aggregation::Volume => values.push(
            region.volume.get(metric, mode),
            region.overlap.emptiness(),
            1,
        ),
        Aggregation::SliceFg => {
            for slice in region.slices.iter().filter(|s| s.overlap.reference > 0) {
                values.push(slice.values.get(metric, mode), slice.overlap.emptiness(), 1);
            }
        }
        Aggregation::SliceAll | Aggregation::SlicePatient => {
            for slice in &region.slices {
                values.push(slice.values.get(metric, mode), slice.overlap.emptiness(), 1);
            }
            let blank = case.shape[0].saturating_sub(region.slices.len());
            values.push(region.blank.get(metric, mode), Emptiness::Both, blank);
        }
    }
    values
}
