//! Layouts: what a scan finds, and how it reports what is wrong.

use std::path::Path;

use amlp_run::data::case::{CaseIndex, ModalityKind};
use amlp_run::data::layout::{LAYOUTS, LayoutError, ProblemKind, Scan, find};
use amlp_run::options::LayoutOptions;

fn touch(root: &Path, paths: &[&str]) {
    for path in paths {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
}

fn scan(layout: &str, root: &Path, options: &LayoutOptions) -> Scan {
    find(layout).unwrap().scan(root, options).unwrap()
}

fn ids(index: &CaseIndex) -> Vec<&str> {
    index.cases.iter().map(|case| case.id.as_str()).collect()
}

fn kinds(scan: &Scan) -> Vec<(&str, ProblemKind)> {
    scan.problems
        .iter()
        .map(|p| (p.path.as_str(), p.kind))
        .collect()
}

fn brats_case(root: &Path, grade: &str, id: &str, suffixes: &[&str]) {
    for suffix in suffixes {
        touch(root, &[&format!("{grade}/{id}/{id}_{suffix}.nii.gz")]);
    }
}

const ALL: [&str; 5] = ["flair", "t1", "t1ce", "t2", "seg"];

#[test]
fn every_layout_says_where_and_how() {
    for layout in LAYOUTS {
        assert!(!layout.doc.is_empty() && !layout.expects.is_empty() && !layout.obtain.is_empty());
        assert_eq!(find(layout.name).unwrap().name, layout.name);
        let options = pairs_options();
        let options = if layout.name == "pairs" {
            options
        } else {
            LayoutOptions::default()
        };
        let error = layout
            .scan(Path::new("/no/such/folder"), &options)
            .unwrap_err();
        assert!(matches!(error, LayoutError::MissingRoot { .. }));
        let text = error.to_string();
        for part in [
            "/no/such/folder",
            layout.name,
            layout.expects,
            layout.obtain,
        ] {
            assert!(text.contains(part), "{text}");
        }
        let empty = tempfile::tempdir().unwrap();
        let error = layout.scan(empty.path(), &options).unwrap_err();
        assert!(
            matches!(error, LayoutError::NotThisLayout { .. }),
            "{error}"
        );
    }
    let error = find("brats2019").unwrap_err().to_string();
    assert!(error.contains("brats2018"), "{error}");
}

#[test]
fn brats_cases_with_strata_regions_and_plain_nii() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    brats_case(root, "LGG", "Brats18_A_1", &ALL);
    brats_case(root, "HGG", "Brats18_B_1", &ALL);
    touch(
        root,
        &[
            "HGG/survival_data.csv",
            "HGG/.DS_Store",
            "HGG/Brats18_B_1/._x_seg.nii.gz",
        ],
    );
    touch(root, &["HGG/Brats18_B_1/Brats18_B_1_t1.nii"]);
    std::fs::remove_file(root.join("HGG/Brats18_B_1/Brats18_B_1_t1.nii.gz")).unwrap();
    let found = scan("brats2018", root, &LayoutOptions::default());
    assert_eq!(found.problems, []);
    assert_eq!(ids(&found.index), ["Brats18_A_1", "Brats18_B_1"]);
    let case = &found.index.cases[1];
    assert_eq!(case.stratum, "HGG");
    assert_eq!(case.images["T1"].path, "HGG/Brats18_B_1/Brats18_B_1_t1.nii");
    assert_eq!(
        case.images["T1CE"].path,
        "HGG/Brats18_B_1/Brats18_B_1_t1ce.nii.gz"
    );
    assert_eq!(case.images["T1CE"].kind, ModalityKind::Mr);
    assert_eq!(
        case.label.as_deref(),
        Some("HGG/Brats18_B_1/Brats18_B_1_seg.nii.gz")
    );
    let regions: Vec<(&str, &[u8])> = found
        .index
        .regions
        .iter()
        .map(|region| (region.name.as_str(), region.labels.as_slice()))
        .collect();
    assert_eq!(
        regions,
        [("WT", &[1, 2, 4][..]), ("TC", &[1, 4]), ("ET", &[4])]
    );
    assert_eq!(found.index.label_values, [0, 1, 2, 4]);
}

#[test]
fn brats_in_its_container_folder() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("MICCAI_BraTS_2018_Data_Training");
    brats_case(&inner, "HGG", "Brats18_B_1", &ALL);
    let found = scan("brats2018", dir.path(), &LayoutOptions::default());
    assert_eq!(ids(&found.index), ["Brats18_B_1"]);
    let path = &found.index.cases[0].images["T2"].path;
    assert!(dir.path().join(path).is_file());
}

#[test]
fn brats_reports_what_is_missing_unpaired_misplaced_and_double() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    brats_case(root, "HGG", "Brats18_OK_1", &ALL);
    brats_case(
        root,
        "HGG",
        "Brats18_NoT2_1",
        &["flair", "t1", "t1ce", "seg"],
    );
    brats_case(
        root,
        "HGG",
        "Brats18_NoSeg_1",
        &["flair", "t1", "t1ce", "t2"],
    );
    brats_case(root, "LGG", "Brats18_OnlySeg_1", &["seg"]);
    brats_case(root, "HGG", "Brats18_Twice_1", &ALL);
    brats_case(root, "LGG", "Brats18_Twice_1", &ALL);
    touch(
        root,
        &[
            "HGG/stray_seg.nii.gz",
            "HGG/Brats18_OK_1/Brats18_Other_1_seg.nii.gz",
            "HGG/Brats18_OK_1/Brats18_OK_1_t1.nii",
            "Brats18_Top_1/Brats18_Top_1_t1.nii.gz",
        ],
    );
    let found = scan("brats2018", root, &LayoutOptions::default());
    assert_eq!(ids(&found.index), ["Brats18_OK_1"]);
    let listed = kinds(&found);
    for expected in [
        ("Brats18_Top_1", ProblemKind::Misplaced),
        ("HGG/stray_seg.nii.gz", ProblemKind::Misplaced),
        (
            "HGG/Brats18_OK_1/Brats18_Other_1_seg.nii.gz",
            ProblemKind::Misplaced,
        ),
        (
            "HGG/Brats18_OK_1/Brats18_OK_1_t1.nii",
            ProblemKind::DuplicateFile,
        ),
        (
            "HGG/Brats18_NoT2_1/Brats18_NoT2_1_t2.nii.gz",
            ProblemKind::MissingImage,
        ),
        (
            "HGG/Brats18_NoSeg_1/Brats18_NoSeg_1_seg.nii.gz",
            ProblemKind::MissingLabel,
        ),
        (
            "LGG/Brats18_OnlySeg_1/Brats18_OnlySeg_1_seg.nii.gz",
            ProblemKind::UnpairedLabel,
        ),
        (
            "HGG/Brats18_Twice_1/Brats18_Twice_1_flair.nii.gz",
            ProblemKind::DuplicateCase,
        ),
        (
            "LGG/Brats18_Twice_1/Brats18_Twice_1_flair.nii.gz",
            ProblemKind::DuplicateCase,
        ),
    ] {
        assert!(
            listed.contains(&expected),
            "{expected:?} not in {listed:#?}"
        );
    }
    // The `.nii.gz` wins over the `.nii` beside it.
    assert!(
        found.index.cases[0].images["T1"]
            .path
            .ends_with("_t1.nii.gz")
    );
}

const BOXES: &str = "PatientID,x1,x2,y1,y2,z1,z2\nCHUM001,-70.5,73.5,-1,143,10,154\n\
                     CHGJ002,0,144,0,144,0,144\n";

fn hecktor_case(root: &Path, below: &str, id: &str, suffixes: &[&str]) {
    for suffix in suffixes {
        touch(root, &[&format!("{below}{id}_{suffix}.nii.gz")]);
    }
}

const HECKTOR: [&str; 3] = ["ct", "pt", "ct_gtvt"];

#[test]
fn hecktor_flat_nested_and_bare_root() {
    for (below, nested) in [
        ("hecktor_nii/", false),
        ("", false),
        ("hecktor_nii/", true),
        ("", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::write(root.join("hecktor2020_bbox_training.csv"), BOXES).unwrap();
        for id in ["CHUM001", "CHGJ002"] {
            let below = if nested {
                format!("{below}{id}/")
            } else {
                below.to_owned()
            };
            hecktor_case(root, &below, id, &HECKTOR);
        }
        let found = scan("hecktor2020", root, &LayoutOptions::default());
        assert_eq!(found.problems, []);
        assert_eq!(ids(&found.index), ["CHGJ002", "CHUM001"]);
        let case = &found.index.cases[1];
        assert_eq!(case.stratum, "CHUM");
        assert_eq!(case.bbox, Some([-70.5, 73.5, -1.0, 143.0, 10.0, 154.0]));
        assert!(case.images["CT"].path.ends_with("CHUM001_ct.nii.gz"));
        assert!(
            case.label
                .as_deref()
                .unwrap()
                .ends_with("CHUM001_ct_gtvt.nii.gz")
        );
        assert_eq!(case.images["CT"].kind, ModalityKind::Ct);
        assert_eq!(case.images["PET"].kind, ModalityKind::Pet);
        assert_eq!(found.index.label_values, [0, 1]);
    }
}

#[test]
fn hecktor_boxes_one_level_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("my_BBox.csv"), BOXES).unwrap();
    hecktor_case(dir.path(), "data/", "CHUM001", &HECKTOR);
    let found = scan(
        "hecktor2020",
        &dir.path().join("data"),
        &LayoutOptions::default(),
    );
    assert_eq!(ids(&found.index), ["CHUM001"]);
}

#[test]
fn hecktor_reports_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    hecktor_case(root, "", "CHUM001", &HECKTOR);
    hecktor_case(root, "", "CHGJ002", &["ct", "ct_gtvt"]);
    hecktor_case(root, "", "CHUS003", &HECKTOR);
    hecktor_case(root, "", "CHUS004", &["ct", "pt"]);
    hecktor_case(root, "", "CHUS005", &["ct_gtvt"]);
    touch(root, &["notes.nii.gz", "CHUM009/CHUM008_ct.nii.gz"]);
    let error = find("hecktor2020")
        .unwrap()
        .scan(root, &LayoutOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("bbox"), "{error}");
    let table = format!("{BOXES}CHUS003,1,x,0,1,0,1\nCHUM001,0,1,0,1,0,1\nCHUS004,5,5,0,1,0,1\n");
    std::fs::write(root.join("bbox.csv"), table).unwrap();
    let found = scan("hecktor2020", root, &LayoutOptions::default());
    assert_eq!(ids(&found.index), ["CHUM001"]);
    assert_eq!(found.index.cases[0].bbox.unwrap()[0], -70.5);
    let listed = kinds(&found);
    for expected in [
        ("CHGJ002_pt.nii.gz", ProblemKind::MissingImage),
        ("CHUS003_ct.nii.gz", ProblemKind::MissingBox),
        ("CHUS004_ct_gtvt.nii.gz", ProblemKind::MissingLabel),
        ("CHUS005_ct_gtvt.nii.gz", ProblemKind::UnpairedLabel),
        ("notes.nii.gz", ProblemKind::Misplaced),
        ("CHUM009/CHUM008_ct.nii.gz", ProblemKind::Misplaced),
        ("bbox.csv", ProblemKind::Metadata),
    ] {
        assert!(
            listed.contains(&expected),
            "{expected:?} not in {listed:#?}"
        );
    }
    assert_eq!(
        listed
            .iter()
            .filter(|(path, _)| *path == "bbox.csv")
            .count(),
        3
    );
}

const MSD_4D: &str = r#"{
  "name": "BRATS", "tensorImageSize": "4D",
  "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
  "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
  "numTraining": 3,
  "training": [
    {"image": "./imagesTr/BRATS_002.nii.gz", "label": "./labelsTr/BRATS_002.nii.gz"},
    {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"},
    {"image": "./imagesTr/BRATS_003.nii.gz", "label": "./labelsTr/BRATS_004.nii.gz"},
    {"image": "../BRATS_005.nii.gz", "label": "./labelsTr/BRATS_005.nii.gz"}
  ],
  "test": ["./imagesTs/BRATS_9.nii.gz"]
}"#;

#[test]
fn msd_4d_channels_labels_and_problems() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::write(root.join("dataset.json"), MSD_4D).unwrap();
    touch(
        root,
        &[
            "imagesTr/BRATS_001.nii.gz",
            "imagesTr/BRATS_002.nii.gz",
            "imagesTr/._BRATS_002.nii.gz",
            "imagesTr/BRATS_003.nii.gz",
            "labelsTr/BRATS_001.nii.gz",
            "labelsTr/BRATS_002.nii.gz",
            "labelsTr/BRATS_077.nii.gz",
        ],
    );
    let found = scan("msd", root, &LayoutOptions::default());
    assert_eq!(ids(&found.index), ["BRATS_001", "BRATS_002"]);
    let case = &found.index.cases[0];
    assert_eq!(case.images["t1gd"].channel, Some(2));
    assert_eq!(case.images["FLAIR"].path, "imagesTr/BRATS_001.nii.gz");
    let names: Vec<&str> = found
        .index
        .regions
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["edema", "non-enhancing tumor", "enhancing tumour"]);
    assert_eq!(found.index.regions[2].labels, [3]);
    assert_eq!(found.index.label_values, [0, 1, 2, 3]);
    assert_eq!(
        kinds(&found),
        [
            ("dataset.json", ProblemKind::Metadata),
            ("labelsTr/BRATS_004.nii.gz", ProblemKind::MissingLabel),
            ("labelsTr/BRATS_004.nii.gz", ProblemKind::Metadata),
            ("labelsTr/BRATS_077.nii.gz", ProblemKind::Misplaced),
        ]
    );
    let merged = LayoutOptions {
        regions: [("WT".to_owned(), vec![1, 2, 3])].into(),
        ..LayoutOptions::default()
    };
    assert_eq!(
        scan("msd", root, &merged).index.regions[0].labels,
        [1, 2, 3]
    );
}

#[test]
fn msd_descriptions_that_are_not_valid() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [
        "{",
        "[]",
        r#"{"modality": {"0": "CT"}, "labels": {"0": "b"}}"#,
        r#"{"modality": {"1": "CT"}, "labels": {"0": "b"}, "training": []}"#,
        r#"{"modality": {}, "labels": {"0": "b"}, "training": []}"#,
        r#"{"modality": {"0": "CT"}, "labels": {"b": "0"}, "training": []}"#,
        r#"{"modality": {"0": "CT"}, "labels": {"300": "b"}, "training": []}"#,
    ] {
        std::fs::write(dir.path().join("dataset.json"), bad).unwrap();
        let error = find("msd")
            .unwrap()
            .scan(dir.path(), &LayoutOptions::default())
            .unwrap_err();
        assert!(
            matches!(error, LayoutError::Metadata { .. }),
            "{bad}: {error}"
        );
        assert!(error.to_string().contains("dataset.json"));
    }
}

fn pairs_options() -> LayoutOptions {
    LayoutOptions {
        images: [
            ("CT".to_owned(), "*/CT_image.nii.gz".to_owned()),
            ("PET".to_owned(), "*/PET_image.nii.gz".to_owned()),
        ]
        .into(),
        labels: "*/CT_mask.nii.gz".to_owned(),
        regions: [("GTV".to_owned(), vec![1])].into(),
        ..LayoutOptions::default()
    }
}

#[test]
fn pairs_by_pattern() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    touch(
        root,
        &[
            "b/CT_image.nii.gz",
            "b/PET_image.nii.gz",
            "b/CT_mask.nii.gz",
        ],
    );
    touch(root, &["a/CT_image.nii.gz", "a/CT_mask.nii.gz"]);
    touch(
        root,
        &[
            "c/CT_mask.nii.gz",
            "d/PET_image.nii.gz",
            "d/CT_image.nii.gz",
        ],
    );
    let found = scan("pairs", root, &pairs_options());
    assert_eq!(ids(&found.index), ["b"]);
    assert_eq!(found.index.cases[0].images["CT"].kind, ModalityKind::Ct);
    assert_eq!(found.index.cases[0].images["PET"].kind, ModalityKind::Pet);
    assert_eq!(found.index.regions[0].name, "GTV");
    assert_eq!(
        kinds(&found),
        [
            ("a/PET_image.nii.gz", ProblemKind::MissingImage),
            ("c/CT_mask.nii.gz", ProblemKind::UnpairedLabel),
            ("d/CT_mask.nii.gz", ProblemKind::MissingLabel),
        ]
    );
}

#[test]
fn pairs_see_the_mask_trap_and_read_strata() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    touch(
        root,
        &[
            "img/p1_ct.nii.gz",
            "img/p1_ct_gtv.nii.gz",
            "img/p2_ct.nii.gz",
        ],
    );
    touch(root, &["img/p2_ct_gtv.nii.gz"]);
    std::fs::write(root.join("strata.csv"), "case,stratum\np1,north\n").unwrap();
    let mut options = LayoutOptions {
        images: [("CT".to_owned(), "img/{case}_ct*.nii.gz".to_owned())].into(),
        labels: "img/{case}_ct_gtv.nii.gz".to_owned(),
        regions: [("GTV".to_owned(), vec![1])].into(),
        strata: "strata.csv".to_owned(),
        ..LayoutOptions::default()
    };
    let found = scan("pairs", root, &options);
    assert!(
        kinds(&found)
            .iter()
            .any(|(_, kind)| *kind == ProblemKind::DuplicateFile)
    );
    options
        .images
        .insert("CT".to_owned(), "img/{case}_ct.nii.gz".to_owned());
    let found = scan("pairs", root, &options);
    assert_eq!(ids(&found.index), ["p1", "p2"]);
    assert_eq!(found.index.cases[0].stratum, "north");
    assert_eq!(kinds(&found), [("strata.csv", ProblemKind::Metadata)]);
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let fits = |layout: &str, options: &LayoutOptions| find(layout).unwrap().check_options(options);
    let pairs = pairs_options();
    assert!(fits("pairs", &pairs).is_ok());
    assert!(
        fits("brats2018", &pairs)
            .unwrap_err()
            .to_string()
            .contains("images")
    );
    let region = |labels: Vec<u8>| LayoutOptions {
        regions: [("X".to_owned(), labels)].into(),
        ..LayoutOptions::default()
    };
    assert!(fits("brats2018", &region(vec![3])).is_ok());
    assert!(fits("brats2018", &region(vec![])).is_err());
    assert!(fits("brats2018", &region(vec![0, 1])).is_err());
    let kinds = LayoutOptions {
        kinds: [("T7".to_owned(), ModalityKind::Mr)].into(),
        ..LayoutOptions::default()
    };
    assert!(
        fits("brats2018", &kinds)
            .unwrap_err()
            .to_string()
            .contains("T1CE")
    );
    assert!(fits("msd", &kinds).is_ok());
    assert!(fits("pairs", &LayoutOptions::default()).is_err());
}

#[test]
fn real_data_scans_clean() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !shared.is_dir() {
        eprintln!("skipped: no folder {}", shared.display());
        return;
    }
    let found = scan(
        "msd",
        &shared.join("msd-hippocampus"),
        &LayoutOptions::default(),
    );
    assert_eq!(found.problems, []);
    assert_eq!(found.index.cases.len(), 170);
    assert_eq!(found.index.cases[0].images["MRI"].channel, None);
    let names: Vec<&str> = found
        .index
        .regions
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    assert_eq!(names, ["Anterior", "Posterior"]);
    let root = shared.join("sts-petct");
    let found = scan("pairs", &root, &pairs_options());
    // Some copies hold empty files: their cases are reported, and nothing else is.
    for problem in &found.problems {
        let size = std::fs::metadata(root.join(&problem.path)).unwrap().len();
        assert_eq!(size, 0, "{problem}");
    }
    let broken: std::collections::BTreeSet<_> = found
        .problems
        .iter()
        .filter_map(|p| p.path.split('/').next())
        .collect();
    assert_eq!(found.index.cases.len() + broken.len(), 8);
}

#[test]
fn empty_files_and_dead_links_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    brats_case(root, "HGG", "Brats18_A_1", &ALL);
    brats_case(root, "HGG", "Brats18_B_1", &ALL);
    let file = |id: &str, suffix: &str| format!("HGG/{id}/{id}_{suffix}.nii.gz");
    let empty = file("Brats18_A_1", "t2");
    std::fs::write(root.join(&empty), "").unwrap();
    let dead = file("Brats18_B_1", "seg");
    std::fs::remove_file(root.join(&dead)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/no/such/file", root.join(&dead)).unwrap();
    let found = scan("brats2018", root, &LayoutOptions::default());
    assert_eq!(ids(&found.index), [""; 0]);
    let listed = kinds(&found);
    assert!(
        listed.contains(&(&empty, ProblemKind::Unreadable)),
        "{listed:?}"
    );
    assert!(
        listed.contains(&(&empty, ProblemKind::MissingImage)),
        "{listed:?}"
    );
    #[cfg(unix)]
    assert!(
        listed.contains(&(&dead, ProblemKind::Unreadable)),
        "{listed:?}"
    );
    assert!(
        listed.contains(&(&dead, ProblemKind::MissingLabel)),
        "{listed:?}"
    );
}
