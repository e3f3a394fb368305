//! From a sentence and scores to a judgement.

use rayon::prelude::*;

use super::decide::{ALPHA, compare, conclude};
use super::gather::{Gathered, gather};
use super::{Comparison, Evidence, Judgement, Pair, Published, PublishedPair, Results, Verdict};
use crate::metric::Direction;
use crate::options::{ClaimKind, ClaimOver};
use crate::statistics::{holm, wilcoxon};

/// A claim with the places that it compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// Experiment.
    pub experiment: String,
    /// Profile.
    pub profile: String,
    /// Number or name of the table.
    pub table: String,
    /// The sentence.
    pub text: String,
    /// What it says.
    pub kind: ClaimKind,
    /// Its rows from best to worst.
    pub rows: Vec<String>,
    /// Metric.
    pub metric: String,
    /// Which end of it is good.
    pub direction: Direction,
    /// Least difference.
    pub least: f64,
    /// How its columns enter.
    pub over: ClaimOver,
    /// Whether any result is of synthetic images.
    pub phantom: bool,
    /// What is compared; each with one pair of places, or with those whose mean is taken.
    pub comparisons: Vec<Vec<Pair>>,
}

/// Judges a claim.
#[must_use]
pub fn judge(sentence: Sentence, results: &mut impl Results) -> Judgement {
    let sign = if sentence.direction.better(1.0, 0.0) {
        1.0
    } else {
        -1.0
    };
    let least = sentence.least;
    let gathered: Vec<Result<Gathered, String>> = sentence
        .comparisons
        .iter()
        .map(|pairs| gather(pairs, sign, results))
        .collect();
    let n = gathered.iter().filter(|g| g.is_ok()).count().max(1);
    let mut measured: Vec<Result<Measured, String>> = gathered
        .into_par_iter()
        .map(|g| g.map(|g| Measured::new(g, least, n)))
        .collect();
    correct(&mut measured);
    let comparisons: Vec<Comparison> = sentence
        .comparisons
        .into_iter()
        .zip(measured)
        .map(|(pairs, measured)| {
            let published = published(&pairs, sign, least, results);
            let (verdict, evidence) = match measured {
                Ok(m) => (
                    compare(&m.gathered.paired, &m.evidence, m.wide, least),
                    Some(m.evidence),
                ),
                Err(reason) => (Verdict::Missing { reason }, None),
            };
            Comparison {
                pairs,
                evidence,
                verdict,
                published,
            }
        })
        .collect();
    let printed = comparisons.iter().filter_map(|c| c.published.as_ref());
    Judgement {
        experiment: sentence.experiment,
        profile: sentence.profile,
        table: sentence.table,
        text: sentence.text,
        kind: sentence.kind,
        rows: sentence.rows,
        metric: sentence.metric,
        direction: sentence.direction,
        least,
        over: sentence.over,
        phantom: sentence.phantom,
        verdict: conclude(&comparisons, least),
        published: Published {
            compared: printed.clone().count(),
            held: printed.filter(|p| p.holds).count(),
        },
        comparisons,
    }
}

/// A comparison with its statistics.
struct Measured {
    gathered: Gathered,
    evidence: Evidence,
    /// The interval that holds for all comparisons of the claim together.
    wide: [f64; 2],
}

impl Measured {
    fn new(gathered: Gathered, least: f64, comparisons: usize) -> Self {
        let paired = &gathered.paired;
        let intervals = paired.intervals(&[ALPHA, ALPHA / comparisons as f64]);
        let beyond: Vec<f64> = paired.by_case().iter().map(|d| d - least).collect();
        let p = wilcoxon(&beyond);
        let evidence = Evidence {
            better: gathered.better,
            worse: gathered.worse,
            effect: paired.effect(),
            interval: intervals[0],
            p,
            p_holm: p,
            seeds: gathered.seeds.clone(),
            cases: gathered.cases,
            undefined: gathered.undefined,
        };
        Self {
            wide: intervals[1],
            gathered,
            evidence,
        }
    }
}

/// Sets the corrected p-values.
fn correct(measured: &mut [Result<Measured, String>]) {
    let raw: Vec<f64> = measured.iter().flatten().map(|m| m.evidence.p).collect();
    for (m, p) in measured.iter_mut().flatten().zip(holm(&raw)) {
        m.evidence.p_holm = p;
    }
}

/// The published numbers of a comparison, where all of its places have one.
fn published(
    pairs: &[Pair],
    sign: f64,
    least: f64,
    results: &impl Results,
) -> Option<PublishedPair> {
    let mut sums = [0.0; 2];
    for pair in pairs {
        sums[0] += results.published(&pair.better)?;
        sums[1] += results.published(&pair.worse)?;
    }
    let [better, worse] = sums.map(|sum| sum / pairs.len().max(1) as f64);
    let effect = sign * (better - worse);
    Some(PublishedPair {
        better,
        worse,
        effect,
        holds: effect > least,
    })
}
