//! The table for a terminal: split by data set, and further where it is too wide.

use comfy_table::{Cell as Text, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::TableInput;
use super::view::{Rank, Shown, View, one_line};

/// Rules above and below the header and at the end; none between rows.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The table as text of at most `width` columns, where a single modality fits. Makes sense without
/// colour: the best of a group is marked `*`.
#[must_use]
pub fn terminal(input: &TableInput, width: usize) -> String {
    let view = View::new(input);
    let mut out = format!(
        "Table {}. {}\n",
        one_line(&input.number),
        one_line(&input.title)
    );
    for (label, text) in input.header() {
        out.push_str(&format!("  {label}: {}\n", one_line(&text)));
    }
    let texts = Texts::new(&view);
    for block in texts.blocks(&view, width) {
        let Some(first) = view.columns.get(block.start) else {
            continue;
        };
        out.push_str(&format!("\n{}\n", one_line(&first.dataset)));
        out.push_str(&texts.block(&view, block));
        out.push('\n');
    }
    out.push_str("\n* best of its group");
    if view.has_published() {
        out.push_str("; below each number: published, and ours minus published");
    }
    out.push('\n');
    for (i, note) in view.notes.iter().enumerate() {
        out.push_str(&format!("[{}] {}\n", i + 1, one_line(note)));
    }
    if !view.counts.is_empty() {
        out.push_str("empty masks, over all seeds:\n");
        for line in &view.counts {
            out.push_str(&format!("  {}\n", one_line(line)));
        }
    }
    out
}

/// Every cell as text, line by line.
struct Texts {
    /// First column: method names and group labels.
    names: Vec<String>,
    /// Other columns: header, then one text per line of `names`.
    columns: Vec<(String, Vec<String>)>,
}

impl Texts {
    fn new(view: &View) -> Self {
        let mut names = Vec::new();
        let mut columns: Vec<(String, Vec<String>)> = view
            .columns
            .iter()
            .map(|c| {
                (
                    format!("{}\n{}", c.modality, c.metric_with_arrow()),
                    Vec::new(),
                )
            })
            .collect();
        for (i, group) in view.groups.iter().enumerate() {
            if !group.label.is_empty() {
                let gap = if i == 0 { "" } else { "\n" };
                names.push(format!("{gap}{}:", group.label));
                for (_, column) in &mut columns {
                    column.push(String::new());
                }
            }
            for row in &group.rows {
                names.push(if row.has_published() {
                    format!("{}\n  published", one_line(&row.method))
                } else {
                    one_line(&row.method)
                });
                for ((_, column), cell) in columns.iter_mut().zip(&row.cells) {
                    column.push(cell.as_ref().map_or_else(String::new, text));
                }
            }
        }
        Self { names, columns }
    }

    /// Ranges of columns that fit; a block never spans data sets, and splits a modality only if it
    /// does not fit alone.
    fn blocks(&self, view: &View, width: usize) -> Vec<std::ops::Range<usize>> {
        let of = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
        // Two columns of padding and one between.
        let wide = |texts: &[String], head: &str| {
            texts.iter().map(|t| of(t)).max().unwrap_or(0).max(of(head)) + 3
        };
        let names = wide(&self.names, "Method");
        let mut blocks: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
        let mut start = 0;
        while start < view.columns.len() {
            let key = |c: usize| (&view.columns[c].dataset, &view.columns[c].modality);
            let end = (start..view.columns.len())
                .find(|&c| key(c) != key(start))
                .unwrap_or(view.columns.len());
            let size: usize = (start..end)
                .map(|c| wide(&self.columns[c].1, &self.columns[c].0))
                .sum();
            match blocks.last_mut() {
                Some((block, used))
                    if view.columns[block.start].dataset == view.columns[start].dataset
                        && *used + size <= width =>
                {
                    block.end = end;
                    *used += size;
                }
                _ => blocks.push((start..end, names + size)),
            }
            start = end;
        }
        blocks.into_iter().map(|(block, _)| block).collect()
    }

    fn block(&self, view: &View, block: std::ops::Range<usize>) -> String {
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
            row.extend(block.clone().map(|c| right(&self.columns[c].1[line])));
            table.add_row(row);
        }
        table.trim_fmt()
    }
}

fn text(cell: &Shown) -> String {
    let mut out = cell.mean.clone().unwrap_or_else(|| "-".to_owned());
    if let Some(sd) = &cell.sd {
        out.push_str(&format!(" ±{sd}"));
    }
    if let Some(note) = cell.note {
        out.push_str(&format!(" [{note}]"));
    }
    out.push_str(if cell.rank == Rank::Best { " *" } else { "  " });
    if let Some(published) = &cell.published {
        out.push('\n');
        out.push_str(published);
        if let Some(difference) = &cell.difference {
            out.push(' ');
            out.push_str(difference);
        }
        out.push_str("  ");
    }
    out
}
