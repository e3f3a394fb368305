//! Tables as plots: lines where rows differ by a number or where there are several label ratios
//! (Figures 5 to 7 of the paper), rows of dots elsewhere.

use maud::{Markup, html};

use super::super::plot::{Dot, DotRow, Dots, Lines, Point, Series};
use super::super::{Cell, TableInput};
use super::curves::{column_name, key};
use super::input::{ReportInput, ReportTable};
use super::tables::name;

/// Label ratios that make an axis.
const RATIOS: usize = 3;
/// Metrics of a table that are drawn.
const METRICS: usize = 2;

pub(super) fn section(input: &ReportInput) -> Option<Markup> {
    if input.tables.is_empty() {
        return None;
    }
    Some(html! {
        p.about {
            span.dot-key { "●" } " ours, the mean over seeds; small dots are single seeds, bands run from "
            "the least to the largest. " span.paper-key { "◇" } " published."
        }
        @for (i, table) in input.tables.iter().enumerate() {
            details.plots open[i == 0] {
                summary { h3 { (name(&table.input.number)) ". " span.title { (table.input.title) } } }
                (one(table))
            }
        }
    })
}

fn one(table: &ReportTable) -> Markup {
    let input = &table.input;
    let axes = number_axes(&input.methods);
    if let Some(axis) = axes {
        return lines(table, &axis);
    }
    if input.labels.iter().flatten().count() >= RATIOS {
        return ratios(table);
    }
    html! {
        @for &label in &input.labels {
            @if let Some(l) = label { h4 { (l) " % labels" } }
            div.grid.wide {
                @for column in 0..input.columns.len() {
                    @for metric in drawn(input) { (dots(table, column, metric, label)) }
                }
            }
        }
    }
}

/// Metrics that are drawn: the first of the table.
fn drawn(input: &TableInput) -> impl Iterator<Item = &String> {
    input.metrics.iter().take(METRICS)
}

/// The cell at a place.
fn find<'a>(
    input: &'a TableInput,
    method: &str,
    column: usize,
    metric: &str,
    label: Option<u32>,
) -> Option<&'a Cell> {
    let at = input.columns.get(column)?;
    input.cells.iter().find(|c| {
        let p = &c.place;
        p.method == method
            && p.dataset == at.dataset
            && p.modality == at.modality
            && p.label_percent == label
            && p.column_metric() == metric
    })
}

fn seeds(cell: &Cell) -> Vec<f64> {
    cell.values.iter().filter_map(|v| v.value).collect()
}

fn dots(table: &ReportTable, column: usize, metric: &str, label: Option<u32>) -> Markup {
    let rows: Vec<DotRow> = table
        .input
        .methods
        .iter()
        .filter_map(|method| {
            let cell = find(&table.input, method, column, metric, label)?;
            Some(DotRow {
                name: method.clone(),
                dot: Dot {
                    mean: cell.mean,
                    seeds: seeds(cell),
                    published: cell.published,
                },
            })
        })
        .collect();
    let some = |r: &DotRow| r.dot.mean.is_some() || r.dot.published.is_some();
    if !rows.iter().any(some) {
        return html! { p.about { (column_name(table, column)) ", " (metric.replace('_', " ")) ": nothing yet." } };
    }
    Dots {
        title: column_name(table, column),
        label: metric.replace('_', " "),
        rows,
    }
    .markup()
}

/// Rows that differ by a number alone.
#[derive(Clone, Debug, PartialEq)]
struct NumberAxis {
    /// What the number is, as far as the names say.
    label: String,
    /// Name of each line with its rows: number and position.
    lines: Vec<(String, Vec<(f64, usize)>)>,
}

/// A name with its last free-standing number: what stands before it, the number, and what follows.
fn split_number(name: &str) -> Option<(&str, f64, &str)> {
    let bytes = name.as_bytes();
    let is_part = |b: u8| b.is_ascii_digit() || b == b'.';
    let mut end = bytes.len();
    while end > 0 {
        let last = end - 1;
        if !bytes[last].is_ascii_digit() {
            end -= 1;
            continue;
        }
        let mut start = last;
        while start > 0 && is_part(bytes[start - 1]) {
            start -= 1;
        }
        let word =
            start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] >= 0x80);
        if !word && let Ok(number) = name[start..end].parse() {
            return Some((&name[..start], number, &name[end..]));
        }
        end = start;
    }
    None
}

/// What stands before and behind a number.
type Around<'a> = (&'a str, &'a str);

/// The axis along which most rows differ, if three rows do, or two of each of two lines.
fn number_axes(methods: &[String]) -> Option<NumberAxis> {
    // By what stands before and behind the number: number and position of each row.
    let mut found: Vec<(Around<'_>, Vec<(f64, usize)>)> = Vec::new();
    for (row, method) in methods.iter().enumerate() {
        let Some((before, number, after)) = split_number(method) else {
            continue;
        };
        match found.iter_mut().find(|(t, _)| *t == (before, after)) {
            Some((_, rows)) => rows.push((number, row)),
            None => found.push(((before, after), vec![(number, row)])),
        }
    }
    found.retain(|(_, rows)| rows.len() > 1);
    let long = found.iter().any(|(_, rows)| rows.len() >= 3);
    if !(long || found.len() > 1) {
        return None;
    }
    let words = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let (before, after) = found[0].0;
    let label = match words(after) {
        text if !text.is_empty() => text,
        _ => before
            .split(|c: char| c.is_whitespace() || c == '=')
            .map(words)
            .rfind(|w| !w.is_empty())
            .unwrap_or_default(),
    };
    let lines = found
        .into_iter()
        .map(|((before, after), mut rows)| {
            rows.sort_by(|a, b| a.0.total_cmp(&b.0));
            let name = words(before);
            let name = words(name.strip_suffix(label.as_str()).unwrap_or(&name));
            let name = if name.is_empty() {
                words(&format!("{before}{after}"))
            } else {
                name
            };
            (name, rows)
        })
        .collect();
    Some(NumberAxis { label, lines })
}

/// A point of ours and the published one.
fn point(cell: &Cell, x: f64) -> (Option<Point>, Option<Point>) {
    let seeds = seeds(cell);
    let low = seeds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = seeds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ours = cell.mean.map(|y| Point {
        x,
        y,
        spread: (seeds.len() > 1).then_some((low, high)),
    });
    let paper = cell.published.map(|y| Point { x, y, spread: None });
    (ours, paper)
}

/// The lines of one plot from cells by line: ours, and the published ones where there are any.
fn two_lines<'a>(
    name: &str,
    style: usize,
    cells: impl Iterator<Item = (f64, &'a Cell)>,
) -> Vec<Series> {
    let (ours, paper): (Vec<_>, Vec<_>) = cells.map(|(x, cell)| point(cell, x)).unzip();
    [(ours, false), (paper, true)]
        .into_iter()
        .map(|(points, published)| Series {
            name: name.to_owned(),
            style,
            published,
            points: points.into_iter().flatten().collect(),
        })
        .filter(|s| !s.points.is_empty())
        .collect()
}

fn plot(title: &str, x: &str, metric: &str, series: Vec<Series>) -> Markup {
    if series.is_empty() {
        return html! {};
    }
    let mut plot = Lines::new(title, x, &metric.replace('_', " "), series);
    let mut at: Vec<f64> = plot
        .series
        .iter()
        .flat_map(|s| &s.points)
        .map(|p| p.x)
        .collect();
    at.sort_by(f64::total_cmp);
    at.dedup();
    if at
        .first()
        .is_some_and(|&low| low > 0.0 && plot.x.high / low >= 4.0)
    {
        plot.x = plot.x.clone().logarithmic();
    }
    plot.at = at;
    plot.markup()
}

fn lines(table: &ReportTable, axis: &NumberAxis) -> Markup {
    let input = &table.input;
    let names: Vec<&str> = axis.lines.iter().map(|(name, _)| name.as_str()).collect();
    html! {
        (keys(&names))
        @for &label in &input.labels {
            @if let (Some(l), true) = (label, input.labels.len() > 1) { h4 { (l) " % labels" } }
            div.grid {
                @for column in 0..input.columns.len() {
                    @for metric in drawn(input) {
                        @let series = axis.lines.iter().enumerate().flat_map(|(style, (name, rows))| {
                            let cells = rows.iter().filter_map(|&(x, row)| {
                                Some((x, find(input, &input.methods[row], column, metric, label)?))
                            });
                            two_lines(name, style, cells)
                        }).collect();
                        (plot(&column_name(table, column), &axis.label, metric, series))
                    }
                }
            }
        }
    }
}

fn ratios(table: &ReportTable) -> Markup {
    let input = &table.input;
    let names: Vec<&str> = input.methods.iter().map(String::as_str).collect();
    html! {
        (keys(&names))
        div.grid {
            @for column in 0..input.columns.len() {
                @for metric in drawn(input) {
                    @let series = input.methods.iter().enumerate().flat_map(|(style, method)| {
                        let cells = input.labels.iter().filter_map(|&label| {
                            Some((f64::from(label?), find(input, method, column, metric, label)?))
                        });
                        two_lines(method, style, cells)
                    }).collect();
                    (plot(&column_name(table, column), "labels, %", metric, series))
                }
            }
        }
    }
}

/// Names of lines with their colours; a line alone needs none.
fn keys(names: &[&str]) -> Markup {
    if names.len() < 2 {
        return html! {};
    }
    html! {
        ul.legend {
            @for (i, name) in names.iter().enumerate() {
                (key(name, i))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(names: &[&str]) -> Option<NumberAxis> {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        number_axes(&names)
    }

    #[test]
    fn rows_that_differ_by_a_number_make_an_axis() {
        let found = axis(&[
            "AMLP, patch 32",
            "AMLP, patch 8",
            "AMLP, patch 16",
            "MAE, patch 8",
            "MAE, patch 16",
            "Sup",
        ])
        .unwrap();
        assert_eq!(found.label, "patch");
        assert_eq!(
            found.lines,
            [
                ("AMLP".to_owned(), vec![(8.0, 1), (16.0, 2), (32.0, 0)]),
                ("MAE".to_owned(), vec![(8.0, 3), (16.0, 4)]),
            ]
        );
        let found = axis(&["AMLP 100 epochs", "AMLP 200 epochs", "AMLP 400 epochs"]).unwrap();
        assert_eq!(
            (found.label.as_str(), found.lines[0].0.as_str()),
            ("epochs", "AMLP")
        );
        let found = axis(&["patch 8", "patch 16", "patch 32"]).unwrap();
        assert_eq!(found.label, "patch");
    }

    #[test]
    fn other_rows_make_none() {
        assert_eq!(axis(&["Sup", "BASE", "MPS-AMR"]), None);
        assert_eq!(axis(&["BEiT v2", "BEiT v3", "BEiT v4"]), None);
        assert_eq!(
            axis(&["AMLP, 8", "AMLP, 16"]),
            None,
            "two points are no curve"
        );
        assert_eq!(axis(&[]), None);
    }

    #[test]
    fn the_last_number_counts() {
        assert_eq!(split_number("a 1, b 0.25"), Some(("a 1, b ", 0.25, "")));
        assert_eq!(split_number("sigma0=0.1 x"), Some(("sigma0=", 0.1, " x")));
        assert_eq!(split_number("T1"), None);
    }
}
