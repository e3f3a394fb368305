//! Judgements for people.

use super::super::empty::distinct;
use super::super::terminal::wrap;
use super::{Comparison, Judgement, Verdict};

/// Comparisons of a claim that are shown where not all are.
const SHOWN: usize = 6;

/// The judgements by table, a claim a paragraph. `all`: every comparison rather than those that
/// matter most.
#[must_use]
pub fn claims_text(judgements: &[Judgement], width: usize, all: bool) -> String {
    let mut out = phantoms(judgements);
    let mut table = None;
    for judgement in judgements {
        let of = (&judgement.experiment, &judgement.profile, &judgement.table);
        if table != Some(of) {
            let gap = if table.is_some() { "\n" } else { "" };
            let (experiment, profile, number) = of;
            out.push_str(&format!(
                "{gap}Table {number} ({experiment}, profile {profile})\n"
            ));
            table = Some(of);
        }
        out.push('\n');
        claim(&mut out, judgement, width, all);
    }
    out.push('\n');
    wrap(&mut out, "", &summary(judgements), width);
    out
}

/// That synthetic images tell nothing about the paper; empty where there are none.
fn phantoms(judgements: &[Judgement]) -> String {
    let phantom = judgements.iter().filter(|j| j.phantom).count();
    let which = match phantom {
        0 => return String::new(),
        n if n == judgements.len() => "All claims are".to_owned(),
        1 => "1 claim is".to_owned(),
        n => format!("{n} claims are"),
    };
    format!(
        "{which} judged on synthetic images: they test this program and are no evidence about the \
         paper.\n\n"
    )
}

fn claim(out: &mut String, judgement: &Judgement, width: usize, all: bool) {
    let verdict = &judgement.verdict;
    let head = format!("{} {}: {}", mark(verdict), verdict.word(), judgement.text);
    wrap(out, "", &head, width);
    wrap(out, "    ", &judgement.says(), width);
    if let Some(reason) = verdict.reason() {
        wrap(out, "    ", reason, width);
    }
    if judgement.phantom {
        out.push_str("    on phantoms: says nothing about the paper\n");
    }
    wrap(out, "    ", &judgement.published.in_words(), width);
    let shown = if all {
        judgement.comparisons.iter().collect()
    } else {
        telling(&judgement.comparisons)
    };
    let rows = distinct(judgement.comparisons.iter().map(Comparison::worse)).len();
    for line in lines(&shown, rows > 1) {
        out.push_str("      ");
        out.push_str(&line);
        out.push('\n');
    }
    let hidden = judgement.comparisons.len() - shown.len();
    if hidden > 0 {
        out.push_str(&format!("      and {hidden} more; --verbose shows all\n"));
    }
}

/// The comparisons that matter most: those against the claim, then those that are open, the least
/// in favour first.
fn telling(comparisons: &[Comparison]) -> Vec<&Comparison> {
    let mut sorted: Vec<&Comparison> = comparisons.iter().collect();
    let rank = |c: &Comparison| match c.verdict {
        Verdict::Contradicted => 0,
        Verdict::Undecided { .. } => 1,
        Verdict::Missing { .. } => 2,
        Verdict::Supported => 3,
    };
    let effect = |c: &Comparison| c.evidence.as_ref().map_or(0.0, |e| e.effect);
    sorted.sort_by(|a, b| rank(a).cmp(&rank(b)).then(effect(a).total_cmp(&effect(b))));
    sorted.truncate(SHOWN);
    sorted
}

/// A line for each comparison, its parts below one another.
fn lines(comparisons: &[&Comparison], with_rows: bool) -> Vec<String> {
    let rows: Vec<Vec<String>> = comparisons
        .iter()
        .map(|c| {
            let mut parts = vec![format!("{} {}", mark(&c.verdict), c.place())];
            if with_rows {
                parts.push(format!("{} over {}", c.better(), c.worse()));
            }
            match &c.evidence {
                Some(e) => parts.extend([
                    format!(
                        "{:+.4} [{:+.4}, {:+.4}]",
                        e.effect, e.interval[0], e.interval[1]
                    ),
                    format!("p {}", p_value(e.p)),
                    format!(
                        "{}, {}",
                        count(e.seeds.len(), "seed"),
                        count(e.cases, "case")
                    ),
                ]),
                None => parts.extend(["-".to_owned(), String::new(), String::new()]),
            }
            if let Some(p) = &c.published {
                let sign = if p.holds { "" } else { " (against)" };
                parts.push(format!("published {:.4} : {:.4}{sign}", p.better, p.worse));
            }
            parts
        })
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            rows.iter()
                .filter_map(|r| r.get(i))
                .map(|p| p.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let padded: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(part, &width)| format!("{part:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect()
}

fn p_value(p: f64) -> String {
    if p < 0.0005 {
        "<0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

fn mark(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Supported => '✓',
        Verdict::Contradicted => '✗',
        Verdict::Undecided { .. } => '?',
        Verdict::Missing { .. } => '-',
    }
}

/// `38 claims: 3 supported, 1 contradicted, 34 undecided, 0 missing.`
fn summary(judgements: &[Judgement]) -> String {
    let counts: Vec<String> = ["supported", "contradicted", "undecided", "missing"]
        .iter()
        .map(|word| {
            let n = judgements
                .iter()
                .filter(|j| j.verdict.word() == *word)
                .count();
            format!("{n} {word}")
        })
        .collect();
    format!(
        "{}: {}.",
        count(judgements.len(), "claim"),
        counts.join(", ")
    )
}
