//! Claims of a study, judged on stored scores beside the published numbers.

use std::collections::HashMap;
use std::str::FromStr;

use super::evaluate::Evaluation;
use crate::engine::StageError;
use crate::metric::{Metric, MetricEntry, RegionChoice, case_values};
use crate::options::ClaimOver;
use crate::plan::{Key, TabulateSpec};
use crate::report::claim::{Judgement, Pair, Results, SeedScores, Sentence, Side, judge};
use crate::report::{Ledger, Query};
use crate::study::{Column, ResolvedClaim, ResolvedStudy};

/// The judgements of the claims of `study`, whose table is `spec`. `scores` gives the scores of an
/// evaluation, or why there are none.
///
/// # Errors
/// A metric that this program does not know.
pub fn judge_claims(
    study: &ResolvedStudy,
    spec: &TabulateSpec,
    ledger: &Ledger,
    scores: impl FnMut(&Key) -> Result<Evaluation, String>,
) -> Result<Vec<Judgement>, StageError> {
    let mut stored = Stored {
        spec,
        ledger,
        scores,
        known: HashMap::new(),
        metric: Metric::Dsc,
        name: String::new(),
    };
    study
        .claims
        .iter()
        .map(|claim| {
            let unknown = |name| StageError::new(format!("unknown metric '{name}'"));
            stored.metric = Metric::from_str(&claim.metric).map_err(unknown)?;
            stored.name.clone_from(&claim.metric);
            let sentence = sentence(claim, study, spec)
                .ok_or_else(|| StageError::new(format!("unknown metric '{}'", claim.metric)))?;
            Ok(judge(sentence, &mut stored))
        })
        .collect()
}

/// A claim with the places that it compares.
fn sentence(claim: &ResolvedClaim, study: &ResolvedStudy, spec: &TabulateSpec) -> Option<Sentence> {
    let side = |row: usize, column: &Column, label: u32, region: &str| {
        let position = study.columns.iter().position(|c| c == column)?;
        let shown = spec.columns.get(position)?;
        Some(Side {
            row: claim.order.get(row)?.clone(),
            dataset: shown.dataset.clone(),
            modality: shown.modality.clone(),
            label: claim
                .at
                .as_ref()
                .and_then(|at| at.get(row))
                .copied()
                .unwrap_or(label),
            region: (region != "mean").then(|| region.to_owned()),
        })
    };
    // Rows that are compared across label ratios have one each; the claim is made once.
    let labels = match &claim.at {
        Some(_) => claim.labels.get(..1).unwrap_or_default(),
        None => &claim.labels[..],
    };
    let mut comparisons = Vec::new();
    for (better, worse) in claim.pairs() {
        let mut pairs = Vec::new();
        for &label in labels {
            for column in &claim.columns {
                let first = claim.best_column.as_ref().unwrap_or(column);
                pairs.extend(claim.regions.iter().filter_map(|region| {
                    Some(Pair {
                        better: side(better, first, label, region)?,
                        worse: side(worse, column, label, region)?,
                    })
                }));
            }
        }
        match claim.over {
            ClaimOver::Every => comparisons.extend(pairs.into_iter().map(|p| vec![p])),
            ClaimOver::Mean => comparisons.push(pairs),
        }
    }
    let synthetic = |name: &str| spec.data.iter().any(|d| d.name == name && d.phantom);
    let phantom = comparisons
        .iter()
        .flatten()
        .flat_map(|pair| [&pair.better, &pair.worse])
        .any(|side| synthetic(&side.dataset));
    Some(Sentence {
        experiment: spec.experiment.clone(),
        profile: spec.profile.clone(),
        table: spec.table.clone(),
        text: claim.text.clone(),
        kind: claim.kind,
        rows: claim.order.clone(),
        metric: claim.metric.clone(),
        direction: MetricEntry::named(&claim.metric)?.direction,
        least: claim.least,
        over: claim.over,
        phantom,
        comparisons,
    })
}

/// Scores of evaluations, read once, and published numbers, for one metric.
struct Stored<'a, F> {
    spec: &'a TabulateSpec,
    ledger: &'a Ledger,
    scores: F,
    known: HashMap<Key, Result<Evaluation, String>>,
    metric: Metric,
    name: String,
}

impl<F> Stored<'_, F> {
    /// Positions of row and column in the table.
    fn position(&self, side: &Side) -> Option<(usize, usize)> {
        let row = self.spec.rows.iter().position(|r| r.name == side.row)?;
        let mut columns = self.spec.columns.iter();
        let column =
            columns.position(|c| (&c.dataset, &c.modality) == (&side.dataset, &side.modality))?;
        Some((row, column))
    }
}

impl<F: FnMut(&Key) -> Result<Evaluation, String>> Results for Stored<'_, F> {
    fn scores(&mut self, side: &Side) -> SeedScores {
        let spec = self.spec;
        let Some((row, column)) = self.position(side) else {
            return Vec::new();
        };
        let is_it =
            |c: &&crate::plan::TableCell| (c.row, c.column, c.label) == (row, column, side.label);
        let Some(cell) = spec.cells.iter().find(is_it) else {
            return Vec::new();
        };
        let choice = side
            .region
            .as_deref()
            .map_or(RegionChoice::Mean, RegionChoice::One);
        cell.runs
            .iter()
            .map(|(seed, key)| {
                if !self.known.contains_key(key) {
                    let found = (self.scores)(key);
                    self.known.insert(key.clone(), found);
                }
                let values = match &self.known[key] {
                    Ok(evaluation) => case_values(
                        &evaluation.cases,
                        choice,
                        self.metric,
                        spec.aggregation,
                        spec.hausdorff,
                    )
                    .map_err(|e| e.to_string()),
                    Err(reason) => Err(reason.clone()),
                };
                (*seed, values)
            })
            .collect()
    }

    fn published(&self, side: &Side) -> Option<f64> {
        let (row, column) = self.position(side)?;
        let (row, column) = (&self.spec.rows[row], &self.spec.columns[column]);
        let metric = match &side.region {
            None => self.name.clone(),
            Some(region) => format!("{}_{region}", self.name),
        };
        let found = self.ledger.find(&Query {
            table: &self.spec.table,
            dataset: &column.published,
            modality: &column.modality,
            label_percent: Some(side.label),
            method: &row.published,
            metric: &metric,
            setting: &row.setting,
        });
        found.map(|e| e.value)
    }
}
