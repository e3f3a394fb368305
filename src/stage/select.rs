//! `select`: the best of several runs, whose settings later trainings take over.

use serde::{Deserialize, Serialize};

use super::evaluate::Evaluation;
use super::files::{SCORES, read_json, write_json};
use crate::engine::{StageContext, StageError};
use crate::metric::{Direction, Metric, MetricEntry, RegionChoice, aggregate};
use crate::plan::{SelectCandidate, SelectSpec};

/// What was chosen.
pub(super) const CHOICE: &str = "choice.json";

/// The artifact: what a search chose, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What was searched.
    pub step: String,
    /// The candidate that won.
    pub winner: usize,
    /// All candidates.
    pub candidates: Vec<Scored>,
}

/// A candidate with its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Name of its row.
    pub name: String,
    /// Mean over its seeds; `None` where nothing was defined.
    pub score: Option<f64>,
}

pub(super) fn run(spec: &SelectSpec, cx: &mut StageContext<'_>) -> Result<(), StageError> {
    let metric: Metric = spec
        .metric
        .parse()
        .map_err(|name| StageError::new(format!("unknown metric '{name}'")))?;
    let candidates = spec
        .candidates
        .iter()
        .map(|c| score(c, metric, spec, cx))
        .collect::<Result<Vec<Scored>, StageError>>()?;
    let direction = MetricEntry::named(&spec.metric).map_or(Direction::Up, |m| m.direction);
    let scores: Vec<Option<f64>> = candidates.iter().map(|c| c.score).collect();
    let Some(winner) = best(&scores, direction) else {
        return Err(StageError::new(format!(
            "no candidate of '{}' has a {} to be chosen by",
            spec.step, spec.metric
        )));
    };
    cx.note(format!(
        "'{}' is best of {} by {} on the validation cases",
        candidates[winner].name,
        candidates.len(),
        spec.metric
    ));
    write_json(
        &cx.output().join(CHOICE),
        &Choice {
            step: spec.step.clone(),
            winner,
            candidates,
        },
    )?;
    Ok(())
}

fn score(
    candidate: &SelectCandidate,
    metric: Metric,
    spec: &SelectSpec,
    cx: &StageContext<'_>,
) -> Result<Scored, StageError> {
    let mut values = Vec::new();
    for (_, key) in &candidate.runs {
        let evaluation: Evaluation = read_json(&cx.input(key.as_str())?.join(SCORES))?;
        let found = aggregate(
            &evaluation.cases,
            RegionChoice::Mean,
            metric,
            spec.aggregation,
            spec.hausdorff,
        )?;
        values.extend(found.mean);
    }
    let score = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    Ok(Scored {
        name: candidate.name.clone(),
        score,
    })
}

/// Position of the best score; the first of equals.
fn best(scores: &[Option<f64>], direction: Direction) -> Option<usize> {
    let mut found: Option<(usize, f64)> = None;
    for (i, score) in scores.iter().enumerate() {
        if let Some(score) = *score
            && found.is_none_or(|(_, best)| direction.better(score, best))
        {
            found = Some((i, score));
        }
    }
    found.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_best_wins() {
        let scores = [Some(0.5), None, Some(0.7), Some(0.7), Some(0.2)];
        assert_eq!(best(&scores, Direction::Up), Some(2));
        assert_eq!(best(&scores, Direction::Down), Some(4));
        assert_eq!(best(&[None, None], Direction::Up), None);
        assert_eq!(best(&[], Direction::Up), None);
    }
}
