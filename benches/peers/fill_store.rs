//! Makes the store of a plan that has run, without training for days: `fill_store MANIFEST STORE`
//! gives every missing stage the files of a stage of its kind that has run, and publishes them as
//! the engine would. What is measured on such a store is deciding, not computing.
//!
//! Tables are left to the program: they are made from the scores in a moment.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use amlp_run::plan::{DeviceClass, StageKind, compile};
use amlp_run::store::{Begin, Provenance, Store};
use amlp_run::study::{self, Request};
use amlp_run::{manifest, plan::Plan};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [file, store] = arguments.as_slice() else {
        return Err("usage: fill_store MANIFEST STORE".into());
    };
    let resolution = study::resolve(manifest::load(Path::new(file))?, &Request::default())?;
    let facts = Default::default();
    let compiled = compile(&resolution.resolved, &facts, DeviceClass::CpuFlex, "");
    fill(&compiled.plan, &Store::open(store)?)
}

fn fill(plan: &Plan, store: &Store) -> Result<(), Box<dyn Error>> {
    let mut templates: HashMap<StageKind, PathBuf> = HashMap::new();
    for stage in &plan.stages {
        if store.lookup(stage.kind, &stage.key)?.is_cached() {
            templates
                .entry(stage.kind)
                .or_insert_with(|| store.artifact_dir(stage.kind, &stage.key));
        }
    }
    for stage in &plan.stages {
        if stage.kind == StageKind::Tabulate {
            continue;
        }
        let Begin::Attempt(attempt) = store.begin(stage)? else {
            continue;
        };
        let template = templates
            .get(&stage.kind)
            .ok_or_else(|| format!("no {} stage has run: run one seed first", stage.kind))?;
        for entry in fs::read_dir(template)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != "stage.json" {
                fs::copy(entry.path(), attempt.output().join(entry.file_name()))?;
            }
        }
        attempt.publish(Provenance::default())?;
    }
    Ok(())
}
