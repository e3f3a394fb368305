//! Contradictions inside the published numbers, found from the numbers: what `check paper` reports.

mod arithmetic;
mod derived;
mod duplicate;
mod finding;
mod order;
mod quote;
mod range;
mod rules;
mod shared;
mod trend;

pub use finding::{Finding, LintReport, Rule, Severity, Source};
pub use rules::lint;
