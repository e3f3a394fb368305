//! What each kind of stage does, a file per kind.

mod cluster;
mod evaluate;
mod export;
mod files;
mod finetune;
mod found;
mod index;
mod judge;
mod measure;
mod model;
mod passes;
mod phantom;
mod prepare;
mod pretrain;
mod runner;
mod select;
mod show;
mod split;
mod tabulate;
mod tokenize;

pub use evaluate::Evaluation;
pub use export::export_weights;
pub use files::{CASES, INDEX, SCORES, SPLIT};
pub use found::Found;
pub use index::Indexed;
pub use judge::judge_claims;
pub use model::{Model, PredictError};
pub use runner::Runner;
pub use select::{Choice, Scored};
pub use show::{Sources, TestSlice, categories, curve, encoder_options, reconstruction};
pub use tabulate::{TABLE_FILES, TABLE_INPUT, made_table, table_input, table_texts, write_table};
