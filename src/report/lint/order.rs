//! Sentences of the paper that order rows, against the cells.

use super::super::table::direction;
use super::super::{Entry, Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// Rows on one side of an order.
#[derive(Clone, Copy)]
enum Side {
    /// One row.
    Row(&'static str),
    /// Every other row of the table.
    Others,
}

/// A sentence that holds for each column of a table.
struct Order {
    section: &'static str,
    text: &'static str,
    table: &'static str,
    /// Table of the worse row, where it is another one.
    beside: Option<&'static str>,
    better: Side,
    worse: Side,
    /// `key=value` parts of the setting that the better and the worse row differ in.
    settings: Option<(&'static str, &'static str)>,
    /// Restricts both sides; `None` for all.
    dataset: Option<(&'static str, &'static str)>,
    /// Label ratios of the two sides; `None` pairs equal ones.
    labels: Option<(u32, u32)>,
    /// How sure a failure is: a sentence about methods in general may allow exceptions.
    severity: Severity,
    /// Number in the list of known inconsistencies, where it is known.
    note: Option<&'static str>,
}

const fn rows(
    section: &'static str,
    text: &'static str,
    table: &'static str,
    better: Side,
    worse: Side,
) -> Order {
    Order {
        section,
        text,
        table,
        beside: None,
        better,
        worse,
        settings: None,
        dataset: None,
        labels: None,
        severity: Severity::Contradiction,
        note: None,
    }
}

const fn in_general(order: Order) -> Order {
    Order {
        severity: Severity::Doubt,
        ..order
    }
}

const OURS: Side = Side::Row("Ours");

const BEST_IN_PET: &str = "outperforms the fully supervised method with 50% annotations but also \
                           outperforms the fully supervised method with 100% annotations in the \
                           PET modality on Hecktor";
const SSL_WINS: &str = "self-supervised learning methods (including the proposed AMLP) achieve much \
                        better segmentation performances than the fully supervised baseline with \
                        the same ratio of labeled data";

const fn pet(table: &'static str, percent: u32) -> Order {
    Order {
        dataset: Some(("hecktor", "PET")),
        labels: Some((10, percent)),
        ..rows("IV-A", BEST_IN_PET, table, OURS, Side::Row("Sup"))
    }
}

const ORDERS: &[Order] = &[
    pet("II", 50),
    pet("III", 50),
    pet("II", 100),
    pet("III", 100),
    in_general(rows("IV-A", SSL_WINS, "II", Side::Others, Side::Row("Sup"))),
    in_general(rows(
        "IV-A",
        SSL_WINS,
        "III",
        Side::Others,
        Side::Row("Sup"),
    )),
    rows(
        "IV-B",
        "MPS consistently outperforms BASE",
        "IV",
        Side::Row("MPS"),
        Side::Row("BASE"),
    ),
    rows(
        "IV-B",
        "using Lrrl or Lccl alone can improve model performance",
        "V",
        Side::Others,
        Side::Row("Lpred"),
    ),
    rows(
        "IV-B",
        "the combination of Lrrl and Lccl can further improve model performance",
        "V",
        Side::Row("Lpred+Lrrl+Lccl"),
        Side::Others,
    ),
    rows(
        "IV-B",
        "the performance of \"hard to easy\" is superior to \"easy to hard\"",
        "VI",
        Side::Row("hard to easy"),
        Side::Row("easy to hard"),
    ),
    rows(
        "IV-B",
        "with \"random\" yielding the poorest result",
        "VI",
        Side::Others,
        Side::Row("random"),
    ),
    rows(
        "IV-C",
        "consistently surpasses other methods in all single tumor categories",
        "X",
        OURS,
        Side::Others,
    ),
    rows(
        "IV-C",
        "achieves the best performance among all methods",
        "XII",
        OURS,
        Side::Others,
    ),
    rows(
        "IV-C",
        "achieved the best performance among all self-supervised methods",
        "XIII",
        OURS,
        Side::Others,
    ),
    rows(
        "IV-C",
        "various self-supervised methods outperform Faster R-CNN in detection accuracy when using \
         only 10% labeled data",
        "XIII",
        Side::Others,
        Side::Row("Faster-RCNN"),
    ),
    Order {
        settings: Some(("amlp=with", "amlp=without")),
        ..rows(
            "IV-C",
            "our proposed method (w/ ours) consistently outperforms the baseline (w/o ours)",
            "XV",
            Side::Others,
            Side::Others,
        )
    },
    // The row with Lccl has MPS: without Lccl it is Table IV's MPS, or more.
    Order {
        beside: Some("IV"),
        note: Some("C3"),
        ..rows(
            "IV-B",
            "using Lrrl or Lccl alone can improve model performance, where Lccl depends on the MPS",
            "V",
            Side::Row("Lpred+Lccl"),
            Side::Row("MPS"),
        )
    },
];

/// Checks every sentence; one finding for each that fails somewhere.
pub(super) fn check(ledger: &Ledger, report: &mut Report) {
    for order in ORDERS {
        let (mut pairs, mut failed) = (0, Vec::new());
        for better in ledger.entries() {
            if !order.is_better_side(better) {
                continue;
            }
            let Some(direction) = direction(&better.metric) else {
                continue;
            };
            for worse in order.partners(ledger, better) {
                report.checked();
                pairs += 1;
                if !direction.better(better.value, worse.value) {
                    failed.extend([Source::cell(better), Source::cell(worse)]);
                }
            }
        }
        if failed.is_empty() {
            continue;
        }
        report.add(Finding {
            rule: Rule::Order,
            severity: order.severity,
            note: order.note,
            summary: format!(
                "text, {}: \"{}\" does not hold in Table {} for {} of {pairs} pairs of cells",
                order.section,
                order.text,
                order.beside.map_or_else(
                    || order.table.to_owned(),
                    |beside| format!("{} beside {beside}", order.table)
                ),
                failed.len() / 2
            ),
            sources: failed,
        });
    }
}

impl Order {
    fn is_better_side(&self, entry: &Entry) -> bool {
        entry.table == self.table
            && match (self.better, self.worse) {
                (Side::Row(row), _) => entry.method == row,
                (Side::Others, Side::Row(row)) => entry.method != row,
                (Side::Others, Side::Others) => true,
            }
            && self
                .dataset
                .is_none_or(|(d, m)| entry.dataset == d && entry.modality == m)
            && self
                .labels
                .is_none_or(|(label, _)| entry.label_percent == Some(label))
            && self
                .settings
                .is_none_or(|(with, _)| entry.setting.split(';').any(|part| part == with))
    }

    /// Cells in the column of `better` that should be worse.
    fn partners<'a>(&self, ledger: &'a Ledger, better: &Entry) -> Vec<&'a Entry> {
        let label_percent = match self.labels {
            Some((_, label)) => Some(label),
            None => better.label_percent,
        };
        if let Some((with, without)) = self.settings {
            let setting: Vec<&str> = better
                .setting
                .split(';')
                .map(|part| if part == with { without } else { part })
                .collect();
            let setting = setting.join(";");
            let query = Query {
                setting: &setting,
                ..better.query()
            };
            return ledger.find(&query).into_iter().collect();
        }
        ledger
            .entries()
            .iter()
            .filter(|e| {
                e.table == self.beside.unwrap_or(self.table)
                    && e.dataset == better.dataset
                    && e.modality == better.modality
                    && e.metric == better.metric
                    && e.label_percent == label_percent
                    && e.line != better.line
                    && match self.worse {
                        Side::Row(row) => e.method == row,
                        Side::Others => e.method != better.method,
                    }
            })
            .collect()
    }
}
