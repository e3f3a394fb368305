//! Numbers that are not possible.

use super::super::{Entry, Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// Values that can only be smaller than their partner: a stricter threshold finds no more.
const AT_MOST: &[(&str, &str)] = &[
    ("AP70", "AP50"),
    ("R70", "R50"),
    ("lesion_patches", "patches"),
];

/// Checks every number against the limits of its metric.
pub(super) fn check(ledger: &Ledger, report: &mut Report) {
    for entry in ledger.entries() {
        report.checked();
        let (low, high) = limits(entry);
        if !(low..=high).contains(&entry.value) {
            add(
                report,
                format!("{} must lie between {low} and {high:.2}", entry.metric),
                &[entry],
            );
        }
        for (small, large) in AT_MOST {
            if entry.metric != *small {
                continue;
            }
            let partner = ledger.find(&Query {
                metric: large,
                ..entry.query()
            });
            if let Some(partner) = partner {
                report.checked();
                if entry.value > partner.value {
                    add(
                        report,
                        format!("{small} cannot exceed {large}"),
                        &[entry, partner],
                    );
                }
            }
        }
    }
}

fn add(report: &mut Report, summary: String, sources: &[&Entry]) {
    report.add(Finding {
        rule: Rule::Range,
        severity: Severity::Contradiction,
        note: None,
        summary,
        sources: sources.iter().map(|e| Source::cell(e)).collect(),
    });
}

/// Least and greatest possible value. A distance cannot exceed the diagonal of the image; the
/// volumes of Table XV are those of BraTS.
fn limits(entry: &Entry) -> (f64, f64) {
    let metric = entry.metric.split('_').next().unwrap_or_default();
    match (metric, entry.dataset.as_str()) {
        ("DSC" | "Sen" | "BIoU" | "AP50" | "AP70" | "R50" | "R70", _) => (0.0, 1.0),
        ("HD95", "hecktor") => (0.0, 144f64.hypot(144.0)),
        ("HD95", "brats2018") if entry.modality == "multimodal" => {
            (0.0, 240f64.hypot(240.0).hypot(155.0))
        }
        ("HD95", "brats2018") => (0.0, 160f64.hypot(160.0)),
        ("precision", _) => (0.0, 100.0),
        _ => (0.0, f64::MAX),
    }
}
