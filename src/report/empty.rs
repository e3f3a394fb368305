//! What the means of a table hide, in a few lines: empty masks and undefined values. The exact
//! counts of a cell stand in the long form.

use std::fmt;

use super::cell::Counts;
use super::view::ViewColumn;

/// Least and most of a count over the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    least: usize,
    most: usize,
}

impl Span {
    fn of(count: usize) -> Self {
        Self {
            least: count,
            most: count,
        }
    }

    fn with(self, count: usize) -> Self {
        Self {
            least: self.least.min(count),
            most: self.most.max(count),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.least)
        } else {
            write!(f, "{} to {}", self.least, self.most)
        }
    }
}

/// Counts of all cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    n: Span,
    one_empty: Span,
    both_empty: Span,
    undefined: Span,
}

impl Summary {
    fn of(counts: Counts) -> Self {
        Self {
            n: Span::of(counts.n),
            one_empty: Span::of(counts.one_empty),
            both_empty: Span::of(counts.both_empty),
            undefined: Span::of(counts.undefined),
        }
    }

    fn with(self, counts: Counts) -> Self {
        Self {
            n: self.n.with(counts.n),
            one_empty: self.one_empty.with(counts.one_empty),
            both_empty: self.both_empty.with(counts.both_empty),
            undefined: self.undefined.with(counts.undefined),
        }
    }

    /// Whether there is anything to tell.
    fn hides(&self) -> bool {
        self.one_empty.most + self.both_empty.most + self.undefined.most > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.n == Span::of(1) { "" } else { "s" };
        write!(
            f,
            "{} value{plural} per cell, one mask empty in {}, both in {}",
            self.n, self.one_empty, self.both_empty
        )?;
        if self.undefined.most > 0 {
            write!(f, "; {} left out as undefined", self.undefined)?;
        }
        Ok(())
    }
}

/// Columns of a data set that share a summary: each of the modalities with each of the metrics.
struct Line<'a> {
    modalities: Vec<&'a str>,
    metrics: Vec<&'a str>,
    summary: Summary,
}

/// At most one line per column, and one per data set where all its columns agree. `cells` are the
/// cells with a result, each with the index of its column.
pub(super) fn summarise(columns: &[ViewColumn], cells: &[(usize, Counts)]) -> Vec<String> {
    let mut summaries: Vec<Option<Summary>> = vec![None; columns.len()];
    for &(column, counts) in cells {
        if let Some(summary) = summaries.get_mut(column) {
            *summary = Some(summary.map_or_else(|| Summary::of(counts), |s| s.with(counts)));
        }
    }
    let columns: Vec<(&ViewColumn, Option<Summary>)> = columns.iter().zip(summaries).collect();
    let mut lines = Vec::new();
    for dataset in distinct(columns.iter().map(|(c, _)| c.dataset.as_str())) {
        let of_dataset: Vec<&(&ViewColumn, Option<Summary>)> = columns
            .iter()
            .filter(|(c, _)| c.dataset == dataset)
            .collect();
        let modalities = distinct(of_dataset.iter().map(|(c, _)| c.modality.as_str()));
        let metrics = distinct(of_dataset.iter().map(|(c, _)| c.metric.as_str()));
        for line in merged(&of_dataset, &modalities) {
            let mut text = dataset.to_owned();
            if line.modalities.len() < modalities.len() {
                text.push(' ');
                text.push_str(&listed(&line.modalities));
            }
            if line.metrics.len() < metrics.len() {
                text.push_str(", ");
                text.push_str(&which(&line.metrics, &metrics));
            }
            lines.push(format!("{text}: {}", line.summary));
        }
    }
    lines
}

/// Metrics of equal summary share a line, then modalities whose lines are equal.
fn merged<'a>(
    columns: &[&(&'a ViewColumn, Option<Summary>)],
    modalities: &[&'a str],
) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for &modality in modalities {
        let mut own: Vec<(Vec<&str>, Summary)> = Vec::new();
        for (column, summary) in columns.iter().filter(|(c, _)| c.modality == modality) {
            let Some(summary) = summary.filter(Summary::hides) else {
                continue;
            };
            let metric = column.metric.as_str();
            match own.iter_mut().find(|(_, s)| *s == summary) {
                Some((metrics, _)) => metrics.push(metric),
                None => own.push((vec![metric], summary)),
            }
        }
        for (metrics, summary) in own {
            let same = |l: &&mut Line<'_>| l.summary == summary && l.metrics == metrics;
            match lines.iter_mut().find(same) {
                Some(line) => line.modalities.push(modality),
                None => lines.push(Line {
                    modalities: vec![modality],
                    metrics,
                    summary,
                }),
            }
        }
    }
    lines
}

/// Some of the metrics in words. All of one region, or all of their mean, usually agree.
fn which(some: &[&str], all: &[&str]) -> String {
    let regions = |metrics: &[&str]| metrics.iter().filter(|m| m.contains('_')).count();
    let (own, single) = (regions(some), regions(all));
    if single > 0 && own == single && own == some.len() {
        return "single regions".to_owned();
    }
    if single > 0 && own == 0 && some.len() == all.len() - single {
        return "mean of regions".to_owned();
    }
    let names: Vec<String> = some.iter().map(|m| m.replace('_', " ")).collect();
    listed(&names)
}

/// Each item once, in the order of first appearance.
pub(super) fn distinct<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// `A`, `A and B`, `A, B and C`.
pub(super) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[(&str, &str, &str)]) -> Vec<ViewColumn> {
        let column = |&(dataset, modality, metric): &(&str, &str, &str)| ViewColumn {
            dataset: dataset.to_owned(),
            modality: modality.to_owned(),
            metric: metric.to_owned(),
            direction: None,
        };
        names.iter().map(column).collect()
    }

    fn counts(n: usize, one_empty: usize, both_empty: usize, undefined: usize) -> Counts {
        Counts {
            n,
            undefined,
            both_empty,
            one_empty,
        }
    }

    #[test]
    fn a_data_set_that_agrees_takes_one_line() {
        let columns = columns(&[
            ("a", "CT", "DSC"),
            ("a", "CT", "HD95"),
            ("a", "PET", "DSC"),
            ("a", "PET", "HD95"),
            ("b", "T1", "DSC"),
            ("b", "T1", "HD95"),
        ]);
        let cells: Vec<(usize, Counts)> = (0..24).map(|i| (i % 4, counts(12, 3, 0, 0))).collect();
        assert_eq!(
            summarise(&columns, &cells),
            ["a: 12 values per cell, one mask empty in 3, both in 0"]
        );
    }

    #[test]
    fn rows_that_differ_give_ranges_and_columns_that_differ_lines() {
        let columns = columns(&[
            ("a", "CT", "DSC"),
            ("a", "CT", "HD95"),
            ("a", "PET", "DSC"),
            ("a", "PET", "HD95"),
            ("a", "MR", "DSC"),
            ("a", "MR", "HD95"),
        ]);
        let mut cells = Vec::new();
        for column in 0..4 {
            cells.push((column, counts(12, 2, 1, 0)));
            cells.push((column, counts(11, 5, 1, 0)));
        }
        cells.push((4, counts(12, 0, 0, 0)));
        cells.push((5, counts(10, 0, 0, 2)));
        assert_eq!(
            summarise(&columns, &cells),
            [
                "a CT and PET: 11 to 12 values per cell, one mask empty in 2 to 5, both in 1",
                "a MR, HD95: 10 values per cell, one mask empty in 0, both in 0; 2 left out as \
                 undefined",
            ]
        );
    }

    #[test]
    fn nothing_hidden_is_nothing_said() {
        let columns = columns(&[("a", "CT", "DSC")]);
        assert!(summarise(&columns, &[(0, counts(12, 0, 0, 0))]).is_empty());
        assert!(summarise(&columns, &[]).is_empty());
        let one = summarise(&columns, &[(0, counts(1, 1, 0, 0))]);
        assert_eq!(one, ["a: 1 value per cell, one mask empty in 1, both in 0"]);
    }

    #[test]
    fn metrics_of_regions_are_named_together() {
        let all = ["DSC", "DSC_ET", "HD95", "HD95_ET"];
        assert_eq!(which(&["DSC", "HD95"], &all), "mean of regions");
        assert_eq!(which(&["DSC_ET", "HD95_ET"], &all), "single regions");
        assert_eq!(
            which(&["DSC", "DSC_ET", "HD95"], &all),
            "DSC, DSC ET and HD95"
        );
        assert_eq!(which(&["DSC_ET"], &all), "DSC ET");
        assert_eq!(which(&["HD95"], &["DSC", "HD95"]), "HD95");
    }

    #[test]
    fn lists() {
        assert_eq!(listed::<&str>(&[]), "");
        assert_eq!(listed(&["A"]), "A");
        assert_eq!(listed(&["A", "B", "C"]), "A, B and C");
    }
}
