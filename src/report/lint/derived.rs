//! Printed numbers that follow from other printed numbers.

use super::super::{Entry, Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// Patches of the images that Table VII counts: 160 by 160 pixels in patches of 16.
const PATCHES: f64 = 100.0;

/// Checks Table VII and the averages of Table X.
pub(super) fn check(ledger: &Ledger, report: &mut Report) {
    for entry in ledger.entries() {
        match (entry.table.as_str(), entry.metric.as_str()) {
            ("VII", "precision_percent") => precision(ledger, entry, report),
            ("X", "DSC") => average(ledger, entry, report),
            _ => {}
        }
    }
    sum_of_patches(ledger, report);
}

fn sibling<'a>(ledger: &'a Ledger, entry: &Entry, metric: &str) -> Option<&'a Entry> {
    ledger.find(&Query {
        metric,
        ..entry.query()
    })
}

fn add(report: &mut Report, summary: String, sources: &[&Entry]) {
    report.add(Finding {
        rule: Rule::Derived,
        severity: Severity::Contradiction,
        note: None,
        summary,
        sources: sources.iter().map(|e| Source::cell(e)).collect(),
    });
}

/// Precision is lesion patches over patches, all three rounded to two digits.
fn precision(ledger: &Ledger, entry: &Entry, report: &mut Report) {
    let (Some(lesion), Some(all)) = (
        sibling(ledger, entry, "lesion_patches"),
        sibling(ledger, entry, "patches"),
    ) else {
        return;
    };
    report.checked();
    let half = 0.005;
    let low = 100.0 * (lesion.value - half) / (all.value + half) - half;
    let high = 100.0 * (lesion.value + half) / (all.value - half) + half;
    if entry.value < low || entry.value > high {
        let ratio = 100.0 * lesion.value / all.value;
        add(
            report,
            format!("the precision should be {ratio:.2} %"),
            &[lesion, all, entry],
        );
    }
}

/// The average of the regions, all four rounded to four digits.
fn average(ledger: &Ledger, entry: &Entry, report: &mut Report) {
    let parts: Vec<&Entry> = ["DSC_ET", "DSC_WT", "DSC_TC"]
        .iter()
        .filter_map(|metric| sibling(ledger, entry, metric))
        .collect();
    if parts.len() != 3 {
        return;
    }
    report.checked();
    let mean = parts.iter().map(|e| e.value).sum::<f64>() / 3.0;
    if (mean - entry.value).abs() > 1e-4 + 1e-9 {
        let mut sources = parts;
        sources.push(entry);
        add(report, format!("the average should be {mean:.4}"), &sources);
    }
}

fn sum_of_patches(ledger: &Ledger, report: &mut Report) {
    let counts: Vec<&Entry> = ledger
        .entries()
        .iter()
        .filter(|e| e.table == "VII" && e.metric == "patches")
        .collect();
    if counts.is_empty() {
        return;
    }
    report.checked();
    let sum: f64 = counts.iter().map(|e| e.value).sum();
    if (sum - PATCHES).abs() > 0.01 + 1e-9 {
        add(
            report,
            format!("the categories hold {sum:.2} patches, an image {PATCHES}"),
            &counts,
        );
    }
}
