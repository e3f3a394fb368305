//! More labelled cases should not make a result worse.

use std::collections::BTreeMap;

use super::super::table::direction;
use super::super::{Entry, Ledger};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// Metrics that rate the whole segmentation. Sensitivity alone may fall while the result improves.
const METRICS: [&str; 3] = ["DSC", "BIoU", "HD95"];

/// Reports rows that get worse with more labels, one finding for each table.
pub(super) fn check(ledger: &Ledger, report: &mut Report) {
    let mut found: BTreeMap<&str, Vec<Source>> = BTreeMap::new();
    for more in ledger.entries() {
        let Some(direction) =
            direction(&more.metric).filter(|_| METRICS.contains(&more.metric.as_str()))
        else {
            continue;
        };
        let Some(fewer) = next_below(ledger, more) else {
            continue;
        };
        report.checked();
        if direction.better(fewer.value, more.value) {
            let sources = found.entry(&more.table).or_default();
            sources.extend([Source::cell(fewer), Source::cell(more)]);
        }
    }
    for (table, sources) in found {
        report.add(Finding {
            rule: Rule::Trend,
            severity: Severity::Doubt,
            note: None,
            summary: format!(
                "Table {table}: more labels, worse result in {} pairs of cells",
                sources.len() / 2
            ),
            sources,
        });
    }
}

/// The same cell at the next smaller label ratio.
fn next_below<'a>(ledger: &'a Ledger, entry: &Entry) -> Option<&'a Entry> {
    let percent = entry.label_percent?;
    ledger
        .entries()
        .iter()
        .filter(|e| {
            e.table == entry.table
                && e.dataset == entry.dataset
                && e.modality == entry.modality
                && e.method == entry.method
                && e.metric == entry.metric
                && e.setting == entry.setting
                && e.label_percent.is_some_and(|p| p < percent)
        })
        .max_by_key(|e| e.label_percent)
}
