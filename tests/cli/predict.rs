//! `predict` on files as they lie on disk.

use amlp_run::data::volume::{read_header, read_labels};

use super::project::{Project, tiny};

/// Predicts the phantom `image` with a model of `column` and checks grid and labels of the result.
fn predicts_on_its_own_grid(kind: &str, column: &str, images: &[&str], allowed: &[u8]) {
    let project = Project::empty();
    let text = tiny().replace(
        "data = [\"hecktor/CT\", \"brats2018/T2\"]",
        &format!("data = [\"{column}\"]"),
    );
    project.write("tiny.toml", &text);
    project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    project
        .run(&[
            "phantom", kind, "--cases", "1", "--scale", "0.2", "--out", "patients",
        ])
        .expect(0);
    let plan = project.plan(&["tiny.toml"]);
    let model = plan.iter().find(|s| s.kind == "finetune").unwrap();
    let files: Vec<String> = images
        .iter()
        .map(|suffix| {
            let mut found = Vec::new();
            walk(&project.path("patients"), &mut found);
            found
                .into_iter()
                .find(|p| p.ends_with(suffix))
                .unwrap_or_else(|| panic!("no {suffix}"))
        })
        .collect();
    let mut arguments = vec![
        "predict",
        "--model",
        &model.key[..10],
        "--out",
        "out.nii.gz",
    ];
    for file in &files {
        arguments.extend(["--image", file]);
    }
    project.run(&arguments).expect(0).shows(&["out.nii.gz"]);
    let source = read_header(files[0].as_ref()).unwrap();
    let result = read_header(&project.path("out.nii.gz")).unwrap();
    assert_eq!(source.grid(), result.grid());
    for (a, b) in source
        .affine
        .iter()
        .flatten()
        .zip(result.affine.iter().flatten())
    {
        assert!(
            (a - b).abs() < 1e-4,
            "{:?} {:?}",
            source.affine,
            result.affine
        );
    }
    let labels = read_labels(&project.path("out.nii.gz")).unwrap();
    assert!(labels.data.iter().all(|v| allowed.contains(v)));

    // One image too many is refused in words.
    arguments.extend(["--image", &files[0]]);
    project
        .run(&arguments)
        .expect(4)
        .says(&["files were given"]);
}

fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn of_an_mr_image() {
    predicts_on_its_own_grid("brats2018", "brats2018/T2", &["_t2.nii.gz"], &[0, 1, 2, 4]);
}

#[test]
fn of_a_pet_image_on_its_coarse_grid() {
    predicts_on_its_own_grid("hecktor2020", "hecktor/PET", &["_pt.nii.gz"], &[0, 1]);
}

#[test]
fn of_two_channels_on_different_grids() {
    predicts_on_its_own_grid(
        "hecktor2020",
        "hecktor/CT+PET",
        &["_ct.nii.gz", "_pt.nii.gz"],
        &[0, 1],
    );
}
