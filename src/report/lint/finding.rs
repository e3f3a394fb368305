//! What the lint reports.

use serde::Serialize;

use super::super::{Entry, Ledger};

/// Which rule found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Cells that are one result print different numbers.
    Shared,
    /// A number quoted in the text is not what the tables give.
    Quote,
    /// The text orders results otherwise than the tables do.
    Order,
    /// A printed number does not follow from the numbers that it is made of.
    Derived,
    /// A number is not possible.
    Range,
    /// Two statements of the text cannot both hold.
    Arithmetic,
    /// More labels give a worse result.
    Trend,
    /// Rows that read alike print different numbers.
    LookAlike,
    /// Different settings print the same number to the last digit.
    Duplicate,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Not all of it can be right.
    Contradiction,
    /// Unlikely, or in need of an explanation that the paper does not give.
    Doubt,
}

/// A number and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// Table cell or sentence.
    pub place: String,
    /// Line of the ledger, for cells.
    pub line: Option<u64>,
    /// The number.
    pub value: f64,
}

impl Source {
    /// A cell.
    #[must_use]
    pub(super) fn cell(entry: &Entry) -> Self {
        Self {
            place: entry.place(),
            line: Some(entry.line),
            value: entry.value,
        }
    }

    /// A sentence.
    #[must_use]
    pub(super) fn text(section: &str, sentence: &str, value: f64) -> Self {
        Self {
            place: format!("text, {section}: \"{sentence}\""),
            line: None,
            value,
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Rule.
    pub rule: Rule,
    /// How sure.
    pub severity: Severity,
    /// Number in the list of known inconsistencies (`C1`), where it is known.
    pub note: Option<&'static str>,
    /// What is wrong.
    pub summary: String,
    /// All places with their numbers.
    pub sources: Vec<Source>,
}

/// Result of the lint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LintReport {
    /// Numbers in the ledger.
    pub numbers: usize,
    /// Comparisons made.
    pub checks: usize,
    /// Contradictions first, then doubts, each in the order of the rules.
    pub findings: Vec<Finding>,
}

impl LintReport {
    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let sure = self.count(Severity::Contradiction);
        let mut out = format!(
            "{} numbers, {} checks: {} contradictions, {} doubts\n",
            self.numbers,
            self.checks,
            sure,
            self.findings.len() - sure,
        );
        for (i, finding) in self.findings.iter().enumerate() {
            let kind = match finding.severity {
                Severity::Contradiction => "contradiction",
                Severity::Doubt => "doubt",
            };
            let note = finding.note.map_or_else(String::new, |n| format!(" {n}"));
            out.push_str(&format!("\n{}. {kind}{note}: {}\n", i + 1, finding.summary));
            let mut sentence: Option<&str> = None;
            for source in &finding.sources {
                // A sentence that quotes several numbers is printed once.
                let repeated = source.line.is_none() && sentence == Some(&source.place);
                let place = if repeated {
                    "the same sentence"
                } else {
                    &source.place
                };
                if source.line.is_none() {
                    sentence = Some(&source.place);
                }
                let line = source
                    .line
                    .map_or_else(String::new, |l| format!(" (line {l})"));
                out.push_str(&format!("   {:>9}  {place}{line}\n", source.value));
            }
        }
        out
    }

    /// Findings of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|f| f.severity == severity)
            .count()
    }
}

/// A report in the making.
#[derive(Default)]
pub(super) struct Report {
    checks: usize,
    findings: Vec<Finding>,
}

impl Report {
    /// Counts a comparison.
    pub(super) fn checked(&mut self) {
        self.checks += 1;
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn finish(mut self, ledger: &Ledger) -> LintReport {
        self.findings.sort_by_key(|f| f.severity == Severity::Doubt);
        LintReport {
            numbers: ledger.entries().len(),
            checks: self.checks,
            findings: self.findings,
        }
    }
}
