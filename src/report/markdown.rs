//! The table as GitHub Markdown, padded so that it also reads in a terminal.

use super::TableInput;
use super::view::{Rank, Shown, View};

/// The table as Markdown. Each method takes two lines: what was measured, and the published number
/// with the difference. Same input, same bytes.
#[must_use]
pub fn markdown(input: &TableInput) -> String {
    let view = View::new(input);
    let mut out = format!(
        "# Table {}. {}\n\n",
        escape(&input.number),
        escape(&input.title)
    );
    for (label, text) in input.header() {
        out.push_str(&format!("- {label}: {}\n", escape(&text)));
    }
    out.push('\n');
    out.push_str(&grid(&view));
    out.push_str("\nBest of a group in **bold**, second best in _italics_.");
    if view.has_published() {
        out.push_str(" `published (difference)`: the paper's number, and ours minus it.");
    }
    out.push('\n');
    let notes: Vec<String> = view.notes.iter().map(ToString::to_string).collect();
    section(&mut out, "Holes", &notes, true);
    let title = "Empty masks, over the seeds and regions of a cell";
    section(&mut out, title, &view.counts, false);
    out
}

fn section(out: &mut String, title: &str, lines: &[String], numbered: bool) {
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}:\n\n"));
    for (i, line) in lines.iter().enumerate() {
        if numbered {
            out.push_str(&format!("{}. {}\n", i + 1, escape(line)));
        } else {
            out.push_str(&format!("- {}\n", escape(line)));
        }
    }
}

fn grid(view: &View) -> String {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut header = vec!["Method".to_owned()];
    let mut metrics = vec![String::new()];
    let mut previous = None;
    for column in &view.columns {
        // A modality is named once, above its first metric.
        let name = format!("{} {}", column.dataset, column.modality);
        header.push(if previous.as_ref() == Some(&name) {
            String::new()
        } else {
            escape(&name)
        });
        previous = Some(name);
        metrics.push(escape(&column.metric_with_arrow()));
    }
    lines.push(header);
    lines.push(metrics);
    for group in &view.groups {
        if !group.label.is_empty() {
            let mut line = vec![format!("**{}**", escape(&group.label))];
            line.resize(view.columns.len() + 1, String::new());
            lines.push(line);
        }
        for row in &group.rows {
            let mut measured = vec![escape(&row.method)];
            measured.extend(
                row.cells
                    .iter()
                    .map(|c| c.as_ref().map_or_else(String::new, text)),
            );
            lines.push(measured);
            if row.has_published() {
                let mut published = vec!["published (difference)".to_owned()];
                published.extend(
                    row.cells
                        .iter()
                        .map(|c| c.as_ref().map_or_else(String::new, beside)),
                );
                lines.push(published);
            }
        }
    }
    let widths: Vec<usize> = (0..=view.columns.len())
        .map(|c| {
            let cells = lines.iter().map(|line| line[c].chars().count());
            cells.max().unwrap_or(0).max(3)
        })
        .collect();
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        for (c, (text, &width)) in line.iter().zip(&widths).enumerate() {
            if c == 0 {
                out.push_str(&format!("| {text:<width$} "));
            } else {
                out.push_str(&format!("| {text:>width$} "));
            }
        }
        out.push_str("|\n");
        if i == 0 {
            for (c, &width) in widths.iter().enumerate() {
                let rule = "-".repeat(width + 1);
                out.push_str(&if c == 0 {
                    format!("|:{rule}")
                } else {
                    format!("|{rule}:")
                });
            }
            out.push_str("|\n");
        }
    }
    out
}

/// `**0.4321** ± 0.0123 [1]`.
fn text(cell: &Shown) -> String {
    let mut out = match (&cell.mean, cell.rank) {
        (None, _) => "–".to_owned(),
        (Some(mean), Rank::Best) => format!("**{mean}**"),
        (Some(mean), Rank::Second) => format!("_{mean}_"),
        (Some(mean), Rank::Other) => mean.clone(),
    };
    if let Some(sd) = &cell.sd {
        out.push_str(&format!(" ± {sd}"));
    }
    if let Some(note) = cell.note {
        out.push_str(&format!(" [{note}]"));
    }
    out
}

/// `0.2905 (+0.1416)`.
fn beside(cell: &Shown) -> String {
    match (&cell.published, &cell.difference) {
        (Some(published), Some(difference)) => format!("{published} ({difference})"),
        (Some(published), None) => published.clone(),
        _ => String::new(),
    }
}

/// Keeps a text on its line and in its cell.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '<' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
