//! Statements of the text that cannot hold together, by their numbers.

use super::super::{Ledger, Query};
use super::finding::{Finding, Report, Rule, Severity, Source};

/// A number of the paper.
#[derive(Clone, Copy)]
enum Number {
    /// Of a sentence: section, sentence, number.
    Text(&'static str, &'static str, f64),
    /// Of a cell of BraTS2018: table, modality, label ratio, row, metric, setting.
    Cell(
        &'static str,
        &'static str,
        Option<u32>,
        &'static str,
        &'static str,
        &'static str,
    ),
}

/// What must hold between two numbers.
enum Must {
    /// The first is a multiple of the second.
    Divide,
    /// They are equal.
    Equal,
    /// The first is not larger.
    AtMost,
    /// The second is twice the first.
    Double,
}

struct Statements {
    note: &'static str,
    severity: Severity,
    first: Number,
    second: Number,
    must: Must,
    /// Numbers that are printed beside the two.
    beside: &'static [Number],
    summary: &'static str,
}

const fn statements(
    note: &'static str,
    first: Number,
    must: Must,
    second: Number,
    summary: &'static str,
) -> Statements {
    Statements {
        note,
        severity: Severity::Contradiction,
        first,
        second,
        must,
        beside: &[],
        summary,
    }
}

const fn doubtful(statements: Statements) -> Statements {
    Statements {
        severity: Severity::Doubt,
        ..statements
    }
}

use Number::{Cell, Text};

const PATCHES: Number = Text(
    "IV-C",
    "different masked patch size of 8x8, 16x16 and 32x32",
    32.0,
);
const LARGE_BATCH: Number = Text("Table XIV", "batch size 512", 512.0);
const START: Number = Text(
    "III-D",
    "the initial masking ratio is set to 25%, based on experimental findings in MAE",
    25.0,
);
const NORMAL_RUN: &[Number] = &[
    Cell(
        "IX",
        "T2",
        Some(10),
        "Ours",
        "DSC",
        "misclassified=0%;labels=updated",
    ),
    Cell("IV", "T2", Some(10), "Ours", "DSC", ""),
];

const STATEMENTS: &[Statements] = &[
    statements(
        "C17",
        Text("IV", "Hecktor: d = 144 x 144", 144.0),
        Must::Divide,
        PATCHES,
        "the image does not divide into patches of this size",
    ),
    statements(
        "C17",
        Text("IV", "BraTS2018: d = 160 x 160", 160.0),
        Must::Divide,
        PATCHES,
        "the image does not divide into patches of this size",
    ),
    statements(
        "C6",
        Text("IV", "the batch size is 48 for Hecktor", 48.0),
        Must::Equal,
        LARGE_BATCH,
        "two batch sizes for pre-training",
    ),
    statements(
        "C6",
        Text("IV", "and 36 for BraTS2018", 36.0),
        Must::Equal,
        LARGE_BATCH,
        "two batch sizes for pre-training",
    ),
    statements(
        "C15",
        START,
        Must::Equal,
        Text(
            "III-D",
            "the commonly used fixed masking ratio of 75% in studies like MAE",
            75.0,
        ),
        "a ratio that is said to come from MAE is not MAE's; MAE keeps 25%",
    ),
    doubtful(statements(
        "C8",
        Text("IV", "the weight decay is 0.0001", 1e-4),
        Must::Equal,
        Text(
            "IV-C",
            "a learning rate of 1e-4 and a weight decay of 0.05",
            0.05,
        ),
        "two weight decays; they agree only as those of two stages",
    )),
    doubtful(statements(
        "C16",
        START,
        Must::AtMost,
        Cell("VII", "", None, "category 1", "patches", ""),
        "the first mask, of 25 of 100 patches, covers the whole foreground category, while the text \
         (III-D) counts on \"unmasked lesion patches\" in the early stages",
    )),
    Statements {
        beside: NORMAL_RUN,
        ..doubtful(statements(
            "C23",
            Text("Table IX", "pre-set misclassification ratio 0%", 0.0),
            Must::Equal,
            Text(
                "IV-C",
                "even an untrained k-means algorithm has a maximum misclassification rate of \
                 approximately 12.96%",
                12.96,
            ),
            "the run at 0 % is the normal run, whose patches the text calls misclassified: one rate is \
             against the labels of k-means, the other against the truth",
        ))
    },
    doubtful(statements(
        "C29",
        Text("IV", "5% labels: batch size 31 for Hecktor", 31.0),
        Must::Double,
        Text("IV", "10% labels: batch size 90 for Hecktor", 90.0),
        "twice the labels, but not twice the batch: neither a fixed size nor the number of cases",
    )),
    doubtful(statements(
        "C29",
        Text("IV", "5% labels: batch size 56 for BraTS2018", 56.0),
        Must::Double,
        Text("IV", "10% labels: batch size 70 for BraTS2018", 70.0),
        "twice the labels, but not twice the batch: neither a fixed size nor the number of cases",
    )),
];

/// Checks the statements against each other. Those whose cells the ledger lacks are left out.
pub(super) fn check(ledger: &Ledger, report: &mut Report) {
    for statements in STATEMENTS {
        let both = [statements.first, statements.second];
        let Some([first, second]) = sources(both, ledger) else {
            continue;
        };
        report.checked();
        let (a, b) = (first.value, second.value);
        let holds = match statements.must {
            Must::Divide => a % b == 0.0,
            Must::Equal => a == b,
            Must::AtMost => a <= b,
            Must::Double => b == 2.0 * a,
        };
        if !holds {
            let beside = statements.beside.iter();
            let beside = beside.filter_map(|number| number.source(ledger));
            report.add(Finding {
                rule: Rule::Arithmetic,
                severity: statements.severity,
                note: Some(statements.note),
                summary: statements.summary.to_owned(),
                sources: [first, second].into_iter().chain(beside).collect(),
            });
        }
    }
    advice(report);
}

fn sources(numbers: [Number; 2], ledger: &Ledger) -> Option<[Source; 2]> {
    let [first, second] = numbers.map(|number| number.source(ledger));
    Some([first?, second?])
}

impl Number {
    fn source(self, ledger: &Ledger) -> Option<Source> {
        match self {
            Text(section, sentence, value) => Some(Source::text(section, sentence, value)),
            Cell(table, modality, label_percent, method, metric, setting) => {
                let found = ledger.find(&Query {
                    table,
                    dataset: "brats2018",
                    modality,
                    label_percent,
                    method,
                    metric,
                    setting,
                });
                found.map(Source::cell)
            }
        }
    }
}

/// Equation 5, `sigma0 + ln(epoch) / tau`, in percent.
fn ratio(start: f64, tau: f64, epoch: f64) -> f64 {
    start + 100.0 * epoch.ln() / tau
}

/// A lower start and a larger tau cannot end where the schedule of the paper ends.
fn advice(report: &mut Report) {
    const END: f64 = 80.0;
    const EPOCHS: f64 = 800.0;
    let Text(_, _, start) = START else {
        return;
    };
    report.checked();
    let tau = 100.0 * EPOCHS.ln() / (END - start);
    // The least change that follows the advice.
    let reached = ratio(start - 1.0, tau + 0.1, EPOCHS);
    if reached < END {
        report.add(Finding {
            rule: Rule::Arithmetic,
            severity: Severity::Contradiction,
            note: Some("C28"),
            summary: format!(
                "by equation 5 the ratio ends at {END}% from {start}% with tau = {tau:.2}; with a \
                 lower start and a larger tau it ends below, e.g. at {reached:.1}% from {}% with tau \
                 = {:.2}",
                start - 1.0,
                tau + 0.1
            ),
            sources: vec![
                Source::text(
                    "III-D",
                    "as training progresses, the masking ratio finally reaches 80%",
                    END,
                ),
                Source::text(
                    "IV",
                    "for extremely subtle lesions, reducing the initial masking rate [of 25%] and \
                     increasing tau",
                    start,
                ),
                Source::text("IV", "a total of 800 epochs is trained", EPOCHS),
            ],
        });
    }
}
