//! Claims of the paper with their verdicts on our numbers.

use maud::{Markup, html};

use super::super::claim::{Comparison, Judgement, Verdict};
use super::super::plot::{Forest, ForestRow};
use super::super::view::one_line;
use super::input::ReportInput;
use super::tables::name;

/// Comparisons of a claim that are drawn at most.
const DRAWN: usize = 40;

/// A verdict on the page: class, sign, words.
type Shown = (&'static str, &'static str, &'static str);

/// The verdict as it counts: synthetic images are no evidence.
fn shown(judgement: &Judgement) -> Shown {
    if judgement.phantom {
        return ("none", "–", "no evidence");
    }
    match judgement.verdict {
        Verdict::Supported => ("supported", "✓", "supported"),
        Verdict::Contradicted => ("contradicted", "✗", "contradicted"),
        Verdict::Undecided { .. } => ("undecided", "?", "undecided"),
        Verdict::Missing { .. } => ("none", "–", "missing"),
    }
}

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    if input.claims.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            "Sentences of the paper as tests on our scores, paired by seed and patient. Supported takes an "
            "interval above the line that decides and p < 0.05 in every comparison, contradicted the "
            "opposite in one; one seed decides nothing."
        }
        @if input.claims.iter().any(|c| c.phantom) {
            p.warning role="note" {
                strong { "No evidence. " }
                "Numbers of synthetic images say nothing for or against the paper. What the test said of "
                "them stands there only to show that it works."
            }
        }
        ul.claims { @for claim in &input.claims { (one(claim)) } }
    })
}

fn one(claim: &Judgement) -> Markup {
    let (class, sign, words) = shown(claim);
    let seeds = claim.verdict.more_seeds();
    html! {
        li class={ "claim " (class) } {
            p.verdict { span.sign aria-hidden="true" { (sign) } (words) }
            div {
                p.sentence { (claim.text) }
                p.test { (name(&claim.table)) ": " (claim.says()) "; " (claim.published.in_words()) }
                @if claim.phantom {
                    p.reason { "on these phantoms: " (claim.verdict.word()) }
                }
                @if let Some(reason) = claim.verdict.reason() {
                    p.reason {
                        (one_line(reason))
                        @if let Some(n) = seeds { "; about " (n) " more seed" @if n != 1 { "s" } " would tell" }
                    }
                }
                (comparisons(claim))
            }
        }
    }
}

fn comparisons(claim: &Judgement) -> Markup {
    let all = &claim.comparisons;
    if all.is_empty() {
        return html! {};
    }
    let rows = all.iter().take(DRAWN).map(|c| row(c, claim)).collect();
    let forest = Forest {
        label: format!("{}, in favour of the claim", claim.metric),
        least: claim.least,
        rows,
    };
    html! {
        details {
            summary { (all.len()) " comparison" @if all.len() != 1 { "s" } }
            (forest.markup())
            @if all.len() > DRAWN { p.reason { "and " (all.len() - DRAWN) " more: amlp-run claims" } }
        }
    }
}

fn row(comparison: &Comparison, claim: &Judgement) -> ForestRow {
    let name = if claim.rows.len() > 2 {
        let (better, worse) = (comparison.better(), comparison.worse());
        format!("{}, {better} > {worse}", comparison.place())
    } else {
        comparison.place()
    };
    ForestRow {
        name,
        measured: comparison.evidence.as_ref().map(|e| (e.effect, e.interval)),
        published: comparison.published.as_ref().map(|p| p.effect),
    }
}
