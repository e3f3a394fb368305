//! `tabulate`: scores of all runs of a study as a table beside the published numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::str::FromStr;

use super::Found;
use super::files::{read_json, write, write_json};
use crate::engine::{StageContext, StageError};
use crate::metric::{Metric, RegionChoice, aggregate};
use crate::options::MeasureOptions;
use crate::plan::{Key, TableCell, TableRow, TableSearch, TabulateSpec};
use crate::report::{
    Cell, Column, Counts, DataFact, Facts, Ledger, Place, Query, SeedValue, TableInput, csv, latex,
    markdown,
};

/// Extensions of the files that a table is written to.
pub const TABLE_FILES: [&str; 3] = ["csv", "md", "tex"];
/// The table before it is written, so that showing it takes no reading of thousands of scores.
pub const TABLE_INPUT: &str = "table.json";

/// Name of the column that says which candidates of a search won: 1, the others have 0.
const CHOSEN: &str = "chosen";

/// The table of `spec`. `found` gives what a stage left, or why there is nothing.
///
/// # Errors
/// Scores that lack a region or metric that the table shows.
pub fn table_input(
    spec: &TabulateSpec,
    ledger: &Ledger,
    found: impl FnMut(&Key) -> Result<Found, String>,
) -> Result<TableInput, StageError> {
    let mut left = Left::new(found);
    let mut cells = Vec::new();
    for cell in &spec.cells {
        for metric in &spec.metrics {
            for region in &spec.regions {
                cells.push(one_cell(spec, cell, metric, region, ledger, &mut left)?);
            }
        }
        if let Some(search) = &cell.search {
            cells.push(chosen(spec, cell, search, &mut left));
        }
    }
    let is_search = spec.cells.iter().any(|c| c.search.is_some());
    let metrics = spec
        .metrics
        .iter()
        .flat_map(|m| {
            spec.regions.iter().map(move |r| match r.as_str() {
                "mean" => m.clone(),
                region => format!("{m}_{region}"),
            })
        })
        .chain(is_search.then(|| CHOSEN.to_owned()))
        .collect();
    Ok(TableInput {
        number: spec.table.clone(),
        title: spec.title.clone(),
        experiment: spec.experiment.clone(),
        profile: spec.profile.clone(),
        facts: Facts {
            data: spec
                .data
                .iter()
                .map(|d| DataFact {
                    name: d.name.clone(),
                    layout: d.layout.clone(),
                    phantom: d.phantom,
                    split: left.splits.get(&d.name).cloned().unwrap_or_default(),
                })
                .collect(),
            seeds: spec.seeds.clone(),
            device: spec.device.clone(),
            aggregation: spec.aggregation,
            hausdorff: spec.hausdorff,
            empty: spec.metric.empty,
            measured: spec.measure.as_ref().map(|m| left.measured(m)),
            search: is_search,
        },
        methods: spec.rows.iter().map(|r| r.name.clone()).collect(),
        columns: spec
            .columns
            .iter()
            .map(|c| Column {
                dataset: c.dataset.clone(),
                modality: c.modality.clone(),
            })
            .collect(),
        labels: spec.labels.iter().map(|l| ratio(*l)).collect(),
        metrics,
        cells,
    })
}

/// Percent of labelled training cases; `None` in a table without label ratios.
fn ratio(label: u32) -> Option<u32> {
    (label > 0).then_some(label)
}

/// What stages left, each read once, and what the header says of it.
struct Left<F> {
    read: F,
    known: HashMap<Key, Result<Found, String>>,
    /// Patient splits in words, by data set.
    splits: BTreeMap<String, String>,
    /// Processors that times were measured on.
    machines: BTreeSet<String>,
    /// Numbers of measured images.
    images: BTreeSet<usize>,
}

impl<F: FnMut(&Key) -> Result<Found, String>> Left<F> {
    fn new(read: F) -> Self {
        Self {
            read,
            known: HashMap::new(),
            splits: BTreeMap::new(),
            machines: BTreeSet::new(),
            images: BTreeSet::new(),
        }
    }

    fn of(&mut self, key: &Key, dataset: &str) -> Result<Found, String> {
        if let Some(found) = self.known.get(key) {
            return found.clone();
        }
        let found = (self.read)(key);
        let sizes = match &found {
            Ok(Found::Scores(evaluation)) => Some(evaluation.fold_sizes),
            Ok(Found::Measured(measurement)) => {
                self.machines.extend(measurement.machine.clone());
                self.images.insert(measurement.images);
                Some(measurement.fold_sizes)
            }
            _ => None,
        };
        if let Some([train, val, test]) = sizes {
            self.splits
                .entry(dataset.to_owned())
                .or_insert_with(|| format!("{train} train, {val} val, {test} test patients"));
        }
        self.known.insert(key.clone(), found.clone());
        found
    }

    /// The line of the header on a measurement.
    fn measured(&self, options: &MeasureOptions) -> String {
        let entry = crate::measure::find(options.kind);
        let images: Vec<String> = self.images.iter().map(usize::to_string).collect();
        let mut text = entry.doc.to_owned();
        if !images.is_empty() {
            text.push_str(&format!("; {} images", images.join(" or ")));
        }
        for machine in &self.machines {
            text.push_str("; ");
            text.push_str(machine);
        }
        text
    }
}

/// The mean over the seeds of a cell, of one metric and region.
fn one_cell(
    spec: &TabulateSpec,
    cell: &TableCell,
    metric: &str,
    region: &str,
    ledger: &Ledger,
    left: &mut Left<impl FnMut(&Key) -> Result<Found, String>>,
) -> Result<Cell, StageError> {
    let column = &spec.columns[cell.column];
    let row = &spec.rows[cell.row];
    let mut values = Vec::new();
    let mut hole = None;
    for (seed, key) in &cell.runs {
        match left.of(key, &column.dataset) {
            Ok(found) => values.push(value(*seed, &found, metric, region, row, spec)?),
            Err(reason) => {
                hole.get_or_insert(reason);
            }
        }
    }
    let place = place(spec, cell, metric, region);
    let published = ledger
        .find(&Query {
            table: &spec.table,
            dataset: &column.published,
            modality: &column.modality,
            label_percent: place.label_percent,
            method: &row.published,
            metric: &place.column_metric(),
            setting: &row.setting,
        })
        .map(|e| e.value);
    let keys = cell.runs.iter().map(|(_, k)| k.to_string()).collect();
    Ok(Cell::new(place, values, published, keys, hole))
}

fn place(spec: &TabulateSpec, cell: &TableCell, metric: &str, region: &str) -> Place {
    let column = &spec.columns[cell.column];
    Place {
        table: spec.table.clone(),
        dataset: column.dataset.clone(),
        modality: column.modality.clone(),
        label_percent: ratio(cell.label),
        method: spec.rows[cell.row].name.clone(),
        metric: metric.to_owned(),
        region: (region != "mean").then(|| region.to_owned()),
    }
}

/// The value of one seed.
fn value(
    seed: u64,
    found: &Found,
    metric: &str,
    region: &str,
    row: &TableRow,
    spec: &TabulateSpec,
) -> Result<SeedValue, StageError> {
    match found {
        Found::Scores(evaluation) => {
            let which = Metric::from_str(metric)
                .map_err(|name| StageError::new(format!("unknown metric '{name}'")))?;
            let choice = match region {
                "mean" => RegionChoice::Mean,
                name => RegionChoice::One(name),
            };
            let found = aggregate(
                &evaluation.cases,
                choice,
                which,
                spec.aggregation,
                spec.hausdorff,
            )?;
            Ok(SeedValue::new(seed, &found))
        }
        Found::Measured(measurement) => Ok(SeedValue {
            seed,
            value: measurement.value(row.part.as_deref().unwrap_or_default(), metric),
            counts: Counts {
                n: measurement.images,
                ..Counts::default()
            },
        }),
        Found::Chosen(choice) => Err(StageError::new(format!(
            "the search '{}' has no {metric}",
            choice.step
        ))),
    }
}

/// Whether a candidate won its search: 1 or 0.
fn chosen(
    spec: &TabulateSpec,
    cell: &TableCell,
    search: &TableSearch,
    left: &mut Left<impl FnMut(&Key) -> Result<Found, String>>,
) -> Cell {
    let column = &spec.columns[cell.column];
    let place = place(spec, cell, CHOSEN, "mean");
    let keys = vec![search.select.to_string()];
    match left.of(&search.select, &column.dataset) {
        Ok(Found::Chosen(choice)) => {
            let won = choice.winner == search.candidate;
            let value = SeedValue {
                seed: spec.seeds.first().copied().unwrap_or_default(),
                value: Some(f64::from(u8::from(won))),
                counts: Counts {
                    n: choice.candidates.len(),
                    ..Counts::default()
                },
            };
            Cell::new(place, vec![value], None, keys, None)
        }
        Ok(_) => Cell::new(place, Vec::new(), None, keys, Some("no search".to_owned())),
        Err(reason) => Cell::new(place, Vec::new(), None, keys, Some(reason)),
    }
}

/// The texts of the files of a table, in the order of [`TABLE_FILES`].
///
/// # Errors
/// If the CSV writer fails.
pub fn table_texts(input: &TableInput) -> Result<[String; TABLE_FILES.len()], StageError> {
    Ok([csv(input)?, markdown(input), latex(input)])
}

/// Writes `table_<N>.csv`, `.md` and `.tex` into `folder`.
///
/// # Errors
/// Files that cannot be written.
pub fn write_table(input: &TableInput, folder: &Path) -> Result<(), StageError> {
    for (extension, text) in TABLE_FILES.iter().zip(table_texts(input)?) {
        let path = folder.join(format!("table_{}.{extension}", input.number));
        write(&path, |to| std::io::Write::write_all(to, text.as_bytes()))?;
    }
    Ok(())
}

pub(super) fn run(
    spec: &TabulateSpec,
    ledger: &Ledger,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let input = table_input(spec, ledger, |key| {
        Found::read(cx.input(key.as_str()).map_err(|e| e.to_string())?)
    })?;
    write_json(&cx.output().join(TABLE_INPUT), &input)?;
    write_table(&input, cx.output())
}

/// The table that a tabulate stage left in `folder`; `None` where it left none that can be read.
#[must_use]
pub fn made_table(folder: &Path) -> Option<TableInput> {
    read_json(&folder.join(TABLE_INPUT)).ok()
}
