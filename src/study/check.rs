//! Checks of names, lists and axes, each pointing to where the value was written.

use std::collections::BTreeSet;

use super::Column;
use super::checker::Checker;
use super::layers::Combination;
use super::resolved::Row;
use crate::manifest::{Diagnostic, MAX_KEY_PARTS, Node, Origin, Table, Value};
use crate::options::{LayoutOptions, MeasureOptions, PhantomKind, PhantomOptions};

pub(super) use crate::manifest::did_you_mean;

/// An unknown name with the nearest known one.
pub(super) fn unknown(
    what: &str,
    name: &str,
    known: &[&str],
    origin: Option<&Origin>,
) -> Diagnostic {
    let all = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("known: {}", known.join(", "))
    };
    let hint =
        did_you_mean(name, known.iter().copied()).map_or(all.clone(), |d| format!("{d} ({all})"));
    Diagnostic::new(format!("unknown {what} '{name}'"), origin).hint(hint)
}

/// A name that becomes a file or folder.
pub(super) fn file_name(name: &str, what: &str, origin: Option<&Origin>) -> Option<Diagnostic> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.');
    (!fits).then(|| {
        Diagnostic::new(format!("'{name}' cannot be a {what}"), origin)
            .hint("letters, digits, '-', '_' and '.', at most 64: it names a file")
    })
}

/// Label ratios are whole percents of the training cases.
pub(super) fn labels(
    labels: &[u32],
    node: Option<&Node>,
    fallback: &Origin,
    problems: &mut Vec<Diagnostic>,
) {
    let origin = Some(node.map_or(fallback, |n| &n.origin));
    for (i, label) in labels.iter().enumerate() {
        if !(1..=100).contains(label) {
            problems.push(impossible_label(label, item(node, i).or(origin)));
        }
    }
    unique(labels, "label ratio", node, fallback, problems);
}

/// A list that is neither empty nor repeats itself. `node` is where it was written.
pub(super) fn unique<T: Ord + std::fmt::Display>(
    items: &[T],
    what: &str,
    node: Option<&Node>,
    fallback: &Origin,
    problems: &mut Vec<Diagnostic>,
) {
    let origin = Some(node.map_or(fallback, |n| &n.origin));
    if items.is_empty() {
        problems.push(Diagnostic::new(format!("there is no {what}"), origin));
    }
    let mut seen = BTreeSet::new();
    for (i, value) in items.iter().enumerate() {
        if !seen.insert(value) {
            let origin = item(node, i).or(origin);
            problems.push(Diagnostic::new(
                format!("the {what} {value} stands twice"),
                origin,
            ));
        }
    }
}

/// Where an item of a list was written.
fn item(node: Option<&Node>, index: usize) -> Option<&Origin> {
    node?.as_array()?.get(index).map(|n| &n.origin)
}

/// Metrics, or quantities of a measurement, by registry name.
pub(super) fn metrics(
    metrics: &[String],
    known: &[&str],
    node: Option<&Node>,
    fallback: &Origin,
    problems: &mut Vec<Diagnostic>,
) {
    for (i, metric) in metrics.iter().enumerate() {
        if !known.contains(&metric.as_str()) {
            problems.push(unknown("metric", metric, known, item(node, i)));
        }
    }
    unique(metrics, "metric", node, fallback, problems);
}

/// A measurement of at least one image, in a study that has no use for regions.
pub(super) fn measure(
    measure: &MeasureOptions,
    table: &Table,
    fallback: &Origin,
    problems: &mut Vec<Diagnostic>,
) {
    let at = |key: &str| table.origin(key).or(Some(fallback));
    for (key, value) in [("samples", measure.samples), ("repeats", measure.repeats)] {
        if !(1..=1_000_000).contains(&value) {
            problems.push(Diagnostic::new(
                format!("measure.{key} = {value} is out of range: 1 to 1000000"),
                at(&format!("measure.{key}")),
            ));
        }
    }
    for key in ["regions", "claim"] {
        if table.get(key).is_some() {
            problems.push(
                Diagnostic::new(format!("a measurement has no '{key}'"), at(key))
                    .hint("its numbers are not of single cases"),
            );
        }
    }
}

/// A row that shows a part of a measurement, of a clustering that it names.
pub(super) fn measured(
    mut row: Row,
    measure: &MeasureOptions,
    variant: &Table,
    node: &Node,
) -> Result<Row, Vec<Diagnostic>> {
    let parts = super::registry::parts(measure.kind);
    match &row.part {
        Some(part) if !parts.contains(&part.as_str()) => {
            return Err(vec![unknown("part", part, parts, variant.origin("part"))]);
        }
        Some(_) => {}
        None => row.part = parts.first().map(|&p| p.to_owned()),
    }
    let clusters = row.cells.iter().all(|cell| {
        let pretext = cell.settings.pretext.as_ref();
        pretext.is_some_and(|p| super::pretext_needs(p).clusters.is_some())
    });
    if !clusters {
        return Err(vec![
            Diagnostic::new(
                "the row has no clustering to measure",
                variant.origin("pretext").or(Some(&node.origin)),
            )
            .hint("it is the one that pretext = \"amlp\" with mps starts from"),
        ]);
    }
    Ok(row)
}

/// A row of scores, which have no parts.
pub(super) fn unmeasured(row: Row, variant: &Table) -> Result<Row, Vec<Diagnostic>> {
    match row.part {
        Some(_) => Err(vec![
            Diagnostic::new("only measurements have parts", variant.origin("part"))
                .hint("measure = { kind = \"clustering\" } in the study makes it one"),
        ]),
        None => Ok(row),
    }
}

/// Most rows that one matrix may make: more is a slip, and would fill the memory.
const MAX_ROWS: usize = 1000;

/// Axes name a setting and at least one value. Tells whether the matrix can be expanded.
pub(super) fn matrix(matrix: Option<&Node>, problems: &mut Vec<Diagnostic>) -> bool {
    let Some((node, matrix)) = matrix.and_then(|n| n.as_table().map(|t| (n, t))) else {
        return true;
    };
    let rows = matrix
        .entries
        .values()
        .map(|e| e.node.as_array().map_or(0, <[Node]>::len))
        .try_fold(1usize, usize::checked_mul);
    let expands = rows.is_some_and(|n| n <= MAX_ROWS);
    if !expands {
        problems.push(
            Diagnostic::new(
                format!(
                    "the matrix makes {} rows",
                    rows.map_or_else(|| "too many".to_owned(), |n| n.to_string())
                ),
                Some(&node.origin),
            )
            .hint(format!("at most {MAX_ROWS}")),
        );
    }
    let known = crate::manifest::SETTING_KEYS;
    let mut fits = expands;
    for (key, entry) in &matrix.entries {
        let first = key.split('.').next().unwrap_or_default();
        if !known.contains(&first) {
            let problem = unknown("setting", first, known, Some(&entry.key));
            problems.push(problem);
            fits = false;
        }
        if key.split('.').count() > MAX_KEY_PARTS {
            problems.push(Diagnostic::new("the key is too deep", Some(&entry.key)));
            fits = false;
        }
        if entry.node.as_array().is_none_or(<[Node]>::is_empty) {
            problems.push(Diagnostic::new(
                format!("the axis '{key}' has no values"),
                Some(&entry.node.origin),
            ));
            fits = false;
        }
    }
    fits
}

/// The axes of a study and of one of its rows together.
pub(super) fn rows(
    study: &[Combination],
    variant: &[Combination],
    origin: &Origin,
) -> Option<Diagnostic> {
    let rows = study.len().saturating_mul(variant.len());
    (rows > MAX_ROWS).then(|| {
        Diagnostic::new(
            format!("the matrices of study and row make {rows} rows"),
            Some(origin),
        )
        .hint(format!("at most {MAX_ROWS}"))
    })
}

/// A row's name is one line of text: it stands in tables of several formats.
pub(super) fn row_name(name: &str, origin: Option<&Origin>) -> Option<Diagnostic> {
    let fits = name.chars().count() <= 200 && !name.chars().any(char::is_control);
    (!fits).then(|| {
        Diagnostic::new("this cannot be the name of a row", origin)
            .hint("one line of text, at most 200 characters")
    })
}

/// Profiles inside a study or a row must be profiles of the manifest. All rows of a table have the
/// seeds of the table.
pub(super) fn profiles(
    scope: &Table,
    known: &[&str],
    is_row: bool,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(profiles) = scope.get("profile").and_then(Node::as_table) else {
        return;
    };
    for (name, entry) in &profiles.entries {
        if !known.contains(&name.as_str()) {
            problems.push(unknown("profile", name, known, Some(&entry.key)));
        }
        let seeds = entry.node.as_table().and_then(|t| t.entries.get("seeds"));
        if let (true, Some(seeds)) = (is_row, seeds) {
            problems.push(
                Diagnostic::new("a row has no seeds of its own", Some(&seeds.key))
                    .hint(format!("set them for the study: [study.profile.{name}]")),
            );
        }
    }
}

/// A `[[when]]` on a data set, modality or label ratio that cannot exist would never hold.
/// `modalities` is `None` where a data set's own files name them.
pub(super) fn when(
    when: &Table,
    data: &[&str],
    modalities: Option<&[&str]>,
    problems: &mut Vec<Diagnostic>,
) {
    let items = |key: &str| {
        let items = when.get(key).and_then(Node::as_array).unwrap_or_default();
        items.iter()
    };
    for (node, name) in items("data").filter_map(|n| n.as_str().map(|s| (n, s))) {
        if !data.contains(&name) {
            problems.push(unknown("data set", name, data, Some(&node.origin)));
        }
    }
    for (node, name) in items("modality").filter_map(|n| n.as_str().map(|s| (n, s))) {
        for channel in name.split('+') {
            if let Some(known) = modalities
                && !known.contains(&channel)
            {
                problems.push(unknown("modality", channel, known, Some(&node.origin)));
            }
        }
    }
    for node in items("labels") {
        if let Value::Integer(label) = node.value
            && !(1..=100).contains(&label)
        {
            problems.push(impossible_label(label, Some(&node.origin)));
        }
    }
}

fn impossible_label(label: impl std::fmt::Display, origin: Option<&Origin>) -> Diagnostic {
    Diagnostic::new(format!("a label ratio of {label} % is impossible"), origin)
        .hint("whole percents from 1 to 100")
}

/// `brats2018/T1` or `brats2018/T1+T2`.
pub(super) fn column<'a>(
    text: &str,
    origin: Option<&Origin>,
    data: impl Iterator<Item = (&'a str, &'a str, &'a LayoutOptions)>,
) -> Result<Column, Diagnostic> {
    let Some((name, modalities)) = text.split_once('/') else {
        return Err(Diagnostic::new(format!("'{text}' is no column"), origin)
            .hint("a column is a data set and a modality: brats2018/FLAIR"));
    };
    let data: Vec<_> = data.collect();
    let Some((_, layout, files)) = data.iter().find(|(n, _, _)| *n == name) else {
        let known: Vec<&str> = data.iter().map(|(n, _, _)| *n).collect();
        return Err(unknown("data set", name, &known, origin));
    };
    let modalities: Vec<String> = modalities.split('+').map(|m| m.trim().to_owned()).collect();
    let own: Vec<&str> = files.images.keys().map(String::as_str).collect();
    let known: Option<Vec<&str>> = if own.is_empty() {
        super::modalities_of(layout).map(<[&str]>::to_vec)
    } else {
        Some(own)
    };
    for (i, modality) in modalities.iter().enumerate() {
        if modality.is_empty() || modalities[..i].contains(modality) {
            return Err(Diagnostic::new(format!("'{text}' is no column"), origin)
                .hint("several channels are joined by '+', each once"));
        }
        if let Some(known) = &known
            && !known.contains(&modality.as_str())
        {
            let problem = unknown("modality", modality, known, origin);
            return Err(Diagnostic {
                message: format!("'{name}' has no modality '{modality}'"),
                ..problem
            });
        }
    }
    Ok(Column {
        data: name.to_owned(),
        modalities,
    })
}

/// Phantoms of the right kind and of a possible size.
pub(super) fn phantom(
    options: &PhantomOptions,
    layout: &str,
    table: &Table,
    fallback: &Origin,
) -> Result<(), Diagnostic> {
    let kind = match options.kind {
        PhantomKind::Brats2018 => "brats2018",
        PhantomKind::Hecktor2020 => "hecktor2020",
        PhantomKind::Abd110 => "abd110",
    };
    let checker = Checker::new(table, table.origin("phantom").unwrap_or(fallback));
    if kind != layout {
        return Err(checker
            .fail(
                "phantom.kind",
                format!("phantoms of '{kind}' do not fit the layout '{layout}'"),
            )
            .hint(format!("kind = \"{layout}\"")));
    }
    checker.within("phantom.cases", options.cases as f64, 1.0, 100_000.0)?;
    checker.within("phantom.scale", options.scale, 0.1, 1.0)
}
