//! The report: one self-contained page from plain data, a file per section.

mod claims;
mod curves;
mod figures;
mod gallery;
mod graph;
mod input;
mod labels;
mod page;
mod provenance;
mod summary;
mod tables;
mod timings;

pub use input::{
    CaseScores, Categories, CategorySlice, Gallery, GalleryRow, Origin, Pictures, Prediction,
    Reconstruction, ReportInput, ReportTable, Run, StageFact, StageState, Training, TrainingKind,
};
pub use page::html;
