//! The rules of decision (`docs/claims.md`).

use super::{Comparison, Evidence, Verdict};
use crate::statistics::Paired;

/// Level of every test.
pub(super) const ALPHA: f64 = 0.05;
/// Most seeds that a forecast speaks of.
const MOST_SEEDS: usize = 100;

/// The verdict on a comparison. `wide` is the interval that holds for all comparisons of the claim
/// together: every one has to support it, but any one may contradict it, and with many comparisons
/// one will by chance.
pub(super) fn compare(paired: &Paired, evidence: &Evidence, wide: [f64; 2], least: f64) -> Verdict {
    let [low, high] = evidence.interval;
    if paired.seeds() > 1 {
        if low > least && evidence.p < ALPHA {
            return Verdict::Supported;
        }
        if wide[1] < least && evidence.p_holm < ALPHA {
            return Verdict::Contradicted;
        }
    }
    let (more_seeds, reason) = forecast(paired, evidence, least);
    let reason = if high < least && more_seeds.is_none() && paired.seeds() > 1 {
        format!("against the claim, but {reason}")
    } else {
        reason
    };
    Verdict::Undecided { more_seeds, reason }
}

/// How many more seeds would decide, and what is in the way.
fn forecast(paired: &Paired, evidence: &Evidence, least: f64) -> (Option<u32>, String) {
    let (seeds, cases) = (paired.seeds(), evidence.cases);
    let distance = (evidence.effect - least).abs();
    // The least p-value that signs of so many cases can have.
    if cases < 60 && 2f64.powi(1 - cases as i32) >= ALPHA {
        return (
            None,
            format!("{cases} test cases are too few for p < {ALPHA}, however many seeds"),
        );
    }
    if seeds < 2 {
        let reason = "one seed tells nothing of the spread between seeds";
        return (None, reason.to_owned());
    }
    if distance <= paired.least_half_width() {
        return (
            None,
            format!("over {cases} test cases the difference varies too much, however many seeds"),
        );
    }
    let [low, high] = evidence.interval;
    if low > least || high < least {
        let reason = format!(
            "the interval leaves {least} out, but p = {:.3} ({:.3} after correction)",
            evidence.p, evidence.p_holm
        );
        return (None, reason);
    }
    match (seeds + 1..=MOST_SEEDS).find(|&s| paired.half_width(s) < distance) {
        Some(enough) => {
            let more = u32::try_from(enough - seeds).unwrap_or(u32::MAX);
            let plural = if more == 1 { "" } else { "s" };
            (
                Some(more),
                format!("{more} more seed{plural} would tell, if seeds go on as they do"),
            )
        }
        None => (
            None,
            format!(
                "more than {MOST_SEEDS} seeds would be needed: the difference is about {least}"
            ),
        ),
    }
}

/// The verdict on a claim from its comparisons.
pub(super) fn conclude(comparisons: &[Comparison], least: f64) -> Verdict {
    let is = |wanted: fn(&Verdict) -> bool| comparisons.iter().filter(move |c| wanted(&c.verdict));
    if is(|o| *o == Verdict::Contradicted).next().is_some() {
        return Verdict::Contradicted;
    }
    let told = |c: &Comparison, reason: &str, what: &str, n: usize| match comparisons {
        [_] => reason.to_owned(),
        all => {
            let rows = format!("{} over {}", c.better(), c.worse());
            format!(
                "{n} of {} {what}; {rows}, {}: {reason}",
                all.len(),
                c.place()
            )
        }
    };
    let missing = is(|o| matches!(o, Verdict::Missing { .. }));
    let n = missing.clone().count();
    for c in missing {
        if let Verdict::Missing { reason } = &c.verdict {
            let reason = told(c, reason, "missing", n);
            return Verdict::Missing { reason };
        }
    }
    let open = || is(|o| matches!(o, Verdict::Undecided { .. }));
    let Some(first) = open().next() else {
        return if comparisons.is_empty() {
            let reason = "the claim compares nothing".to_owned();
            Verdict::Missing { reason }
        } else {
            Verdict::Supported
        };
    };
    let more = |c: &Comparison| match c.verdict {
        Verdict::Undecided { more_seeds, .. } => more_seeds,
        _ => None,
    };
    let is_against = |c: &&Comparison| c.evidence.as_ref().is_some_and(|e| e.effect < least);
    // One comparison that turns out against the claim decides it; otherwise all have to be for it.
    let against = open().filter(is_against).filter_map(more).min();
    let all: Option<Vec<u32>> = open().map(more).collect();
    let more_seeds = against.or_else(|| all?.into_iter().max());
    let reason = match &first.verdict {
        Verdict::Undecided { reason, .. } => told(first, reason, "undecided", open().count()),
        _ => String::new(),
    };
    Verdict::Undecided { more_seeds, reason }
}
