//! Stages, their keys, and the graph: what would run, what is cached, and why.

mod key;
mod stage;

pub use key::{DeviceClass, Key, KeyError, canonical_json};
pub use stage::{Input, Plan, Stage, StageKind};
