//! The table for a terminal: split by data set, and further where it is too wide.

use std::ops::Range;

use comfy_table::{Cell as Text, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::TableInput;
use super::empty::{distinct, listed};
use super::view::{Rank, Shown, View, ViewColumn, one_line};

/// Rules above and below the header and at the end; none between rows.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The table as text of at most `width` columns, where a single column fits. A row takes one line;
/// modalities without any value are named, not drawn. Makes sense without colour: the best of a
/// group is marked `*`.
#[must_use]
pub fn terminal(input: &TableInput, width: usize) -> String {
    let view = View::new(input);
    let mut out = String::new();
    let title = format!("Table {}. {}", input.number, input.title);
    wrap(&mut out, "", &title, width);
    for (label, text) in input.header() {
        wrap(&mut out, "  ", &format!("{label}: {text}"), width);
    }
    let texts = Texts::new(&view);
    for dataset in distinct(view.columns.iter().map(|c| c.dataset.as_str())) {
        for block in texts.blocks(&view, dataset, width) {
            out.push_str(&format!("\n{}\n", one_line(dataset)));
            out.push_str(&texts.block(&view, block));
            out.push('\n');
        }
    }
    legend(&mut out, &view, width);
    out
}

fn legend(out: &mut String, view: &View, width: usize) {
    out.push('\n');
    for line in without_values(view) {
        wrap(out, "", &line, width);
    }
    let shown = || {
        let rows = view.groups.iter().flat_map(|g| &g.rows);
        rows.flat_map(|r| r.cells.iter().flatten())
    };
    let mut marks = Vec::new();
    if shown().any(|c| c.rank == Rank::Best) {
        marks.push("* best of its group");
    }
    if shown().any(|c| c.difference.is_some()) {
        marks.push("(in parentheses) ours minus published");
    }
    if !marks.is_empty() {
        wrap(out, "", &marks.join("; "), width);
    }
    for (i, note) in view.notes.iter().enumerate() {
        wrap(out, "", &format!("[{}] {note}", i + 1), width);
    }
    if !view.counts.is_empty() {
        out.push_str("Empty masks, over the seeds and regions of a cell:\n");
        for line in &view.counts {
            wrap(out, "  ", line, width);
        }
    }
}

/// Whether any row has a mean in one of the columns.
fn has_value(view: &View, columns: &Range<usize>) -> bool {
    let mut rows = view.groups.iter().flat_map(|g| &g.rows);
    rows.any(|row| {
        let mut cells = columns.clone().filter_map(|c| row.cells[c].as_ref());
        cells.any(|cell| cell.mean.is_some())
    })
}

/// One line per data set with modalities that are not drawn: `phantom-hecktor CT and PET: no value
/// [1]`.
fn without_values(view: &View) -> Vec<String> {
    let mut lines: Vec<(&str, Vec<&str>, Vec<usize>)> = Vec::new();
    for part in parts(view, 0..view.columns.len(), same_modality) {
        if has_value(view, &part) {
            continue;
        }
        let mut notes: Vec<usize> = view
            .groups
            .iter()
            .flat_map(|g| &g.rows)
            .flat_map(|row| part.clone().filter_map(|c| row.cells[c].as_ref()?.note))
            .collect();
        notes.sort_unstable();
        notes.dedup();
        let column = &view.columns[part.start];
        match lines.last_mut() {
            Some((dataset, modalities, old)) if *dataset == column.dataset && *old == notes => {
                modalities.push(&column.modality);
            }
            _ => lines.push((&column.dataset, vec![&column.modality], notes)),
        }
    }
    lines
        .into_iter()
        .map(|(dataset, modalities, notes)| {
            let notes: Vec<String> = notes.iter().map(|n| format!(" [{n}]")).collect();
            format!(
                "{dataset} {}: no value{}",
                listed(&modalities),
                notes.concat()
            )
        })
        .collect()
}

fn same_modality(a: &ViewColumn, b: &ViewColumn) -> bool {
    a.dataset == b.dataset && a.modality == b.modality
}

/// `DSC` and `DSC_ET` are of one kind.
fn same_kind(a: &ViewColumn, b: &ViewColumn) -> bool {
    let kind = |c: &ViewColumn| c.metric.split('_').next().map(str::to_owned);
    same_modality(a, b) && kind(a) == kind(b)
}

/// Splits a range of columns where neighbours are not `same`.
fn parts(
    view: &View,
    range: Range<usize>,
    same: impl Fn(&ViewColumn, &ViewColumn) -> bool,
) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for c in range {
        match parts.last_mut() {
            Some(part) if same(&view.columns[part.start], &view.columns[c]) => part.end = c + 1,
            _ => parts.push(c..c + 1),
        }
    }
    parts
}

/// Every cell as text, line by line.
struct Texts {
    /// First column: method names and group labels.
    names: Vec<String>,
    /// Other columns, one text per line of `names`.
    columns: Vec<Vec<String>>,
}

impl Texts {
    fn new(view: &View) -> Self {
        let mut names = Vec::new();
        let mut cells: Vec<Vec<Option<&Shown>>> = vec![Vec::new(); view.columns.len()];
        for (i, group) in view.groups.iter().enumerate() {
            if !group.label.is_empty() {
                let gap = if i == 0 { "" } else { "\n" };
                names.push(format!("{gap}{}:", group.label));
                for column in &mut cells {
                    column.push(None);
                }
            }
            for row in &group.rows {
                names.push(one_line(&row.method));
                for (column, cell) in cells.iter_mut().zip(&row.cells) {
                    column.push(cell.as_ref());
                }
            }
        }
        Self {
            names,
            columns: cells.iter().map(|column| aligned(column)).collect(),
        }
    }

    /// Width of a range of columns with the names before it.
    fn width(&self, view: &View, range: Range<usize>) -> usize {
        let of = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
        // Two columns of padding and one between.
        let wide = |texts: &[String], head: usize| {
            texts.iter().map(|t| of(t)).max().unwrap_or(0).max(head) + 3
        };
        let columns: usize = range
            .map(|c| {
                let column = &view.columns[c];
                let head = of(&column.metric_with_arrow()).max(of(&column.modality));
                wide(&self.columns[c], head)
            })
            .sum();
        wide(&self.names, of("Method")) + columns
    }

    /// Ranges of columns of a data set that fit. A modality that does not fit alone is split
    /// between metrics, and a metric that does not, between regions.
    fn blocks(&self, view: &View, dataset: &str, width: usize) -> Vec<Range<usize>> {
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut after_whole = false;
        for part in parts(view, 0..view.columns.len(), same_modality) {
            if view.columns[part.start].dataset != dataset || !has_value(view, &part) {
                continue;
            }
            let fits = |range: &Range<usize>| self.width(view, range.clone()) <= width;
            let whole = fits(&part);
            let pieces = if whole {
                vec![part]
            } else {
                let kinds = parts(view, part, same_kind).into_iter();
                let split = |kind: Range<usize>| {
                    if fits(&kind) {
                        vec![kind]
                    } else {
                        kind.map(|c| c..c + 1).collect()
                    }
                };
                kinds.flat_map(split).collect()
            };
            for (i, piece) in pieces.into_iter().enumerate() {
                // Whole modalities join whole ones; pieces join pieces of the same modality.
                let may_join = if whole { after_whole } else { i > 0 };
                match blocks.last_mut() {
                    Some(block)
                        if may_join
                            && block.end == piece.start
                            && fits(&(block.start..piece.end)) =>
                    {
                        block.end = piece.end;
                    }
                    _ => blocks.push(piece),
                }
            }
            after_whole = whole;
        }
        blocks
    }

    fn block(&self, view: &View, block: Range<usize>) -> String {
        let mut table = Table::new();
        table
            .load_style(STYLE)
            .set_content_arrangement(ContentArrangement::Disabled);
        let right = |text: &str| Text::new(text).set_alignment(CellAlignment::Right);
        let mut header = vec![Text::new("Method")];
        let mut previous = None;
        for c in block.clone() {
            // A modality is named once.
            let (modality, metric) = (
                &view.columns[c].modality,
                view.columns[c].metric_with_arrow(),
            );
            let shown = if previous == Some(modality) {
                ""
            } else {
                modality
            };
            previous = Some(modality);
            header.push(right(&format!("{shown}\n{metric}")));
        }
        table.set_header(header);
        for (line, name) in self.names.iter().enumerate() {
            let mut row = vec![Text::new(name)];
            row.extend(block.clone().map(|c| right(&self.columns[c][line])));
            table.add_row(row);
        }
        table.trim_fmt()
    }
}

/// Cells of a column, the parts of each below one another: `0.0924* ±0.0020 (-0.3824) [1]`.
fn aligned(cells: &[Option<&Shown>]) -> Vec<String> {
    let marked = cells.iter().flatten().any(|c| c.rank == Rank::Best);
    let rows: Vec<[String; 4]> = cells
        .iter()
        .map(|cell| cell.map_or_else(Default::default, |cell| split(cell, marked)))
        .collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, part) in widths.iter_mut().zip(row) {
            *width = (*width).max(part.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let mut out = String::new();
            for (part, &width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(&format!("{part:>width$}"));
            }
            out
        })
        .collect()
}

/// Mean with its mark, deviation, difference, footnote. The footnote of a hole stands where the
/// mean would.
fn split(cell: &Shown, marked: bool) -> [String; 4] {
    let note = cell.note.map(|n| format!("[{n}]")).unwrap_or_default();
    let mark = match cell.rank {
        Rank::Best => "*",
        _ if marked => " ",
        _ => "",
    };
    let Some(mean) = &cell.mean else {
        let hole = format!("- {note}");
        return [
            format!("{}{mark}", hole.trim_end()),
            String::new(),
            String::new(),
            String::new(),
        ];
    };
    let wrapped = |open: &str, text: &Option<String>, close: &str| {
        text.as_ref()
            .map_or_else(String::new, |t| format!("{open}{t}{close}"))
    };
    [
        format!("{mean}{mark}"),
        wrapped("±", &cell.sd, ""),
        wrapped("(", &cell.difference, ")"),
        note,
    ]
}

/// Adds a text in lines of at most `width`, broken between words, the further ones indented.
pub(super) fn wrap(out: &mut String, indent: &str, text: &str, width: usize) {
    let text = one_line(text);
    let mut line = indent.to_owned();
    let mut empty = true;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}    ");
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}
