//! The ledger: every number that the paper prints, by its place.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// Text of the ledger as it was when the program was built.
pub const EMBEDDED_LEDGER: &str = include_str!("../../results/published.csv");

/// Columns of the file, in order.
const COLUMNS: [&str; 8] = [
    "table",
    "dataset",
    "modality",
    "label_percent",
    "method",
    "metric",
    "value",
    "setting",
];

/// One published number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Number of the table, Roman.
    pub table: String,
    /// Data set.
    pub dataset: String,
    /// Modality; empty where the table has none.
    pub modality: String,
    /// Percent of labelled training cases, where the table says.
    pub label_percent: Option<u32>,
    /// Row.
    pub method: String,
    /// Metric; of one region with its name behind `_`: `DSC_ET`.
    pub metric: String,
    /// The number as printed.
    pub value: f64,
    /// What else tells rows apart: `key=value`, joined by `;`.
    pub setting: String,
    /// Line of the file.
    pub line: u64,
}

/// What a number is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Number of the table.
    pub table: &'a str,
    /// Data set.
    pub dataset: &'a str,
    /// Modality. Several joined by `+` are the ledger's `multimodal`.
    pub modality: &'a str,
    /// Percent of labelled training cases.
    pub label_percent: Option<u32>,
    /// Row. Case does not matter; `AMLP` and the paper's `Ours` are one.
    pub method: &'a str,
    /// Metric.
    pub metric: &'a str,
    /// Setting; the order of its parts does not matter.
    pub setting: &'a str,
}

/// A ledger that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened.
    #[error("{file}: cannot open the ledger")]
    Open {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a CSV file with rows of equal length.
    #[error("{file}: not a valid CSV file")]
    Csv {
        /// The file.
        file: String,
        /// Where and why.
        #[source]
        source: ::csv::Error,
    },
    /// The header is another one.
    #[error("{file}:1: column {column} is '{found}', expected '{expected}'")]
    Header {
        /// The file.
        file: String,
        /// Position of the column, from 1.
        column: usize,
        /// Name in the file.
        found: String,
        /// Name that it must have.
        expected: &'static str,
    },
    /// A field is not what its column holds.
    #[error("{file}:{line}: column {column}: '{found}' is not {expected}")]
    Field {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// The text.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Two lines stand for the same cell.
    #[error("{file}:{line}: repeats the cell of line {first}")]
    Repeated {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// Where the cell stands first.
        first: u64,
    },
}

/// Normal form of the coordinates.
type Coordinates = (String, String, String, Option<u32>, String, String, String);

/// The published numbers.
#[derive(Clone, Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    places: HashMap<Coordinates, usize>,
}

impl Ledger {
    /// The ledger that is part of the program.
    ///
    /// # Errors
    /// Never for a released program: a test reads it.
    pub fn embedded() -> Result<Self, LedgerError> {
        Self::read("published.csv", EMBEDDED_LEDGER.as_bytes())
    }

    /// Reads a ledger from a file.
    ///
    /// # Errors
    /// Names the file, the line and the column.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|source| LedgerError::Open {
            file: name.clone(),
            source,
        })?;
        Self::read(&name, file)
    }

    /// Reads a ledger; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn read(name: &str, source: impl Read) -> Result<Self, LedgerError> {
        let in_csv = |source| LedgerError::Csv {
            file: name.to_owned(),
            source,
        };
        let mut reader = ::csv::Reader::from_reader(source);
        let header = reader.headers().map_err(in_csv)?;
        for i in 0..COLUMNS.len().max(header.len()) {
            let found = header.get(i).unwrap_or_default();
            let expected = COLUMNS.get(i).copied().unwrap_or("the end of the line");
            if found != expected {
                return Err(LedgerError::Header {
                    file: name.to_owned(),
                    column: i + 1,
                    found: found.to_owned(),
                    expected,
                });
            }
        }
        let mut ledger = Self {
            entries: Vec::new(),
            places: HashMap::new(),
        };
        for record in reader.records() {
            let record = record.map_err(in_csv)?;
            let entry = parse(name, &record)?;
            let place = coordinates(&entry.query());
            if let Some(&first) = ledger.places.get(&place) {
                return Err(LedgerError::Repeated {
                    file: name.to_owned(),
                    line: entry.line,
                    first: ledger.entries[first].line,
                });
            }
            ledger.places.insert(place, ledger.entries.len());
            ledger.entries.push(entry);
        }
        Ok(ledger)
    }

    /// Every number in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number at a place. A table that states no label ratio (XV) was made with all labels: its
    /// numbers are found at 100 %. One that states no modality (VII) is found at every modality.
    #[must_use]
    pub fn find(&self, query: &Query<'_>) -> Option<&Entry> {
        let at = |query: Query<'_>| self.places.get(&coordinates(&query));
        let without_ratio = || {
            let unstated = Query {
                label_percent: None,
                ..*query
            };
            at(unstated).filter(|_| query.label_percent == Some(100))
        };
        let without_modality = || {
            let unstated = Query {
                modality: "",
                ..*query
            };
            at(unstated)
        };
        let index = at(*query).or_else(without_ratio).or_else(without_modality);
        self.entries.get(*index?)
    }
}

impl Entry {
    /// The look-up that finds this entry.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query {
            table: &self.table,
            dataset: &self.dataset,
            modality: &self.modality,
            label_percent: self.label_percent,
            method: &self.method,
            metric: &self.metric,
            setting: &self.setting,
        }
    }

    /// Where the number stands, for people: `Table IV, hecktor CT, 5 %, Ours, HD95`.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = format!("Table {}, {}", self.table, self.dataset);
        if !self.modality.is_empty() {
            place.push(' ');
            place.push_str(&self.modality);
        }
        if let Some(percent) = self.label_percent {
            place.push_str(&format!(", {percent} %"));
        }
        place.push_str(&format!(", {}, {}", self.method, self.metric));
        if !self.setting.is_empty() {
            place.push_str(&format!(" ({})", self.setting));
        }
        place
    }
}

fn parse(name: &str, record: &::csv::StringRecord) -> Result<Entry, LedgerError> {
    let line = record.position().map_or(0, ::csv::Position::line);
    let text = |i: usize| record.get(i).unwrap_or_default().trim().to_owned();
    let bad = |i: usize, expected: &'static str| LedgerError::Field {
        file: name.to_owned(),
        line,
        column: COLUMNS[i],
        found: text(i),
        expected,
    };
    for i in [0, 1, 4, 5] {
        if text(i).is_empty() {
            return Err(bad(i, "a name"));
        }
    }
    let label_percent = match text(3).as_str() {
        "" => None,
        percent => match percent.parse() {
            Ok(percent) if percent <= 100 => Some(percent),
            _ => return Err(bad(3, "a percentage of 0 to 100, or empty")),
        },
    };
    let value = match text(6).parse::<f64>() {
        Ok(value) if value.is_finite() => value,
        _ => return Err(bad(6, "a number")),
    };
    Ok(Entry {
        table: text(0),
        dataset: text(1),
        modality: text(2),
        label_percent,
        method: text(4),
        metric: text(5),
        value,
        setting: text(7),
        line,
    })
}

fn coordinates(query: &Query<'_>) -> Coordinates {
    let modality = if query.modality.contains('+') {
        "multimodal"
    } else {
        query.modality
    };
    let method = query.method.to_lowercase();
    let method = if method == "amlp" {
        "ours".to_owned()
    } else {
        method
    };
    let mut setting: Vec<&str> = query.setting.split(';').filter(|s| !s.is_empty()).collect();
    setting.sort_unstable();
    (
        query.table.to_owned(),
        query.dataset.to_owned(),
        modality.to_owned(),
        query.label_percent,
        method,
        query.metric.to_owned(),
        setting.join(";"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Ledger, LedgerError> {
        Ledger::read("x.csv", text.as_bytes())
    }

    const HEADER: &str = "table,dataset,modality,label_percent,method,metric,value,setting\n";

    #[test]
    fn embedded_ledger_is_whole() {
        let ledger = Ledger::embedded().unwrap();
        assert_eq!(ledger.entries().len(), 1251);
        let query = Query {
            table: "IV",
            dataset: "hecktor",
            modality: "CT",
            label_percent: Some(5),
            method: "AMLP",
            metric: "HD95",
            setting: "",
        };
        assert_eq!(ledger.find(&query).unwrap().value, 57.2823);
        let multimodal = Query {
            table: "XV",
            dataset: "brats2018",
            modality: "FLAIR+T1+T1CE+T2",
            label_percent: None,
            method: "mae",
            metric: "DSC",
            setting: "amlp=with;backbone=unet2d",
        };
        for (label_percent, value) in [
            (None, Some(0.8376)),
            (Some(100), Some(0.8376)),
            (Some(50), None),
        ] {
            let query = Query {
                label_percent,
                ..multimodal
            };
            assert_eq!(ledger.find(&query).map(|e| e.value), value);
        }
        assert_eq!(
            ledger.find(&Query {
                table: "I",
                ..query
            }),
            None
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            message(&format!("{HEADER}IV,hecktor,CT,5,Ours,DSC,high,\n")),
            "x.csv:2: column value: 'high' is not a number"
        );
        assert_eq!(
            message(&format!("{HEADER}IV,hecktor,CT,500,Ours,DSC,0.1,\n")),
            "x.csv:2: column label_percent: '500' is not a percentage of 0 to 100, or empty"
        );
        assert_eq!(
            message(&format!("{HEADER}IV,hecktor,CT,5,,DSC,0.1,\n")),
            "x.csv:2: column method: '' is not a name"
        );
        assert_eq!(
            message("table,dataset,modality\n"),
            "x.csv:1: column 4 is '', expected 'label_percent'"
        );
        let line = "IV,hecktor,CT,5,Ours,DSC,0.1,\n";
        assert_eq!(
            message(&format!("{HEADER}{line}{line}")),
            "x.csv:3: repeats the cell of line 2"
        );
        assert!(matches!(
            read(&format!("{HEADER}IV,hecktor\n")),
            Err(LedgerError::Csv { .. })
        ));
        assert!(matches!(
            Ledger::open(Path::new("/nowhere/published.csv")),
            Err(LedgerError::Open { .. })
        ));
    }
}
