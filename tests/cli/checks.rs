//! `check data` on folders with planted faults, and on the real ones where they are.

use std::fs;
use std::path::{Path, PathBuf};

use super::project::{Project, names};

const STUDY: &str = r#"name = "check"

[data.brats2018]
layout = "brats2018"
root = "patients"

[prepare]
crop.size = [32, 32]

[backbone]
width = 2
depth = 2

[[study]]
table = "T"
data = ["brats2018/T1"]

[[study.variant]]
name = "Sup"
pretext = "none"
"#;

/// Three phantom patients as if they were real ones.
fn patients() -> Project {
    let project = Project::empty();
    project.write("check.toml", STUDY);
    project
        .run(&[
            "phantom",
            "brats2018",
            "--cases",
            "3",
            "--scale",
            "0.25",
            "--out",
            "patients",
        ])
        .expect(0);
    project
}

fn cases(project: &Project) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for grade in ["HGG", "LGG"] {
        let folder = project.path("patients").join(grade);
        all.extend(names(&folder).into_iter().map(|n| folder.join(n)));
    }
    all
}

fn file(case: &Path, suffix: &str) -> PathBuf {
    let id = case.file_name().unwrap().to_str().unwrap();
    case.join(format!("{id}_{suffix}.nii.gz"))
}

#[test]
fn phantoms_are_clean() {
    let project = patients();
    project
        .run(&["check", "data", "check.toml"])
        .expect(0)
        .shows(&["3 complete cases", "0 errors"]);
    project
        .run(&[
            "phantom",
            "hecktor2020",
            "--cases",
            "3",
            "--scale",
            "0.25",
            "--out",
            "neck",
        ])
        .expect(0);
    let text = STUDY
        .replace("brats2018/T1", "brats2018/CT")
        .replace("layout = \"brats2018\"", "layout = \"hecktor2020\"")
        .replace("patients", "neck");
    project.write("neck.toml", &text);
    project
        .run(&["check", "data", "neck.toml"])
        .expect(0)
        .shows(&["3 complete cases", "0 errors"]);
}

#[test]
fn what_is_missing_is_named_by_file() {
    let project = patients();
    let first = &cases(&project)[0];
    let missing = file(first, "t2");
    fs::remove_file(&missing).unwrap();
    let id = first.file_name().unwrap().to_str().unwrap();
    project
        .run(&["check", "data", "check.toml"])
        .expect(4)
        .shows(&["2 complete cases", id, "T2"]);
}

#[test]
fn a_label_of_another_patient_or_task_is_named_by_file() {
    let project = patients();
    let all = cases(&project);
    // Same shape, but moved far away in the world.
    let moved = file(&all[0], "seg");
    let mut labels = amlp_run::data::volume::read_labels(&moved).unwrap();
    for (axis, row) in labels.affine.iter_mut().take(3).enumerate() {
        row[3] += 500.0 + axis as f64;
    }
    let header = amlp_run::data::volume::Header::of_grid(labels.shape, labels.affine);
    amlp_run::data::volume::write_labels(&moved, &labels, &header).unwrap();
    // Label values that this task does not have.
    let strange = file(&all[1], "seg");
    let mut labels = amlp_run::data::volume::read_labels(&strange).unwrap();
    labels.data[0] = 9;
    let header = amlp_run::data::volume::read_header(&strange).unwrap();
    amlp_run::data::volume::write_labels(&strange, &labels, &header).unwrap();
    let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
    project
        .run(&["check", "data", "check.toml"])
        .expect(4)
        .shows(&[&name(&moved), &name(&strange), "9"]);
}

#[test]
fn real_hippocampi_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = root.join("../shared/data/msd-hippocampus");
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    let project = Project::empty();
    let manifest = root.join("experiments/hippocampus.toml");
    let named = format!("hippocampus={}", data.display());
    project
        .run(&[
            "check",
            "data",
            manifest.to_str().unwrap(),
            "--data",
            &named,
        ])
        .expect(0)
        .shows(&["170 complete cases", "0 errors"]);
}
