//! What the cells of tables are read from, whatever kind of stage left it.

use std::path::Path;

use super::evaluate::Evaluation;
use super::files::SCORES;
use super::measure::MEASURED;
use super::select::{CHOICE, Choice};
use crate::measure::Measurement;
use crate::plan::StageKind;

/// What a stage left for tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Scores of an evaluation.
    Scores(Evaluation),
    /// Values of a measurement.
    Measured(Measurement),
    /// What a search chose.
    Chosen(Choice),
}

/// Kinds of stages that leave something, and the file that they leave it in.
const FILES: [(StageKind, &str); 3] = [
    (StageKind::Evaluate, SCORES),
    (StageKind::Measure, MEASURED),
    (StageKind::Select, CHOICE),
];

impl Found {
    /// The scores, where they are some.
    ///
    /// # Errors
    /// Something else was left.
    pub fn into_scores(self) -> Result<Evaluation, String> {
        match self {
            Self::Scores(evaluation) => Ok(evaluation),
            Self::Measured(_) => Err("measured, not scored".to_owned()),
            Self::Chosen(_) => Err("chosen, not scored".to_owned()),
        }
    }

    /// The kinds of stages that tables read.
    pub fn kinds() -> impl Iterator<Item = StageKind> {
        FILES.into_iter().map(|(kind, _)| kind)
    }

    /// The file in which a stage of this kind leaves what tables read.
    #[must_use]
    pub fn file(kind: StageKind) -> Option<&'static str> {
        let (_, file) = FILES.into_iter().find(|(k, _)| *k == kind)?;
        Some(file)
    }

    /// Reads the bytes of that file.
    ///
    /// # Errors
    /// They are something else.
    pub fn parse(kind: StageKind, bytes: &[u8]) -> Result<Self, String> {
        let found = match kind {
            StageKind::Measure => serde_json::from_slice(bytes).map(Self::Measured),
            StageKind::Select => serde_json::from_slice(bytes).map(Self::Chosen),
            _ => serde_json::from_slice(bytes).map(Self::Scores),
        };
        found.map_err(|e| e.to_string())
    }

    /// Reads the artifact in `folder`, of whichever of these kinds it is.
    ///
    /// # Errors
    /// It is of another kind, or its file cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let there = FILES
            .into_iter()
            .find(|(_, file)| folder.join(file).is_file());
        let Some((kind, file)) = there else {
            return Err(format!("{}: nothing that a table shows", folder.display()));
        };
        let path = folder.join(file);
        let fail = |e: String| format!("{}: {e}", path.display());
        let bytes = std::fs::read(&path).map_err(|e| fail(e.to_string()))?;
        Self::parse(kind, &bytes).map_err(fail)
    }
}
