//! What a table is made from.

use serde::{Deserialize, Serialize};

use crate::metric::{Direction, MetricEntry};
use crate::options::{Aggregation, EmptyPolicy, HausdorffMode};

use super::Cell;

/// A data set as the header of a table names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFact {
    /// Name as in the cells.
    pub name: String,
    /// Layout.
    pub layout: String,
    /// Whether it is synthetic.
    pub phantom: bool,
    /// Patient split in words: `40 train, 6 val, 12 test patients`.
    pub split: String,
}

/// What the header says of how the numbers came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Data sets in the order of the columns.
    pub data: Vec<DataFact>,
    /// Seeds asked for.
    pub seeds: Vec<u64>,
    /// Device class.
    pub device: String,
    /// Unit of averaging.
    pub aggregation: Aggregation,
    /// Form of HD95.
    pub hausdorff: HausdorffMode,
    /// Empty masks.
    pub empty: EmptyPolicy,
    /// What was measured, and on what, where the cells are no scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// Whether the rows are the candidates of a search, scored on the validation patients.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub search: bool,
}

/// A column group: a modality of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name of the data set as in the cells.
    pub dataset: String,
    /// Modality.
    pub modality: String,
}

/// A table before it is written. Places without a cell stay blank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableInput {
    /// Number or name: `IV`.
    pub number: String,
    /// Title.
    pub title: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// How the numbers came about.
    pub facts: Facts,
    /// Rows from top to bottom.
    pub methods: Vec<String>,
    /// Column groups from left to right.
    pub columns: Vec<Column>,
    /// Label ratios from top to bottom; `None` for tables without.
    pub labels: Vec<Option<u32>>,
    /// Metrics within a column group, as [`super::Place::column_metric`] names them.
    pub metrics: Vec<String>,
    /// Cells in any order.
    pub cells: Vec<Cell>,
}

impl TableInput {
    /// Name of a data set as every writer shows it. Synthetic data keep the word phantom, whatever
    /// the caller named them.
    #[must_use]
    pub fn shown(&self, dataset: &str) -> String {
        let synthetic = self
            .facts
            .data
            .iter()
            .any(|d| d.name == dataset && d.phantom);
        if synthetic && !dataset.to_lowercase().contains("phantom") {
            format!("phantom-{dataset}")
        } else {
            dataset.to_owned()
        }
    }

    /// The lines below the title, as label and text.
    #[must_use]
    pub(super) fn header(&self) -> Vec<(&'static str, String)> {
        let facts = &self.facts;
        let mut lines = vec![(
            "Experiment",
            format!("{}, profile {}", self.experiment, self.profile),
        )];
        for data in &facts.data {
            let mut text = format!("{} (layout {})", self.shown(&data.name), data.layout);
            if data.phantom {
                text.push_str(", synthetic images");
            }
            if !data.split.is_empty() {
                text.push_str("; ");
                text.push_str(&data.split);
            }
            lines.push(("Data", text));
        }
        let seeds: Vec<String> = facts.seeds.iter().map(u64::to_string).collect();
        let spread = if seeds.len() > 1 {
            "; mean ± sample standard deviation"
        } else {
            "; one seed, no spread"
        };
        lines.push(("Seeds", format!("{}{spread}", seeds.join(", "))));
        if let Some(measured) = &facts.measured {
            lines.push(("Measured", measured.clone()));
            return lines;
        }
        lines.push(("Device", facts.device.clone()));
        if facts.search {
            let text =
                "scores are of the validation patients; the best of each step goes into the next";
            lines.push(("Search", text.to_owned()));
        }
        lines.push(("Average", in_words(facts.aggregation).to_owned()));
        if self.metrics.iter().any(|m| m.starts_with("HD95")) {
            let mode = match facts.hausdorff {
                HausdorffMode::Max => "max, the larger of the two directed 95th percentiles, in mm",
                HausdorffMode::Pooled => {
                    "pooled, the 95th percentile of both directions together, in mm"
                }
            };
            lines.push(("HD95", mode.to_owned()));
        }
        lines.push(("Empty masks", convention(facts.empty).to_owned()));
        lines
    }
}

fn in_words(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Volume => "volume (slices of a patient as one volume), mean over patients",
        Aggregation::SliceFg => {
            "slice_fg (slices in which the reference is not empty), mean over slices"
        }
        Aggregation::SliceAll => "slice_all (all slices), mean over slices",
        Aggregation::SlicePatient => {
            "slice_patient (all slices of a patient, averaged), mean over patients"
        }
    }
}

fn convention(policy: EmptyPolicy) -> &'static str {
    match policy {
        EmptyPolicy::Brats => {
            "brats: both empty is perfect; one empty is 0, its distance the diagonal of the grid"
        }
        EmptyPolicy::Eps => "eps: smoothed formulas as printed; a distance to nothing is left out",
        EmptyPolicy::Skip => {
            "skip: both empty is left out; one empty is 0, its distance the diagonal of the grid"
        }
    }
}

/// Which end of a metric is good; `None` for what this program does not know.
pub(super) fn direction(metric: &str) -> Option<Direction> {
    let name = metric.split('_').next().unwrap_or(metric);
    if let Some(entry) = MetricEntry::named(name) {
        return Some(entry.direction);
    }
    let rest = name.strip_prefix("AP").or(name.strip_prefix('R'))?;
    (!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())).then_some(Direction::Up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions() {
        assert_eq!(direction("DSC_ET"), Some(Direction::Up));
        assert_eq!(direction("HD95"), Some(Direction::Down));
        assert_eq!(direction("AP50"), Some(Direction::Up));
        assert_eq!(direction("R70"), Some(Direction::Up));
        assert_eq!(direction("Runtime"), None);
        assert_eq!(direction("params_million"), None);
    }
}
