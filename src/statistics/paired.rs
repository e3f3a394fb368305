//! Paired differences over seeds and cases.
//!
//! Seeds and cases are crossed: every seed's model is tested on the same cases. Both are draws, so
//! both are drawn again for the interval (the two-way bootstrap of Owen 2007): seeds with
//! replacement, and one set of cases with replacement for all of them. A difference is split into
//! the mean, the deviation of its seed, that of its case, and a rest:
//!
//! ```text
//! d[s][c] = mean + seed[s] + case[c] + rest[s][c]
//! ```
//!
//! Few draws know little of their spread: three seeds would make intervals by a factor of two too
//! narrow. So deviations of seeds and of cases are stretched as Student's t does for a mean of so
//! many (`stretch`). A test holds the interval to its level on simulated results.

use super::distribution::{normal_quantile, student_quantile};
use crate::random::{Purpose, Stream};

/// Replicates of the bootstrap.
pub const REPLICATES: usize = 10_000;

/// Differences of a data set, `seeds x cases`, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    weight: f64,
    seeds: usize,
    cases: usize,
    mean: f64,
    seed: Vec<f64>,
    case: Vec<f64>,
    rest: Vec<f64>,
}

/// Differences whose weighted mean over blocks is the effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    blocks: Vec<Block>,
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}

/// Sample variance of deviations from their mean; 0 for one.
fn variance(deviations: &[f64]) -> f64 {
    let freedom = deviations.len().saturating_sub(1).max(1) as f64;
    deviations.iter().map(|d| d * d).sum::<f64>() / freedom
}

/// What deviations of `n` draws are multiplied with, so that the interval of their bootstrapped mean
/// is about as wide as Student's at a level with this tail.
fn stretch(n: usize, tail: f64) -> f64 {
    if n < 2 {
        return 1.0; // There is no deviation.
    }
    let unbiased = (n as f64 / (n - 1) as f64).sqrt();
    unbiased * student_quantile(n - 1, tail) / normal_quantile(tail)
}

impl Block {
    /// Differences of each seed, with the same cases in the same order; `None` where there are none
    /// or their numbers differ.
    #[must_use]
    pub fn new(weight: f64, differences: &[Vec<f64>]) -> Option<Self> {
        let seeds = differences.len();
        let cases = differences.first()?.len();
        if cases == 0 || differences.iter().any(|d| d.len() != cases) {
            return None;
        }
        let seed: Vec<f64> = differences
            .iter()
            .map(|row| mean(row.iter().copied()))
            .collect();
        let centre = mean(seed.iter().copied());
        let case: Vec<f64> = (0..cases)
            .map(|c| mean(differences.iter().map(|row| row[c])) - centre)
            .collect();
        let seed: Vec<f64> = seed.iter().map(|m| m - centre).collect();
        let rest = differences
            .iter()
            .zip(&seed)
            .flat_map(|(row, s)| row.iter().zip(&case).map(move |(d, c)| d - centre - s - c))
            .collect();
        Some(Self {
            weight,
            seeds,
            cases,
            mean: centre,
            seed,
            case,
            rest,
        })
    }

    /// The weighted mean of a replicate: `seed_draws` and `case_draws` say how often each was drawn.
    fn replicate(&self, draws: &mut Stream, counts: &mut Counts, tails: &[(f64, f64)]) -> Vec<f64> {
        counts.draw(draws, self.seeds, self.cases);
        let (n_seeds, n_cases) = (self.seeds as f64, self.cases as f64);
        let dot = |values: &[f64], times: &[u32]| -> f64 {
            values
                .iter()
                .zip(times)
                .map(|(v, t)| v * f64::from(*t))
                .sum()
        };
        let seed = dot(&self.seed, &counts.seeds) / n_seeds;
        let case = dot(&self.case, &counts.cases) / n_cases;
        let rest: f64 = self
            .rest
            .chunks_exact(self.cases)
            .zip(&counts.seeds)
            .filter(|(_, times)| **times > 0)
            .map(|(row, times)| f64::from(*times) * dot(row, &counts.cases))
            .sum::<f64>()
            / (n_seeds * n_cases);
        tails
            .iter()
            .map(|(by_seed, by_case)| {
                self.weight * (self.mean + by_seed * seed + by_case * case + rest)
            })
            .collect()
    }
}

/// How often each seed and each case was drawn.
#[derive(Default)]
struct Counts {
    seeds: Vec<u32>,
    cases: Vec<u32>,
}

impl Counts {
    fn draw(&mut self, from: &mut Stream, seeds: usize, cases: usize) {
        for (counts, n) in [(&mut self.seeds, seeds), (&mut self.cases, cases)] {
            counts.clear();
            counts.resize(n, 0);
            for _ in 0..n {
                counts[from.below(n)] += 1;
            }
        }
    }
}

impl Paired {
    /// The effect is the sum over blocks of weight times mean; weights sum to 1. `None` without a
    /// block.
    #[must_use]
    pub fn new(blocks: Vec<Block>) -> Option<Self> {
        (!blocks.is_empty()).then_some(Self { blocks })
    }

    /// Mean paired difference.
    #[must_use]
    pub fn effect(&self) -> f64 {
        self.blocks.iter().map(|b| b.weight * b.mean).sum()
    }

    /// Fewest seeds of a block.
    #[must_use]
    pub fn seeds(&self) -> usize {
        self.blocks.iter().map(|b| b.seeds).min().unwrap_or(0)
    }

    /// Cases of all blocks.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.blocks.iter().map(|b| b.cases).sum()
    }

    /// The difference of each case, averaged over seeds.
    #[must_use]
    pub fn by_case(&self) -> Vec<f64> {
        let cases = |b: &'_ Block| b.case.iter().map(|c| b.mean + c).collect::<Vec<f64>>();
        self.blocks.iter().flat_map(cases).collect()
    }

    /// Bootstrap intervals of the effect: one for each probability outside of them (0.05 for 95 %).
    /// With one seed they are over cases alone.
    #[must_use]
    pub fn intervals(&self, outside: &[f64]) -> Vec<[f64; 2]> {
        let stretches: Vec<Vec<(f64, f64)>> = self
            .blocks
            .iter()
            .map(|b| {
                let of = |o: &f64| (stretch(b.seeds, o / 2.0), stretch(b.cases, o / 2.0));
                outside.iter().map(of).collect()
            })
            .collect();
        let mut values = vec![Vec::with_capacity(REPLICATES); outside.len()];
        let mut counts = Counts::default();
        for replicate in 0..REPLICATES {
            let mut sums = vec![0.0; outside.len()];
            for (i, (block, tails)) in self.blocks.iter().zip(&stretches).enumerate() {
                let at = [replicate as u64, i as u64];
                let mut draws = Stream::new(Purpose::Bootstrap, &at);
                let parts = block.replicate(&mut draws, &mut counts, tails);
                sums.iter_mut().zip(parts).for_each(|(s, p)| *s += p);
            }
            values.iter_mut().zip(sums).for_each(|(v, s)| v.push(s));
        }
        values
            .into_iter()
            .zip(outside)
            .map(|(mut values, outside)| {
                values.sort_by(f64::total_cmp);
                let below = (outside / 2.0 * REPLICATES as f64) as usize;
                [values[below], values[REPLICATES - 1 - below]]
            })
            .collect()
    }

    /// Half the width that a 95 % interval is expected to have with this many seeds, from the spread
    /// between the seeds at hand; infinite with one. More seeds do not narrow the part that comes
    /// from the cases.
    #[must_use]
    pub fn half_width(&self, seeds: usize) -> f64 {
        const TAIL: f64 = 0.025;
        let of_seeds = student_quantile(seeds.saturating_sub(1), TAIL);
        let parts = self.blocks.iter().map(|b| {
            let seed = of_seeds.powi(2) * variance(&b.seed) / seeds as f64;
            b.weight.powi(2) * (seed + b.by_cases(TAIL))
        });
        if self.seeds() < 2 || seeds < 2 {
            f64::INFINITY
        } else {
            parts.sum::<f64>().sqrt()
        }
    }

    /// What [`Paired::half_width`] tends to as seeds grow in number.
    #[must_use]
    pub fn least_half_width(&self) -> f64 {
        let parts = self
            .blocks
            .iter()
            .map(|b| b.weight.powi(2) * b.by_cases(0.025));
        parts.sum::<f64>().sqrt()
    }
}

impl Block {
    /// Square of the half width that comes from the cases; infinite for one case.
    fn by_cases(&self, tail: f64) -> f64 {
        if self.cases < 2 {
            return f64::INFINITY;
        }
        student_quantile(self.cases - 1, tail).powi(2) * variance(&self.case) / self.cases as f64
    }
}
