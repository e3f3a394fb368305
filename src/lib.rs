//! A study written in TOML becomes a graph of content-addressed stages, and the graph becomes
//! tables.
//!
//! Read from `main.rs` down: `cli` parses a command, `manifest` reads what the user wrote, `study`
//! resolves it to plain values, `plan` turns those into stages with keys, `engine` runs what is
//! missing, `stage` says what each kind of stage does, `report` turns stored scores into tables.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)
)]

pub mod cli;
pub mod cluster;
pub mod data;
pub mod engine;
pub mod manifest;
pub mod mask;
pub mod measure;
pub mod metric;
pub mod nn;
pub mod options;
pub mod plan;
pub mod pretext;
pub mod random;
pub mod report;
pub mod stage;
pub mod statistics;
pub mod store;
pub mod study;
pub mod train;
mod wide;
