//! Every stage with its record: what the lineage of a cell is put together from.

use maud::{Markup, html};

use super::input::{ReportInput, StageFact};
use super::page::{short_key, stage_link};
use super::timings::{duration, size};

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    if input.stages.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            "A number in a table is made of the evaluations of its seeds; each of them reads what stands in "
            "its last column, and so on down to the files of the data set. "
            code { "amlp-run why" } " tells more of each: every option, every file with its digest, every "
            "test case."
        }
        details.stages {
            summary { "All " (input.stages.len()) " stages" }
            div.scroll tabindex="0" role="region" aria-label="Stages" {
                table.plain.records {
                    thead {
                        tr {
                            th scope="col" { "Key" }
                            th scope="col" { "Stage" }
                            th scope="col" { "State" }
                            th.num scope="col" { "Time" }
                            th scope="col" { "Made" }
                            th scope="col" { "Reads" }
                        }
                    }
                    tbody { @for stage in &input.stages { (row(stage)) } }
                }
            }
        }
        @if !input.cases.is_empty() { (cases(input)) }
    })
}

fn row(stage: &StageFact) -> Markup {
    let key = short_key(&stage.key);
    let inputs: Vec<&str> = stage.inputs.iter().map(|i| short_key(i)).collect();
    // A table reads hundreds.
    let listed = inputs.len() <= 8;
    let joined = if listed {
        inputs.join(" ")
    } else {
        String::new()
    };
    html! {
        tr id={ "s-" (key) } data-key=(stage.key) data-inputs=(joined) class=(stage.state.name()) {
            td { code { (key) } }
            td.stage { (stage.label) }
            td.state {
                (stage.state.name())
                @if let Some(reason) = &stage.reason { ": " (reason) }
            }
            td.num { @if let Some(seconds) = stage.wall_s { (duration(seconds)) } }
            td.made { (made(stage)) }
            td.reads {
                @if listed {
                    @for input in &stage.inputs { (stage_link(input)) " " }
                } @else { (inputs.len()) " stages" }
            }
        }
    }
}

/// `2026-11-26T05:00:00Z on host, cpu, 2 threads, 0.1.0 (abc), 1.2 MiB`.
fn made(stage: &StageFact) -> String {
    if stage.started.is_empty() {
        return String::new();
    }
    let mut parts = vec![format!("{} on {}", stage.started, stage.host)];
    parts.extend(stage.device.clone());
    let plural = if stage.threads == 1 { "" } else { "s" };
    parts.push(format!("{} thread{plural}", stage.threads));
    if stage.attempts > 1 {
        parts.push(format!("{} attempts", stage.attempts));
    }
    parts.push(match &stage.commit {
        Some(commit) => format!("{} ({})", stage.version, commit.get(..10).unwrap_or(commit)),
        None => stage.version.clone(),
    });
    if let Some(bytes) = stage.peak_memory {
        parts.push(format!("{} of memory", size(bytes)));
    }
    parts.push(size(stage.bytes));
    parts.join(", ")
}

/// The scores of test cases, for the lineage of cells.
fn cases(input: &ReportInput) -> Markup {
    let text: serde_json::Map<String, serde_json::Value> = input
        .cases
        .iter()
        .map(|(key, metrics)| {
            let metrics = metrics
                .iter()
                .map(|(metric, cases)| {
                    let cases = cases
                        .iter()
                        .map(|(case, value)| serde_json::json!([case, value.map(rounded)]))
                        .collect();
                    (metric.clone(), serde_json::Value::Array(cases))
                })
                .collect();
            (
                short_key(key).to_owned(),
                serde_json::Value::Object(metrics),
            )
        })
        .collect();
    // Nothing inside a script may look like its end.
    let text = serde_json::Value::Object(text)
        .to_string()
        .replace('<', "\\u003c");
    html! { script #cases type="application/json" { (maud::PreEscaped(text)) } }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
