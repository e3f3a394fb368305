//! A cell of a table: one number with its spread, its origin, and the published number beside it.

use serde::{Deserialize, Serialize};

use crate::metric::Aggregate;

/// Where a cell stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Number of the table.
    pub table: String,
    /// Data set as shown; synthetic data carry the word phantom.
    pub dataset: String,
    /// Modality.
    pub modality: String,
    /// Percent of labelled training cases; `None` where the table has no label ratios.
    pub label_percent: Option<u32>,
    /// Row.
    pub method: String,
    /// Metric.
    pub metric: String,
    /// One region; `None` is the mean of all.
    pub region: Option<String>,
}

impl Place {
    /// Metric with its region as the ledger writes it: `DSC`, `DSC_ET`.
    #[must_use]
    pub fn column_metric(&self) -> String {
        match &self.region {
            None => self.metric.clone(),
            Some(region) => format!("{}_{region}", self.metric),
        }
    }
}

/// What a mean was made of, summed over seeds and regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values averaged.
    pub n: usize,
    /// Values left out because they are undefined.
    pub undefined: usize,
    /// Units with both masks empty.
    pub both_empty: usize,
    /// Units with one mask empty.
    pub one_empty: usize,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            undefined: self.undefined + other.undefined,
            both_empty: self.both_empty + other.both_empty,
            one_empty: self.one_empty + other.one_empty,
        }
    }
}

/// The result of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedValue {
    /// The seed.
    pub seed: u64,
    /// Its value; `None` if nothing was defined.
    pub value: Option<f64>,
    /// What it was made of.
    pub counts: Counts,
}

impl SeedValue {
    /// The aggregate of one seed's cases.
    #[must_use]
    pub fn new(seed: u64, aggregate: &Aggregate) -> Self {
        Self {
            seed,
            value: aggregate.mean,
            counts: Counts {
                n: aggregate.n,
                undefined: aggregate.undefined,
                both_empty: aggregate.both_empty,
                one_empty: aggregate.one_empty,
            },
        }
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Where it stands.
    pub place: Place,
    /// Mean over the seeds that have a value.
    pub mean: Option<f64>,
    /// Sample standard deviation over seeds; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Per seed, as they came.
    pub values: Vec<SeedValue>,
    /// The published number, where there is one.
    pub published: Option<f64>,
    /// Mean minus published.
    pub difference: Option<f64>,
    /// Keys of the stages that it was computed from.
    pub stage_keys: Vec<String>,
    /// Why the cell, or a seed of it, has no value.
    pub hole: Option<String>,
    /// What the mean was made of.
    pub counts: Counts,
}

impl Cell {
    /// A cell from the results of its seeds. `hole` says why seeds are missing, if any are.
    #[must_use]
    pub fn new(
        place: Place,
        values: Vec<SeedValue>,
        published: Option<f64>,
        stage_keys: Vec<String>,
        hole: Option<String>,
    ) -> Self {
        let defined: Vec<f64> = values.iter().filter_map(|v| v.value).collect();
        let mean = mean(&defined);
        let undefined = values.len() - defined.len();
        let hole = hole.or_else(|| match (mean, undefined) {
            (None, 0) => Some("no result".to_owned()),
            (None, _) => Some("undefined in every case (empty masks)".to_owned()),
            (Some(_), 0) => None,
            (Some(_), k) => Some(format!("undefined in {k} of {} seeds", values.len())),
        });
        Self {
            place,
            mean,
            sd: sample_deviation(&defined),
            counts: values
                .iter()
                .fold(Counts::default(), |sum, v| sum.plus(v.counts)),
            values,
            published,
            difference: mean.zip(published).map(|(m, p)| m - p),
            stage_keys,
            hole,
        }
    }

    /// Seeds that entered the mean.
    #[must_use]
    pub fn seeds(&self) -> Vec<u64> {
        self.values
            .iter()
            .filter(|v| v.value.is_some())
            .map(|v| v.seed)
            .collect()
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Divides by n - 1.
fn sample_deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}
