//! `index`: the cases of a data set, as its layout finds them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{INDEX, read_json, write_json};
use crate::data::case::CaseIndex;
use crate::data::layout;
use crate::engine::{StageContext, StageError};
use crate::plan::{IndexSpec, Stage};

/// The artifact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Indexed {
    /// Layout.
    pub layout: String,
    /// Cases and regions.
    pub index: CaseIndex,
    /// What is wrong with files that are not part of it, in words.
    pub problems: Vec<String>,
}

impl Indexed {
    /// Reads the artifact.
    pub(super) fn read(cx: &StageContext<'_>) -> Result<Self, StageError> {
        Ok(read_json(&cx.input("index")?.join(INDEX))?)
    }
}

/// Folder of the files that the index names: the phantoms, or the data set's root.
pub(super) fn data_root(stage: &Stage, cx: &StageContext<'_>) -> Result<PathBuf, StageError> {
    if stage.input("phantom").is_some() {
        return Ok(cx.input("phantom")?.join(super::phantom::FOLDER));
    }
    match stage.context.get("root").and_then(|r| r.as_str()) {
        Some(root) => Ok(Path::new(root).to_owned()),
        None => Err(StageError::data(
            "the data set's folder is not known; plan again with --data NAME=DIR",
        )),
    }
}

pub(super) fn run(
    spec: &IndexSpec,
    stage: &Stage,
    cx: &mut StageContext<'_>,
) -> Result<(), StageError> {
    let root = data_root(stage, cx)?;
    let scan = layout::find(&spec.layout)
        .and_then(|l| l.scan(&root, &spec.files))
        .map_err(|e| StageError::data(e.to_string()))?;
    let problems: Vec<String> = scan.problems.iter().map(ToString::to_string).collect();
    if scan.index.cases.is_empty() {
        let first = problems.first().cloned().unwrap_or_default();
        return Err(StageError::data(format!(
            "no complete case below {}. {first}",
            root.display()
        )));
    }
    if !problems.is_empty() {
        cx.note(format!(
            "{} problems in {}; `amlp-run check data` lists them",
            problems.len(),
            root.display()
        ));
    }
    write_json(
        &cx.output().join(INDEX),
        &Indexed {
            layout: spec.layout.clone(),
            index: scan.index,
            problems,
        },
    )?;
    Ok(())
}
