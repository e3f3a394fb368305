//! Tables from stored scores, judgements of claims, the report, the ledger of published numbers, and
//! the lint of that ledger.

mod cell;
pub mod claim;
mod csv;
mod empty;
pub mod html;
mod latex;
mod ledger;
pub mod lint;
mod markdown;
pub mod picture;
pub mod plot;
mod table;
mod terminal;
mod view;

pub use cell::{Cell, Counts, Place, SeedValue};
pub use csv::{CSV_COLUMNS, CsvError, csv};
pub use latex::latex;
pub use ledger::{EMBEDDED_LEDGER, Entry, Ledger, LedgerError, Query};
pub use markdown::markdown;
pub use table::{Column, DataFact, Facts, TableInput};
pub use terminal::terminal;
