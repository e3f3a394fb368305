//! The long form: one cell a line.

use super::{Cell, TableInput};

/// Columns of the long form. A hole has an empty mean and its reason in `hole`; `empty` says what
/// the mean was made of, over all seeds and regions.
pub const CSV_COLUMNS: [&str; 14] = [
    "table",
    "dataset",
    "modality",
    "label_percent",
    "method",
    "metric",
    "mean",
    "sd",
    "seeds",
    "published",
    "difference",
    "stage_keys",
    "hole",
    "empty",
];

/// A table that cannot be written as CSV.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The writer refused a line.
    #[error("table {table}: cannot write CSV")]
    Write {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: ::csv::Error,
    },
    /// The text is not what was written.
    #[error("table {table}: cannot finish CSV")]
    Finish {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The table in long form, in the order of rows, then columns. Numbers have six digits; the same
/// cells give the same bytes.
///
/// # Errors
/// If the CSV writer fails.
pub fn csv(input: &TableInput) -> Result<String, CsvError> {
    let write = |source| CsvError::Write {
        table: input.number.clone(),
        source,
    };
    let mut writer = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(CSV_COLUMNS).map_err(write)?;
    for cell in in_order(input) {
        let place = &cell.place;
        let seeds: Vec<String> = cell.seeds().iter().map(u64::to_string).collect();
        writer
            .write_record([
                place.table.clone(),
                input.shown(&place.dataset),
                place.modality.clone(),
                place
                    .label_percent
                    .map_or_else(String::new, |p| p.to_string()),
                place.method.clone(),
                place.column_metric(),
                six_digits(cell.mean),
                six_digits(cell.sd),
                seeds.join(";"),
                cell.published.map_or_else(String::new, |v| v.to_string()),
                six_digits(cell.difference),
                cell.stage_keys.join(";"),
                cell.hole.clone().unwrap_or_default(),
                made_of(cell),
            ])
            .map_err(write)?;
    }
    let finish = |source: Box<dyn std::error::Error + Send + Sync>| CsvError::Finish {
        table: input.number.clone(),
        source,
    };
    let bytes = writer
        .into_inner()
        .map_err(|e| finish(e.into_error().into()))?;
    String::from_utf8(bytes).map_err(|e| finish(e.into()))
}

/// Cells by label ratio, method, column and metric; what the orders do not name comes last, in the
/// order given.
fn in_order(input: &TableInput) -> Vec<&Cell> {
    fn rank<T: PartialEq>(order: &[T], item: &T) -> usize {
        order.iter().position(|o| o == item).unwrap_or(order.len())
    }
    let mut cells: Vec<&Cell> = input.cells.iter().collect();
    cells.sort_by_cached_key(|cell| {
        let place = &cell.place;
        let column = input
            .columns
            .iter()
            .position(|c| c.dataset == place.dataset && c.modality == place.modality);
        (
            rank(&input.labels, &place.label_percent),
            rank(&input.methods, &place.method),
            column.unwrap_or(input.columns.len()),
            rank(&input.metrics, &place.column_metric()),
        )
    });
    cells
}

/// `n=12;both=0;one=3;undefined=0`: values averaged, units with both masks and with one mask empty,
/// values left out. Empty for a cell without results.
fn made_of(cell: &Cell) -> String {
    if cell.values.is_empty() {
        return String::new();
    }
    let counts = cell.counts;
    format!(
        "n={};both={};one={};undefined={}",
        counts.n, counts.both_empty, counts.one_empty, counts.undefined
    )
}

fn six_digits(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| {
        let text = format!("{v:.6}");
        if text == "-0.000000" {
            "0.000000".to_owned()
        } else {
            text
        }
    })
}
