//! The study as resolved: defaults filled, profile applied, matrix expanded, names looked up, every
//! check that needs no disk done. Plain values; nothing here or after knows TOML.

mod check;
mod checker;
mod claim;
mod layers;
mod only;
mod project;
mod registry;
mod resolve;
mod resolved;
mod search;
mod slurm;
mod toggles;

pub use only::{Only, OnlyError};
pub use project::project_root;
pub use registry::{
    layout_names, measure_version, metric_names, modalities_of, pretext_names, pretext_needs,
    pretext_optimiser, pretext_training, pretext_version, tokenizer_version,
};
pub use resolve::{Places, Request, Resolution, resolve};
pub use resolved::{
    Candidate, Cell, CellSettings, Column, InitFile, NO_RATIO, PretextSpec, Resolved,
    ResolvedClaim, ResolvedData, ResolvedStudy, Row,
};
