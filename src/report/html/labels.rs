//! What becomes of the categories of patches while AMLP trains.

use std::collections::HashSet;

use maud::{Markup, html};

use super::super::plot::Lines;
use super::curves::{column_name, legend, series};
use super::input::{ReportInput, ReportTable, Training};
use super::tables::name;

/// Scalars of an epoch, each per image, and what they are as a share of the patches.
const STATISTICS: [(&str, &str, &str); 3] = [
    (
        "labels.foreground",
        "lesion category",
        "Patches in the lesion category",
    ),
    (
        "labels.inconsistent",
        "inconsistent",
        "Patches whose loss contradicts their category",
    ),
    (
        "labels.changed",
        "changed",
        "Patches that changed their category",
    ),
];

/// Patches of an image.
const PATCHES: &str = "labels.patches";

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    let mut shown: HashSet<&str> = HashSet::new();
    let mut with: Vec<&ReportTable> = Vec::new();
    for table in &input.tables {
        let keys: Vec<&str> = labelled(table).iter().map(|t| t.key.as_str()).collect();
        // Tables share rows; what was shown once is enough.
        if keys.iter().any(|k| !shown.contains(k)) {
            shown.extend(keys);
            with.push(table);
        }
    }
    if with.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            "Every patch of every training slice carries a category, lesion or background, from the "
            "clustering at first. The loss of a masked patch may contradict it; a coin then decides "
            "anew. Shares of all patches, after each epoch."
        }
        @for (i, table) in with.iter().enumerate() {
            details.plots open[i == 0] {
                summary { h3 { (name(&table.input.number)) ". " span.title { (table.input.title) } } }
                (legend(table, |t| t.scalars.contains_key(PATCHES)))
                @for (scalar, label, title) in STATISTICS {
                    @let plots = panels(table, scalar, label);
                    @if !plots.is_empty() {
                        h4 { (title) }
                        div.grid { @for plot in &plots { (plot.markup()) } }
                    }
                }
            }
        }
    })
}

fn labelled(table: &ReportTable) -> Vec<&Training> {
    let has = |t: &&Training| t.scalars.contains_key(PATCHES);
    table.trainings.iter().filter(has).collect()
}

fn panels(table: &ReportTable, scalar: &str, label: &str) -> Vec<Lines> {
    let trainings = labelled(table);
    let share = |t: &Training| -> Option<Vec<f64>> {
        let (values, patches) = (t.scalars.get(scalar)?, t.scalars.get(PATCHES)?);
        Some(values.iter().zip(patches).map(|(v, n)| v / n).collect())
    };
    (0..table.input.columns.len())
        .filter_map(|column| {
            let series = series(table, &trainings, column, &share);
            (!series.is_empty())
                .then(|| Lines::new(&column_name(table, column), "epoch", label, series))
        })
        .collect()
}
