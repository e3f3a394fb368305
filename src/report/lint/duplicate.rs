//! Numbers that agree to the last digit though they belong to different settings.

use super::super::{Entry, Ledger};
use super::finding::{Finding, Report, Rule, Severity, Source};
use super::shared::SameResult;

/// The tables that print HD95 with four digits. A chance agreement of two of their numbers is
/// unlikely, which cannot be said of Dice, with four digits between 0 and 1.
const TABLES: [&str; 4] = ["III", "IV", "V", "VI"];

/// Reports HD95 values that more than one result has.
pub(super) fn check(ledger: &Ledger, same: &SameResult, report: &mut Report) {
    let mut values: Vec<(usize, &Entry)> = ledger
        .entries()
        .iter()
        .enumerate()
        .filter(|(_, e)| e.metric == "HD95" && TABLES.contains(&e.table.as_str()))
        .map(|(i, e)| (same.root(i), e))
        .collect();
    values.sort_by(|(_, a), (_, b)| a.value.total_cmp(&b.value).then(a.line.cmp(&b.line)));
    let Some(chance) = expected_agreements(&values) else {
        return;
    };
    for group in values.chunk_by(|(_, a), (_, b)| a.value == b.value) {
        report.checked();
        if group.iter().all(|(root, _)| *root == group[0].0) {
            continue;
        }
        report.add(Finding {
            rule: Rule::Duplicate,
            severity: Severity::Doubt,
            note: (group[0].1.value == 40.1080).then_some("C26"),
            summary: format!(
                "different settings, the same number to four digits; by chance {chance:.2} such \
                 pairs are expected among all HD95 of these tables"
            ),
            sources: group.iter().map(|(_, e)| Source::cell(e)).collect(),
        });
    }
}

/// Pairs that agree if each result fell anywhere in the range, in steps of the last digit.
fn expected_agreements(sorted: &[(usize, &Entry)]) -> Option<f64> {
    let (low, high) = (sorted.first()?.1.value, sorted.last()?.1.value);
    let mut results: Vec<usize> = sorted.iter().map(|(root, _)| *root).collect();
    results.sort_unstable();
    results.dedup();
    let n = results.len() as f64;
    Some(n * (n - 1.0) / 2.0 / ((high - low) * 1e4 + 1.0))
}
