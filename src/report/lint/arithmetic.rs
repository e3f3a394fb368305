//! Statements of the text that cannot hold together, by their numbers.

use super::finding::{Finding, Report, Rule, Severity, Source};

/// What must hold between the numbers of two statements.
enum Must {
    /// The first is a multiple of the second.
    Divide,
    /// They are equal to one of the following.
    Equal,
}

struct Statements {
    note: &'static str,
    first: (&'static str, &'static str, u32),
    second: (&'static str, &'static str, u32),
    must: Must,
    summary: &'static str,
}

const STATEMENTS: &[Statements] = &[
    Statements {
        note: "C17",
        first: ("IV", "Hecktor: d = 144 x 144", 144),
        second: (
            "IV-C",
            "different masked patch size of 8x8, 16x16 and 32x32",
            32,
        ),
        must: Must::Divide,
        summary: "the image does not divide into patches of this size",
    },
    Statements {
        note: "C17",
        first: ("IV", "BraTS2018: d = 160 x 160", 160),
        second: (
            "IV-C",
            "different masked patch size of 8x8, 16x16 and 32x32",
            32,
        ),
        must: Must::Divide,
        summary: "the image does not divide into patches of this size",
    },
    Statements {
        note: "C6",
        first: ("IV", "the batch size is 48 for Hecktor", 48),
        second: ("Table XIV", "batch size 512", 512),
        must: Must::Equal,
        summary: "two batch sizes for pre-training",
    },
    Statements {
        note: "C6",
        first: ("IV", "and 36 for BraTS2018", 36),
        second: ("Table XIV", "batch size 512", 512),
        must: Must::Equal,
        summary: "two batch sizes for pre-training",
    },
];

/// Checks the statements against each other.
pub(super) fn check(report: &mut Report) {
    for statements in STATEMENTS {
        report.checked();
        let (a, b) = (statements.first.2, statements.second.2);
        let holds = match statements.must {
            Must::Divide => a.is_multiple_of(b),
            Must::Equal => a == b,
        };
        if !holds {
            report.add(Finding {
                rule: Rule::Arithmetic,
                severity: Severity::Contradiction,
                note: Some(statements.note),
                summary: statements.summary.to_owned(),
                sources: [&statements.first, &statements.second]
                    .map(|(section, text, value)| Source::text(section, text, f64::from(*value)))
                    .to_vec(),
            });
        }
    }
}
