//! `info` and `score` on files made by hand.

use amlp_run::data::volume::{Header, LabelVolume, write_labels};

use super::project::Project;

/// A label file of 4 x 3 x 2 voxels, 1 x 2 x 3 mm.
fn labels(project: &Project, name: &str, data: &[u8]) {
    let affine = [
        [-1.0, 0.0, 0.0, 10.0],
        [0.0, -2.0, 0.0, 20.0],
        [0.0, 0.0, 3.0, -5.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    let volume = LabelVolume {
        data: data.to_vec(),
        shape: [4, 3, 2],
        affine,
    };
    let header = Header::of_grid([4, 3, 2], affine);
    write_labels(&project.path(name), &volume, &header).unwrap();
}

fn with(places: &[(usize, u8)]) -> Vec<u8> {
    let mut data = vec![0; 24];
    for &(i, v) in places {
        data[i] = v;
    }
    data
}

#[test]
fn info_as_json() {
    let project = Project::empty();
    labels(&project, "a.nii.gz", &with(&[(0, 1), (1, 1), (5, 4)]));
    let info = project.json(&["info", "a.nii.gz", "--format", "json"]);
    assert_eq!(info["shape"], serde_json::json!([4, 3, 2]));
    assert_eq!(info["spacing"], serde_json::json!([1.0, 2.0, 3.0]));
    assert_eq!(
        info["affine"],
        serde_json::json!([
            [-1.0, 0.0, 0.0, 10.0],
            [0.0, -2.0, 0.0, 20.0],
            [0.0, 0.0, 3.0, -5.0]
        ])
    );
    assert_eq!(info["dtype"], "uint8");
    assert_eq!(info["orientation"], "LPS");
    assert_eq!(info["min"], 0.0);
    assert_eq!(info["max"], 4.0);
    assert_eq!(info["mean"], 0.25);
    assert_eq!(info["labels"], serde_json::json!({"0": 21, "1": 2, "4": 1}));
}

#[test]
fn score_as_json() {
    let project = Project::empty();
    labels(&project, "p.nii.gz", &with(&[(0, 1), (1, 1), (2, 4)]));
    labels(&project, "r.nii.gz", &with(&[(0, 1), (1, 4), (2, 4)]));
    let arguments = [
        "score",
        "--prediction",
        "p.nii.gz",
        "--reference",
        "r.nii.gz",
    ];
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--format", "json"])
        .collect();
    let by_label = project.json(&all);
    let regions = by_label["regions"].as_array().unwrap();
    assert_eq!(regions.len(), 2);
    assert_eq!(regions[0]["name"], "1");
    let near = |v: &serde_json::Value, x: f64| (v.as_f64().unwrap() - x).abs() < 1e-5;
    assert!(near(&regions[0]["dsc"], 2.0 / 3.0));
    assert!(near(&regions[0]["sensitivity"], 1.0));
    // One voxel apart along x, 1 mm.
    assert!(near(&regions[0]["hd95"], 0.95));

    let brats: Vec<&str> = all.iter().copied().chain(["--regions", "brats"]).collect();
    let nested = project.json(&brats);
    let names: Vec<&str> = nested["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["WT", "TC", "ET"]);
    assert!(near(&nested["regions"][0]["dsc"], 1.0));
    assert!(near(&nested["regions"][0]["hd95"], 0.0));
}

#[test]
fn an_undefined_sensitivity_is_null() {
    let project = Project::empty();
    labels(&project, "p.nii.gz", &with(&[(0, 4)]));
    labels(&project, "r.nii.gz", &with(&[(0, 1)]));
    let scores = project.json(&[
        "score",
        "-p",
        "p.nii.gz",
        "-r",
        "r.nii.gz",
        "--regions",
        "brats",
        "--format",
        "json",
    ]);
    let et = &scores["regions"][2];
    assert_eq!(et["name"], "ET");
    assert_eq!(et["dsc"], 0.0);
    assert!(et["sensitivity"].is_null());
}

#[test]
fn files_that_cannot_be_compared_or_read_exit_with_4() {
    let project = Project::empty();
    labels(&project, "a.nii.gz", &with(&[(0, 3)]));
    project.write("junk.nii.gz", "no volume at all");
    project
        .run(&["info", "junk.nii.gz"])
        .expect(4)
        .says(&["junk.nii.gz"]);
    project
        .run(&[
            "score",
            "-p",
            "a.nii.gz",
            "-r",
            "a.nii.gz",
            "--regions",
            "brats",
        ])
        .expect(4)
        .says(&["3"]);
    project
        .run(&[
            "score",
            "-p",
            "a.nii.gz",
            "-r",
            "a.nii.gz",
            "--regions",
            "lungs",
        ])
        .expect(2)
        .says(&["lungs", "brats"]);
}
