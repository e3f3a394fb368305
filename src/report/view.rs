//! The table as all writers lay it out: groups of rows by label ratio, columns by data set,
//! modality and metric, numbers as text, ranks, footnotes.

use std::collections::HashMap;
use std::fmt;

use crate::metric::Direction;

use super::cell::Counts;
use super::empty::summarise;
use super::table::direction;
use super::{Cell, TableInput};

/// Rank of a number in its column of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    Best,
    Second,
    Other,
}

/// A cell as text.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// Mean; `None` for a hole.
    pub(super) mean: Option<String>,
    pub(super) sd: Option<String>,
    pub(super) published: Option<String>,
    /// With its sign.
    pub(super) difference: Option<String>,
    pub(super) rank: Rank,
    /// Number of the footnote, from 1.
    pub(super) note: Option<usize>,
}

pub(super) struct ViewRow {
    pub(super) method: String,
    /// One per column; `None` where the study has no such cell.
    pub(super) cells: Vec<Option<Shown>>,
}

impl ViewRow {
    pub(super) fn has_published(&self) -> bool {
        self.cells.iter().flatten().any(|c| c.published.is_some())
    }
}

pub(super) struct Group {
    /// `5 % labels`; empty for tables without label ratios.
    pub(super) label: String,
    pub(super) rows: Vec<ViewRow>,
}

#[derive(Clone, Debug)]
pub(super) struct ViewColumn {
    pub(super) dataset: String,
    pub(super) modality: String,
    pub(super) metric: String,
    pub(super) direction: Option<Direction>,
}

impl ViewColumn {
    /// `DSC ↑`, `DSC ET ↑`.
    pub(super) fn metric_with_arrow(&self) -> String {
        let name = self.metric.replace('_', " ");
        match self.direction {
            Some(direction) => format!("{name} {}", direction.arrow()),
            None => name,
        }
    }
}

/// A footnote: why cells, or seeds of them, have no value.
pub(super) struct Note {
    pub(super) reason: String,
    /// Cells that it is for.
    pub(super) cells: usize,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cells == 1 { "" } else { "s" };
        write!(
            f,
            "{} ({} cell{plural})",
            one_line(&self.reason),
            self.cells
        )
    }
}

pub(super) struct View {
    pub(super) columns: Vec<ViewColumn>,
    pub(super) groups: Vec<Group>,
    pub(super) notes: Vec<Note>,
    /// What the means were made of, where they hide something.
    pub(super) counts: Vec<String>,
}

/// Coordinates of a cell within the table.
type Slot<'a> = (Option<u32>, &'a str, &'a str, &'a str, String);

impl View {
    pub(super) fn new(input: &TableInput) -> Self {
        let cells: HashMap<Slot<'_>, &Cell> = input
            .cells
            .iter()
            .map(|cell| {
                let p = &cell.place;
                let slot = (
                    p.label_percent,
                    p.method.as_str(),
                    p.dataset.as_str(),
                    p.modality.as_str(),
                    p.column_metric(),
                );
                (slot, cell)
            })
            .collect();
        let mut sources = Vec::new();
        let mut columns = Vec::new();
        for column in &input.columns {
            for metric in &input.metrics {
                sources.push((column, metric));
                columns.push(ViewColumn {
                    dataset: input.shown(&column.dataset),
                    modality: column.modality.clone(),
                    metric: metric.clone(),
                    direction: direction(metric),
                });
            }
        }
        let mut view = Self {
            columns,
            groups: Vec::new(),
            notes: Vec::new(),
            counts: Vec::new(),
        };
        let mut counted = Vec::new();
        for &label in &input.labels {
            let rows: Vec<(&str, Vec<Option<&Cell>>)> = input
                .methods
                .iter()
                .map(|method| {
                    let row = sources.iter().map(|(column, metric)| {
                        let slot = (
                            label,
                            method.as_str(),
                            column.dataset.as_str(),
                            column.modality.as_str(),
                            (*metric).clone(),
                        );
                        cells.get(&slot).copied()
                    });
                    (method.as_str(), row.collect::<Vec<_>>())
                })
                .filter(|(_, row)| row.iter().any(Option::is_some))
                .collect();
            for (_, row) in &rows {
                let cells = row.iter().enumerate();
                counted.extend(cells.filter_map(|(c, cell)| Some((c, made_of((*cell)?)?))));
            }
            if !rows.is_empty() {
                view.add_group(label, &rows);
            }
        }
        view.counts = summarise(&view.columns, &counted);
        view
    }

    /// Whether any published number is shown.
    pub(super) fn has_published(&self) -> bool {
        let mut rows = self.groups.iter().flat_map(|g| &g.rows);
        rows.any(ViewRow::has_published)
    }

    fn add_group(&mut self, label: Option<u32>, rows: &[(&str, Vec<Option<&Cell>>)]) {
        let label = label.map_or_else(String::new, |percent| format!("{percent} % labels"));
        let best: Vec<[Option<i64>; 2]> = (0..self.columns.len())
            .map(|c| {
                let means = rows.iter().filter_map(|(_, row)| row[c]?.mean);
                best_two(means, self.columns[c].direction)
            })
            .collect();
        let mut shown = Vec::with_capacity(rows.len());
        for (method, row) in rows {
            let cells = row
                .iter()
                .zip(&best)
                .map(|(cell, best)| cell.map(|cell| self.show(cell, best)))
                .collect();
            shown.push(ViewRow {
                method: (*method).to_owned(),
                cells,
            });
        }
        self.groups.push(Group { label, rows: shown });
    }

    fn show(&mut self, cell: &Cell, best: &[Option<i64>; 2]) -> Shown {
        let note = cell.hole.as_ref().map(|reason| {
            let at = self.notes.iter().position(|n| n.reason == *reason);
            let at = at.unwrap_or_else(|| {
                self.notes.push(Note {
                    reason: reason.clone(),
                    cells: 0,
                });
                self.notes.len() - 1
            });
            self.notes[at].cells += 1;
            at + 1
        });
        let printed = cell.mean.map(as_printed);
        let rank = match printed {
            Some(_) if printed == best[0] => Rank::Best,
            Some(_) if printed == best[1] => Rank::Second,
            _ => Rank::Other,
        };
        Shown {
            mean: cell.mean.map(number),
            sd: cell.sd.map(number),
            published: cell.published.map(number),
            difference: cell.difference.map(signed),
            rank,
            note,
        }
    }
}

/// Counts of a cell that has any result.
fn made_of(cell: &Cell) -> Option<Counts> {
    (!cell.values.is_empty()).then_some(cell.counts)
}

/// The best and the second best number as printed; none where there is nothing to compare.
fn best_two(means: impl Iterator<Item = f64>, direction: Option<Direction>) -> [Option<i64>; 2] {
    let Some(direction) = direction else {
        return [None, None];
    };
    let mut printed: Vec<i64> = means.map(as_printed).collect();
    let rows = printed.len();
    printed.sort_unstable();
    if direction == Direction::Up {
        printed.reverse();
    }
    printed.dedup();
    let at = |i: usize, least: usize| printed.get(i).copied().filter(|_| rows >= least);
    [at(0, 2), at(1, 3)]
}

/// Numbers that print alike rank alike.
fn as_printed(value: f64) -> i64 {
    (value * 1e4).round() as i64
}

/// Four digits, as the paper prints.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    if text == "-0.0000" {
        "0.0000".to_owned()
    } else {
        text
    }
}

fn signed(value: f64) -> String {
    let text = number(value);
    if text.starts_with('-') {
        text
    } else {
        format!("+{text}")
    }
}

/// A text without line breaks and other control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_without_negative_zero() {
        assert_eq!(number(-0.000_01), "0.0000");
        assert_eq!(signed(-0.000_01), "+0.0000");
        assert_eq!(signed(-1.5), "-1.5000");
    }

    #[test]
    fn ranks_need_something_to_compare() {
        let best = |v: &[f64], d| best_two(v.iter().copied(), d);
        assert_eq!(best(&[0.5], Some(Direction::Up)), [None, None]);
        assert_eq!(best(&[0.5, 0.6], Some(Direction::Up)), [Some(6000), None]);
        assert_eq!(
            best(&[3.0, 1.0, 2.0], Some(Direction::Down)),
            [Some(10_000), Some(20_000)]
        );
        assert_eq!(best(&[0.5, 0.6, 0.7], None), [None, None]);
    }
}
