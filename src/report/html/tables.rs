//! Tables as in the paper, the published number and the difference below each of ours.

use std::collections::HashMap;

use maud::{Markup, PreEscaped, html};

use super::super::view::{Group, Rank, Shown, View, ViewColumn, ViewRow, one_line};
use super::super::{Cell, TableInput};
use super::input::{ReportInput, ReportTable};
use super::page::short_key;
use crate::metric::Direction;

/// Columns beyond which a difference stands below the published number rather than beside it.
const DENSE: usize = 8;

/// How large a difference is against the spread over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// Nothing to measure it by: fewer than two seeds.
    Unknown,
    /// Within one standard deviation.
    Within,
    /// Within two.
    Small,
    /// Within four.
    Large,
    /// More.
    Huge,
}

impl Size {
    fn of(cell: &Cell) -> Option<Self> {
        let difference = cell.difference?.abs();
        Some(match cell.sd {
            None => Self::Unknown,
            Some(sd) if difference <= sd => Self::Within,
            Some(sd) if difference <= 2.0 * sd => Self::Small,
            Some(sd) if difference <= 4.0 * sd => Self::Large,
            Some(_) => Self::Huge,
        })
    }

    fn class(self) -> &'static str {
        match self {
            Self::Unknown => "d-unknown",
            Self::Within => "d0",
            Self::Small => "d1",
            Self::Large => "d2",
            Self::Huge => "d3",
        }
    }
}

/// Whether a difference is to our side; `None` where the metric has no good end.
fn is_better(difference: f64, direction: Option<Direction>) -> Option<bool> {
    match direction? {
        Direction::Up => Some(difference > 0.0),
        Direction::Down => Some(difference < 0.0),
    }
}

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    if input.tables.is_empty() {
        return None;
    }
    let published = input
        .tables
        .iter()
        .any(|t| View::new(&t.input).has_published());
    Some(html! {
        @if published { (key()) }
        @for (i, table) in input.tables.iter().enumerate() { (one(table, i, input)) }
    })
}

/// What colours mean.
fn key() -> Markup {
    html! {
        div.key-line {
            p {
                "Below each number of ours stands the " span.pub-sample { "published" } " one and the "
                "difference, ours minus published, marked "
                span.better-mark { "▲" } " where ours is better and " span.worse-mark { "▼" }
                " where it is worse. Its colour is its size in standard deviations over seeds:"
            }
            ul.swatches {
                li { span.swatch.d0 {} "up to 1" }
                li { span.swatch.d1.worse {} span.swatch.d1.better {} "to 2" }
                li { span.swatch.d2.worse {} span.swatch.d2.better {} "to 4" }
                li { span.swatch.d3.worse {} span.swatch.d3.better {} "above" }
                li { span.swatch.d-unknown {} "one seed: no spread" }
            }
            p {
                strong { "Bold" } ": best of its group; " em { "italic" } ": second best. A cell opens "
                "its lineage, a column head sorts."
            }
            label.switch hidden { input #published type="checkbox" checked; " published values" }
        }
    }
}

fn one(table: &ReportTable, index: usize, report: &ReportInput) -> Markup {
    let input = &table.input;
    let view = View::new(input);
    let cells = by_place(input);
    let manifest = report.origins.get(table.origin);
    html! {
        article.table id={ "table-" (index) } {
            h3 { (name(&input.number)) ". " span.title { (input.title) } }
            div.scroll tabindex="0" role="region" aria-label={ "Table " (input.number) } {
                table.results.dense[view.columns.len() > DENSE] data-table=(input.number)
                    data-manifest=[manifest.map(|o| o.manifest.as_str())]
                    data-arguments=[manifest.map(|o| o.arguments.as_str())] {
                    (head(&view))
                    @for group in &view.groups { (body(group, &view, table, &cells)) }
                }
            }
            (notes(&view))
            details.about {
                summary { "How these numbers came about" }
                dl.facts {
                    @for (label, text) in input.header() { dt { (label) } dd { (text) } }
                }
                @if !view.counts.is_empty() {
                    p { "Empty masks, over the seeds and regions of a cell:" }
                    ul { @for line in &view.counts { li { (line) } } }
                }
            }
        }
    }
}

/// `Table IV`, but `Figure 5`.
pub(super) fn name(number: &str) -> String {
    let lower = number.to_lowercase();
    if !(lower.starts_with("fig") || lower.starts_with("table")) {
        return format!("Table {number}");
    }
    let mut letters = number.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let rest = letters.as_str().replace(['-', '_'], " ");
    first.chain(rest.chars()).collect()
}

/// Positions of cells by group, method, data set, modality and metric.
type Places<'a> = HashMap<(String, &'a str, String, &'a str, String), usize>;

fn by_place(input: &TableInput) -> Places<'_> {
    let cells = input.cells.iter().enumerate();
    cells
        .map(|(i, cell)| {
            let p = &cell.place;
            let at = (
                group_label(p.label_percent),
                p.method.as_str(),
                input.shown(&p.dataset),
                p.modality.as_str(),
                p.column_metric(),
            );
            (at, i)
        })
        .collect()
}

/// As the view names its groups.
fn group_label(percent: Option<u32>) -> String {
    percent.map_or_else(String::new, |percent| format!("{percent} % labels"))
}

/// Neighbouring columns that share `of`, with their number.
fn spans<'a, T: PartialEq>(
    columns: &'a [ViewColumn],
    of: impl Fn(&'a ViewColumn) -> T,
) -> Vec<(T, usize)> {
    let mut spans: Vec<(T, usize)> = Vec::new();
    for column in columns {
        let value = of(column);
        match spans.last_mut() {
            Some((last, n)) if *last == value => *n += 1,
            _ => spans.push((value, 1)),
        }
    }
    spans
}

fn head(view: &View) -> Markup {
    let columns = &view.columns;
    html! {
        thead {
            tr {
                th.method scope="col" rowspan="3" {
                    button.sort type="button" data-column="0" data-kind="text" { "Method" }
                }
                @for (dataset, n) in spans(columns, |c| c.dataset.as_str()) {
                    th.dataset colspan=(n) scope="colgroup" { (dataset) }
                }
            }
            tr {
                @for ((_, modality), n) in spans(columns, |c| (c.dataset.as_str(), c.modality.as_str())) {
                    th.modality colspan=(n) scope="colgroup" { (modality) }
                }
            }
            tr {
                @for (i, column) in columns.iter().enumerate() {
                    th.metric scope="col" {
                        button.sort type="button" data-column=(i + 1)
                            data-kind=(if column.direction == Some(Direction::Down) { "down" } else { "up" }) {
                            (column.metric_with_arrow())
                        }
                    }
                }
            }
        }
    }
}

fn body(group: &Group, view: &View, table: &ReportTable, cells: &Places<'_>) -> Markup {
    html! {
        tbody {
            @if !group.label.is_empty() {
                tr.group { th colspan=(view.columns.len() + 1) scope="rowgroup" { span { (group.label) } } }
            }
            @for row in &group.rows { (line(row, group, view, table, cells)) }
        }
    }
}

fn line(
    row: &ViewRow,
    group: &Group,
    view: &View,
    table: &ReportTable,
    cells: &Places<'_>,
) -> Markup {
    let place = table.places.get(&row.method);
    html! {
        tr data-method=(row.method) data-place=[place] {
            th.method scope="row" { (row.method) }
            @for (column, shown) in view.columns.iter().zip(&row.cells) {
                @match shown {
                    None => { td.blank {} }
                    Some(shown) => {
                        @let at = (
                            group.label.clone(),
                            row.method.as_str(),
                            column.dataset.clone(),
                            column.modality.as_str(),
                            column.metric.clone(),
                        );
                        @let found = cells.get(&at).and_then(|&i| Some((table.input.cells.get(i)?, table.runs.get(i))));
                        (cell(shown, column, found.map(|f| f.0), found.and_then(|f| f.1).map_or(&[], Vec::as_slice)))
                    }
                }
            }
        }
    }
}

fn cell(
    shown: &Shown,
    column: &ViewColumn,
    cell: Option<&Cell>,
    runs: &[super::input::Run],
) -> Markup {
    let Some(cell) = cell else {
        return html! { td.blank {} };
    };
    let better = cell.difference.and_then(|d| is_better(d, column.direction));
    let mut class = String::from("cell");
    if let Some(size) = Size::of(cell) {
        class.push(' ');
        class.push_str(size.class());
    }
    match better {
        Some(true) => class.push_str(" better"),
        Some(false) => class.push_str(" worse"),
        None => {}
    }
    match shown.rank {
        Rank::Best => class.push_str(" best"),
        Rank::Second => class.push_str(" second"),
        Rank::Other => {}
    }
    let run_list: Vec<String> = runs
        .iter()
        .map(|r| format!("{}:{}", r.seed, short_key(&r.key)))
        .collect();
    let values: Vec<String> = cell
        .values
        .iter()
        .filter_map(|v| Some(format!("{}:{:.4}", v.seed, v.value?)))
        .collect();
    let target = runs.first().map(|r| format!("#s-{}", short_key(&r.key)));
    let label = cell.place.label_percent.map(|l| l.to_string());
    html! {
        td class=(class) data-value=[cell.mean] data-runs=(run_list.join(" ")) data-seeds=(values.join(" "))
            data-sd=[shown.sd.as_deref()] data-published=[shown.published.as_deref()]
            data-column={ (cell.place.dataset) "/" (cell.place.modality) }
            data-label=[label] data-metric=(cell.place.column_metric())
            data-hole=[cell.hole.as_deref().map(one_line)] {
            a.v href=[target] title=(hover(cell, shown, better)) {
                @match &shown.mean {
                    Some(mean) => {
                        (mean)
                        @if let Some(sd) = &shown.sd { span.sd { "±" (sd) } }
                    }
                    None => "–",
                }
                @if let Some(note) = shown.note { sup { (note) } }
            }
            @if let Some(published) = &shown.published {
                span.pub {
                    (published)
                    @if let Some(difference) = &shown.difference {
                        " "
                        span.diff {
                            (difference.replacen('-', "\u{2212}", 1))
                            @match better {
                                Some(true) => { span.arrow { "▲" } }
                                Some(false) => { span.arrow { "▼" } }
                                None => {}
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is said of a cell that is pointed at.
fn hover(cell: &Cell, shown: &Shown, better: Option<bool>) -> String {
    let p = &cell.place;
    let mut text = format!("{}, {} {}", p.method, p.dataset, p.modality);
    if let Some(label) = p.label_percent {
        text.push_str(&format!(", {label} % labels"));
    }
    let value = shown.mean.as_deref().unwrap_or("no value");
    text.push_str(&format!("\n{} {value}", p.column_metric()));
    let seeds: Vec<String> = cell.seeds().iter().map(u64::to_string).collect();
    match (&shown.sd, seeds.len()) {
        (Some(sd), _) => text.push_str(&format!(" ± {sd} over seeds {}", seeds.join(", "))),
        (None, 1) => text.push_str(&format!(" (seed {}, no spread)", seeds[0])),
        _ => {}
    }
    if let (Some(published), Some(difference)) = (&shown.published, &shown.difference) {
        text.push_str(&format!("\npublished {published}, difference {difference}"));
        if let (Some(d), Some(sd)) = (cell.difference, cell.sd.filter(|sd| *sd > 0.0)) {
            text.push_str(&format!(" ({:.1} standard deviations)", d.abs() / sd));
        }
        match better {
            Some(true) => text.push_str(", ours is better"),
            Some(false) => text.push_str(", ours is worse"),
            None => {}
        }
    } else if let Some(published) = &shown.published {
        text.push_str(&format!("\npublished {published}"));
    }
    if let Some(hole) = &cell.hole {
        text.push('\n');
        text.push_str(&one_line(hole));
    }
    text
}

fn notes(view: &View) -> Markup {
    if view.notes.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        ol.notes { @for note in &view.notes { li { (note) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Counts, Place, SeedValue};

    fn measured(values: &[f64], published: f64) -> Cell {
        let place = Place {
            table: "IV".to_owned(),
            dataset: "a".to_owned(),
            modality: "CT".to_owned(),
            label_percent: Some(5),
            method: "AMLP".to_owned(),
            metric: "DSC".to_owned(),
            region: None,
        };
        let values = values
            .iter()
            .zip(1..)
            .map(|(&value, seed)| SeedValue {
                seed,
                value: Some(value),
                counts: Counts::default(),
            })
            .collect();
        Cell::new(place, values, Some(published), Vec::new(), None)
    }

    #[test]
    fn differences_are_measured_by_the_spread() {
        // Mean 0.5, standard deviation 0.1.
        let values = [0.4, 0.5, 0.6];
        let size = |published| Size::of(&measured(&values, published));
        assert_eq!(size(0.45), Some(Size::Within));
        assert_eq!(size(0.35), Some(Size::Small));
        assert_eq!(size(0.85), Some(Size::Large));
        assert_eq!(size(0.05), Some(Size::Huge));
        assert_eq!(Size::of(&measured(&[0.5], 0.4)), Some(Size::Unknown));
    }

    #[test]
    fn better_depends_on_the_metric() {
        assert_eq!(is_better(0.1, Some(Direction::Up)), Some(true));
        assert_eq!(is_better(0.1, Some(Direction::Down)), Some(false));
        assert_eq!(is_better(0.1, None), None);
    }

    #[test]
    fn figures_are_no_tables() {
        assert_eq!(name("IV"), "Table IV");
        assert_eq!(name("Figure 5"), "Figure 5");
        assert_eq!(name("figure-6a"), "Figure 6a");
    }
}
