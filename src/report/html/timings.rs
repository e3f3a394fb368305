//! Where the time went.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::input::{ReportInput, StageFact, StageState};
use super::page::stage_link;

/// Stages in the list of the longest.
const LONGEST: usize = 10;

/// Time and number of stages of a kind.
#[derive(Default)]
struct Kind {
    seconds: Vec<f64>,
    peak: Option<u64>,
    bytes: u64,
}

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    let done: Vec<&StageFact> = input
        .stages
        .iter()
        .filter(|s| s.state == StageState::Done && s.wall_s.is_some())
        .collect();
    if done.is_empty() {
        return None;
    }
    let mut order: Vec<&str> = Vec::new();
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for stage in &done {
        if !order.contains(&stage.kind) {
            order.push(stage.kind);
        }
        let kind = kinds.entry(stage.kind).or_default();
        kind.seconds.extend(stage.wall_s);
        kind.peak = kind.peak.max(stage.peak_memory);
        kind.bytes += stage.bytes;
    }
    let largest = kinds
        .values()
        .map(|k| k.seconds.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let mut longest = done.clone();
    longest.sort_by(|a, b| {
        let time = b.wall_s.unwrap_or(0.0).total_cmp(&a.wall_s.unwrap_or(0.0));
        time.then_with(|| a.key.cmp(&b.key))
    });
    longest.truncate(LONGEST);
    Some(html! {
        p.about {
            "Time of each stage from its start to its artifact, as its record says. Stages that ran beside "
            "each other count each in full."
        }
        div.scroll tabindex="0" role="region" aria-label="Time by kind of stage" {
            table.plain {
                thead {
                    tr {
                        th scope="col" { "Kind" }
                        th.num scope="col" { "stages" }
                        th scope="col" { "time in all" }
                        th.num scope="col" {}
                        th.num scope="col" { "median" }
                        th.num scope="col" { "longest" }
                        th.num scope="col" { "memory, most" }
                        th.num scope="col" { "on disk" }
                    }
                }
                tbody {
                    @for name in &order {
                        @if let Some(kind) = kinds.get(name) { (row(name, kind, largest)) }
                    }
                }
            }
        }
        details {
            summary { "The longest stages" }
            ol.longest {
                @for stage in &longest {
                    li {
                        (stage_link(&stage.key)) " " (stage.label) ": "
                        (duration(stage.wall_s.unwrap_or(0.0)))
                        @if let Some(bytes) = stage.peak_memory { ", " (size(bytes)) " of memory" }
                    }
                }
            }
        }
    })
}

fn row(name: &str, kind: &Kind, largest: f64) -> Markup {
    let mut seconds = kind.seconds.clone();
    seconds.sort_by(f64::total_cmp);
    let total: f64 = seconds.iter().sum();
    let share = if largest > 0.0 { total / largest } else { 0.0 };
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    let most = seconds.last().copied().unwrap_or(0.0);
    html! {
        tr {
            th scope="row" { (name) }
            td.num { (seconds.len()) }
            td.bar-cell {
                svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                    rect width=(format!("{:.1}", (100.0 * share).max(0.5))) height="8" {}
                }
            }
            td.num { (duration(total)) }
            td.num { (duration(median)) }
            td.num { (duration(most)) }
            td.num { (kind.peak.map_or_else(|| "–".to_owned(), size)) }
            td.num { (size(kind.bytes)) }
        }
    }
}

/// Seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`, `5 h 12 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        // Never `-0.0`.
        return format!("{:.1} s", seconds.max(0.0) + 0.0);
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole % 3600 / 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// Bytes as people say them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_in_words() {
        assert_eq!(duration(-0.0), "0.0 s");
        assert_eq!(duration(12.4), "12 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(18_720.0), "5 h 12 min");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(20 << 20), "20 MiB");
    }
}
