//! The rules, in the order of the report.

use super::super::Ledger;
use super::finding::{LintReport, Report};
use super::{arithmetic, derived, duplicate, order, quote, range, shared, trend};

/// Runs every rule on a ledger.
#[must_use]
pub fn lint(ledger: &Ledger) -> LintReport {
    let mut report = Report::default();
    let same = shared::SameResult::new(ledger);
    shared::check(ledger, &same, &mut report);
    quote::check(ledger, &same, &mut report);
    order::check(ledger, &mut report);
    derived::check(ledger, &mut report);
    range::check(ledger, &mut report);
    arithmetic::check(ledger, &mut report);
    shared::check_look_alikes(ledger, &mut report);
    trend::check(ledger, &mut report);
    duplicate::check(ledger, &same, &mut report);
    report.finish(ledger)
}
