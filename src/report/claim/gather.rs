//! The scores of a comparison, paired by seed and case.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pair, Side};
use crate::statistics::{Block, Paired};

/// A case and its score; `None` where that is undefined (empty masks).
pub type CaseScore = (String, Option<f64>);

/// The scores of each seed at a place, or why a seed has none.
pub type SeedScores = Vec<(u64, Result<Vec<CaseScore>, String>)>;

/// Where scores and published numbers come from.
pub trait Results {
    /// Scores per seed at a place.
    fn scores(&mut self, side: &Side) -> SeedScores;
    /// The published number of a place.
    fn published(&self, side: &Side) -> Option<f64>;
}

/// Scores of a comparison.
pub(super) struct Gathered {
    /// Differences, positive in favour.
    pub paired: Paired,
    /// Mean of the row that is claimed to be better.
    pub better: f64,
    /// Mean of the other.
    pub worse: f64,
    /// Seeds that all places have.
    pub seeds: Vec<u64>,
    /// Cases that all places have, and those left out because a score is undefined.
    pub cases: usize,
    pub undefined: usize,
}

/// Both scores of each case, by seed.
type Cases = BTreeMap<String, Option<[f64; 2]>>;

/// Pairs the scores of the places of a comparison. Its effect is the mean over the places; places of
/// one data set share their cases, so that these enter by their mean.
///
/// # Errors
/// What is missing.
pub(super) fn gather(
    pairs: &[Pair],
    sign: f64,
    results: &mut impl Results,
) -> Result<Gathered, String> {
    let mut by_data: BTreeMap<&str, Vec<BTreeMap<u64, Cases>>> = BTreeMap::new();
    for pair in pairs {
        let seeds = of_pair(pair, results)?;
        by_data.entry(&pair.better.dataset).or_default().push(seeds);
    }
    let seeds = common_seeds(by_data.values().flatten())
        .ok_or_else(|| "no seed has results in every column".to_owned())?;
    let (mut blocks, mut means) = (Vec::new(), [0.0; 2]);
    let (mut cases, mut undefined) = (0, 0);
    for (dataset, places) in &by_data {
        let weight = places.len() as f64 / pairs.len() as f64;
        let of_seeds: Vec<Vec<&Cases>> = seeds
            .iter()
            .map(|seed| places.iter().filter_map(|p| p.get(seed)).collect())
            .collect();
        let kept = defined_cases(&of_seeds);
        cases += kept.len();
        undefined += of_seeds[0][0].len() - kept.len();
        let mut differences = Vec::with_capacity(seeds.len());
        for tables in &of_seeds {
            let scores: Vec<[f64; 2]> = kept.iter().map(|c| mean_score(tables, c)).collect();
            let share = weight / (seeds.len() * kept.len().max(1)) as f64;
            for score in &scores {
                means[0] += share * score[0];
                means[1] += share * score[1];
            }
            differences.push(scores.iter().map(|[a, b]| sign * (a - b)).collect());
        }
        let block = Block::new(weight, &differences)
            .ok_or_else(|| format!("no test case of {dataset} has a score on both sides"))?;
        blocks.push(block);
    }
    let paired = Paired::new(blocks).ok_or_else(|| "there is nothing to compare".to_owned())?;
    Ok(Gathered {
        paired,
        better: means[0],
        worse: means[1],
        seeds,
        cases,
        undefined,
    })
}

/// Scores of both sides for every seed that both have.
fn of_pair(pair: &Pair, results: &mut impl Results) -> Result<BTreeMap<u64, Cases>, String> {
    let better = results.scores(&pair.better);
    let worse = results.scores(&pair.worse);
    let mut found = BTreeMap::new();
    let mut obstacle = None;
    for (seed, scores) in better {
        let other = worse.iter().find(|(s, _)| *s == seed).map(|(_, o)| o);
        match (scores, other) {
            (Ok(scores), Some(Ok(other))) => {
                let other: BTreeMap<&str, Option<f64>> =
                    other.iter().map(|(c, v)| (c.as_str(), *v)).collect();
                let cases = scores.into_iter().filter_map(|(case, value)| {
                    let beside = *other.get(case.as_str())?;
                    Some((case, value.zip(beside).map(|(a, b)| [a, b])))
                });
                found.insert(seed, cases.collect());
            }
            (Err(reason), _) => {
                obstacle.get_or_insert_with(|| format!("{}: {reason}", pair.better.row));
            }
            (_, Some(Err(reason))) => {
                obstacle.get_or_insert_with(|| format!("{}: {reason}", pair.worse.row));
            }
            (Ok(_), None) => {}
        }
    }
    if found.is_empty() {
        Err(obstacle.unwrap_or_else(|| "the two rows share no seed".to_owned()))
    } else {
        Ok(found)
    }
}

/// Seeds that every place has; `None` where there is none.
fn common_seeds<'a>(places: impl Iterator<Item = &'a BTreeMap<u64, Cases>>) -> Option<Vec<u64>> {
    let seeds = places
        .map(|place| place.keys().copied().collect::<BTreeSet<u64>>())
        .reduce(|a, b| &a & &b)?;
    (!seeds.is_empty()).then(|| seeds.into_iter().collect())
}

/// Cases with a score on both sides at every place and seed.
fn defined_cases<'a>(of_seeds: &[Vec<&'a Cases>]) -> Vec<&'a str> {
    let all = || of_seeds.iter().flatten();
    let Some(first) = all().next() else {
        return Vec::new();
    };
    first
        .keys()
        .map(String::as_str)
        .filter(|case| all().all(|cases| cases.get(*case).is_some_and(Option::is_some)))
        .collect()
}

/// Both scores of a case, averaged over places.
fn mean_score(places: &[&Cases], case: &str) -> [f64; 2] {
    let scores = places.iter().filter_map(|p| p.get(case).copied().flatten());
    let sum = scores.fold([0.0; 2], |sum, s| [sum[0] + s[0], sum[1] + s[1]]);
    sum.map(|s| s / places.len().max(1) as f64)
}
