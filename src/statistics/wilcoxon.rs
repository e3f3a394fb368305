//! Wilcoxon's signed-rank test (Wilcoxon 1945).
//!
//! Differences of zero are left out before ranking, as Wilcoxon did (`zero_method="wilcox"` in
//! SciPy), and equal ones share their mean rank. Up to [`EXACT`] differences the null distribution
//! is exact, ties included: all signs of the ranks at hand are equally likely. Beyond that it is
//! normal, its variance corrected for ties, without a correction for continuity.

use super::distribution::normal_tail;

/// Differences up to which the null distribution is computed exactly.
const EXACT: usize = 50;

/// Scores are compared in steps of this: what is nearer is a rounding of binary fractions.
const GRAIN: f64 = 1e-10;

/// Two-sided p-value for differences that are symmetric about zero; 1 where none differs.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> f64 {
    let mut steps: Vec<f64> = differences.iter().map(|d| (d / GRAIN).round()).collect();
    steps.retain(|d| *d != 0.0);
    steps.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = steps.len();
    if n == 0 {
        return 1.0;
    }
    // Twice the rank: mean ranks of ties end in a half.
    let mut ranks = Vec::with_capacity(n);
    let mut ties = 0.0;
    for group in steps.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, size) = (ranks.len() + 1, group.len());
        ranks.extend(std::iter::repeat_n(2 * first + size - 1, size));
        let size = size as f64;
        ties += size * (size * size - 1.0);
    }
    let positive = steps.iter().zip(&ranks).filter(|(d, _)| **d > 0.0);
    let positive: usize = positive.map(|(_, rank)| rank).sum();
    let all = n * (n + 1);
    let smaller = positive.min(all - positive);
    if n <= EXACT {
        return exact(&ranks, smaller);
    }
    let n = n as f64;
    let mean = n * (n + 1.0) / 4.0;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (mean - smaller as f64 / 2.0) / variance.sqrt();
    (2.0 * normal_tail(z)).min(1.0)
}

/// Twice the share of the signs whose positive (doubled) ranks sum to `sum` or less.
fn exact(ranks: &[usize], sum: usize) -> f64 {
    let mut share = vec![0.0; sum + 1];
    share[0] = 1.0;
    for &rank in ranks {
        for total in (0..=sum).rev() {
            let with = total.checked_sub(rank).map_or(0.0, |rest| share[rest]);
            share[total] = 0.5 * (share[total] + with);
        }
    }
    (2.0 * share.iter().sum::<f64>()).min(1.0)
}
