//! Where a run stands, read from its log of events and checked against the store.

mod run;
mod tracker;

pub use run::{RunState, RunStatus, RunningStage};
pub use tracker::{Counts, Tracker};
