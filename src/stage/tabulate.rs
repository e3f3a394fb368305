//! `tabulate`: scores of all runs of a study as a table beside the published numbers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use super::evaluate::Evaluation;
use super::files::{SCORES, read_json, write, write_json};
use crate::engine::{StageContext, StageError};
use crate::metric::{Metric, RegionChoice, aggregate};
use crate::plan::{Key, TabulateSpec};
use crate::report::{
    Cell, Column, DataFact, Facts, Ledger, Place, Query, SeedValue, TableInput, csv, latex,
    markdown,
};

/// Extensions of the files that a table is written to.
pub const TABLE_FILES: [&str; 3] = ["csv", "md", "tex"];
/// The table before it is written, so that showing it takes no reading of thousands of scores.
pub const TABLE_INPUT: &str = "table.json";

/// The table of `spec`. `scores` gives the scores of an evaluation, or why there are none.
///
/// # Errors
/// Scores that lack a region or metric that the table shows.
pub fn table_input(
    spec: &TabulateSpec,
    ledger: &Ledger,
    mut scores: impl FnMut(&Key) -> Result<Evaluation, String>,
) -> Result<TableInput, StageError> {
    let mut known: HashMap<Key, Result<Evaluation, String>> = HashMap::new();
    let mut cells = Vec::new();
    let mut splits: BTreeMap<&str, String> = BTreeMap::new();
    for cell in &spec.cells {
        for (_, key) in &cell.runs {
            if !known.contains_key(key) {
                known.insert(key.clone(), scores(key));
            }
        }
        let column = &spec.columns[cell.column];
        let row = &spec.rows[cell.row];
        for metric in &spec.metrics {
            let which = Metric::from_str(metric)
                .map_err(|name| StageError::new(format!("unknown metric '{name}'")))?;
            for region in &spec.regions {
                let choice = match region.as_str() {
                    "mean" => RegionChoice::Mean,
                    name => RegionChoice::One(name),
                };
                let mut values = Vec::new();
                let mut hole = None;
                for (seed, key) in &cell.runs {
                    match &known[key] {
                        Ok(evaluation) => {
                            let [train, val, test] = evaluation.fold_sizes;
                            splits.entry(&column.dataset).or_insert_with(|| {
                                format!("{train} train, {val} val, {test} test patients")
                            });
                            let found = aggregate(
                                &evaluation.cases,
                                choice,
                                which,
                                spec.aggregation,
                                spec.hausdorff,
                            )?;
                            values.push(SeedValue::new(*seed, &found));
                        }
                        Err(reason) => {
                            hole.get_or_insert_with(|| reason.clone());
                        }
                    }
                }
                let place = Place {
                    table: spec.table.clone(),
                    dataset: column.dataset.clone(),
                    modality: column.modality.clone(),
                    label_percent: Some(cell.label),
                    method: row.name.clone(),
                    metric: metric.clone(),
                    region: (region != "mean").then(|| region.clone()),
                };
                let published = ledger
                    .find(&Query {
                        table: &spec.table,
                        dataset: &column.published,
                        modality: &column.modality,
                        label_percent: Some(cell.label),
                        method: &row.published,
                        metric: &place.column_metric(),
                        setting: &row.setting,
                    })
                    .map(|e| e.value);
                let keys = cell.runs.iter().map(|(_, k)| k.to_string()).collect();
                cells.push(Cell::new(place, values, published, keys, hole));
            }
        }
    }
    let metrics = spec
        .metrics
        .iter()
        .flat_map(|m| {
            spec.regions.iter().map(move |r| match r.as_str() {
                "mean" => m.clone(),
                region => format!("{m}_{region}"),
            })
        })
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
                    split: splits.get(d.name.as_str()).cloned().unwrap_or_default(),
                })
                .collect(),
            seeds: spec.seeds.clone(),
            device: spec.device.clone(),
            aggregation: spec.aggregation,
            hausdorff: spec.hausdorff,
            empty: spec.metric.empty,
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
        labels: spec.labels.iter().map(|l| Some(*l)).collect(),
        metrics,
        cells,
    })
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
        let folder = cx.input(key.as_str()).map_err(|e| e.to_string())?;
        read_json(&folder.join(SCORES)).map_err(|e| StageError::from(e).to_string())
    })?;
    write_json(&cx.output().join(TABLE_INPUT), &input)?;
    write_table(&input, cx.output())
}

/// The table that a tabulate stage left in `folder`; `None` where it left none that can be read.
#[must_use]
pub fn made_table(folder: &Path) -> Option<TableInput> {
    read_json(&folder.join(TABLE_INPUT)).ok()
}
