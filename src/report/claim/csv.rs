//! Judgements in long form: one comparison a line.

use super::super::CsvError;
use super::{Comparison, Judgement};

/// Columns of the long form.
pub const CLAIM_COLUMNS: [&str; 29] = [
    "experiment",
    "profile",
    "table",
    "claim",
    "kind",
    "metric",
    "least",
    "over",
    "claim_verdict",
    "claim_more_seeds",
    "phantom",
    "better",
    "worse",
    "place",
    "verdict",
    "more_seeds",
    "reason",
    "better_mean",
    "worse_mean",
    "effect",
    "low",
    "high",
    "p",
    "p_holm",
    "seeds",
    "cases",
    "published_better",
    "published_worse",
    "published_holds",
];

/// One line for each comparison of each claim. Numbers have six digits; the same judgements give
/// the same bytes.
///
/// # Errors
/// If the CSV writer fails.
pub fn claims_csv(judgements: &[Judgement]) -> Result<String, CsvError> {
    let table = || "of claims".to_owned();
    let write = |source| CsvError::Write {
        table: table(),
        source,
    };
    let mut writer = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(CLAIM_COLUMNS).map_err(write)?;
    for judgement in judgements {
        for comparison in &judgement.comparisons {
            let line = line(judgement, comparison);
            writer.write_record(line).map_err(write)?;
        }
    }
    let finish = |source: Box<dyn std::error::Error + Send + Sync>| CsvError::Finish {
        table: table(),
        source,
    };
    let bytes = writer
        .into_inner()
        .map_err(|e| finish(e.into_error().into()))?;
    String::from_utf8(bytes).map_err(|e| finish(e.into()))
}

fn line(judgement: &Judgement, comparison: &Comparison) -> [String; CLAIM_COLUMNS.len()] {
    let evidence = comparison.evidence.as_ref();
    let number = |of: fn(&super::Evidence) -> f64| {
        evidence.map_or_else(String::new, |e| {
            // No minus before a zero.
            format!("{:.6}", of(e) + 0.0)
        })
    };
    let optional = |n: Option<u32>| n.map_or_else(String::new, |n| n.to_string());
    let seeds = evidence.map_or_else(Vec::new, |e| e.seeds.iter().map(u64::to_string).collect());
    let printed = comparison.published.as_ref();
    let printed = |of: fn(&super::PublishedPair) -> String| printed.map_or_else(String::new, of);
    [
        judgement.experiment.clone(),
        judgement.profile.clone(),
        judgement.table.clone(),
        judgement.text.clone(),
        format!("{:?}", judgement.kind).to_lowercase(),
        judgement.metric.clone(),
        judgement.least.to_string(),
        format!("{:?}", judgement.over).to_lowercase(),
        judgement.verdict.word().to_owned(),
        optional(judgement.verdict.more_seeds()),
        judgement.phantom.to_string(),
        comparison.better().to_owned(),
        comparison.worse().to_owned(),
        comparison.place(),
        comparison.verdict.word().to_owned(),
        optional(comparison.verdict.more_seeds()),
        comparison.verdict.reason().unwrap_or_default().to_owned(),
        number(|e| e.better),
        number(|e| e.worse),
        number(|e| e.effect),
        number(|e| e.interval[0]),
        number(|e| e.interval[1]),
        number(|e| e.p),
        number(|e| e.p_holm),
        seeds.join(";"),
        evidence.map_or_else(String::new, |e| e.cases.to_string()),
        printed(|p| p.better.to_string()),
        printed(|p| p.worse.to_string()),
        printed(|p| p.holds.to_string()),
    ]
}
