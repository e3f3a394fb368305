//! A study written in TOML becomes a graph of content-addressed stages, and the graph becomes
//! tables.
//!
//! Read from `main.rs` down: `cli` parses a command, `manifest` reads what the user wrote, `study`
//! resolves it to plain values, `plan` turns those into stages with keys, `engine` runs what is
//! missing, `stage` says what each kind of stage does, `report` turns stored scores into tables.

pub mod data;
pub mod options;
pub mod plan;
pub mod random;
