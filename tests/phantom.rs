//! Phantoms: official layout and geometry, repeatable bytes, and a clean check; and what a check
//! says when files are broken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use amlp_run::data::check::{CheckReport, check_data};
use amlp_run::data::layout::{ProblemKind, find};
use amlp_run::data::phantom::{PhantomError, PhantomReport, write_phantoms};
use amlp_run::data::volume::{
    VoxelFormat, read_header, read_labels, read_volume, write_labels, write_volume,
};
use amlp_run::options::{LayoutOptions, PhantomKind, PhantomOptions};

fn options(kind: PhantomKind, cases: usize) -> PhantomOptions {
    PhantomOptions {
        kind,
        cases,
        scale: 0.15,
        seed: 3,
    }
}

fn phantoms(kind: PhantomKind, cases: usize) -> (tempfile::TempDir, PathBuf, PhantomReport) {
    phantoms_at(kind, cases, 0.15)
}

fn phantoms_at(
    kind: PhantomKind,
    cases: usize,
    scale: f64,
) -> (tempfile::TempDir, PathBuf, PhantomReport) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let options = PhantomOptions {
        scale,
        ..options(kind, cases)
    };
    let report = write_phantoms(&options, &root).unwrap();
    (dir, root, report)
}

fn check(layout: &str, root: &Path, options: &LayoutOptions) -> CheckReport {
    check_data(find(layout).unwrap(), root, options, &|_| {}).unwrap()
}

/// Every file below `root` with its bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(root).unwrap().to_path_buf();
                all.insert(below, std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn brats_phantoms_scan_and_check_clean() {
    let (_dir, root, report) = phantoms(PhantomKind::Brats2018, 24);
    let found = check("brats2018", &root, &LayoutOptions::default());
    assert_eq!(found.problems, []);
    assert_eq!(found.cases, 24);
    // 75 of 285 are of low grade.
    assert_eq!(
        found.strata,
        BTreeMap::from([("HGG".to_owned(), 18), ("LGG".to_owned(), 6)])
    );
    // Two of 24 have no lesion; enhancing tumour is rarer than the others.
    assert_eq!(found.without_lesion.len(), 2);
    assert_eq!(found.label_values[&0], 24);
    assert_eq!(found.label_values[&2], 22);
    assert!(found.label_values[&4] < 22 && found.label_values[&4] >= 16);
    let counts: BTreeSet<usize> = report.cases.iter().map(|case| case.lesions).collect();
    assert_eq!(counts, BTreeSet::from([0, 1, 2, 3]));
    let share: f64 = report
        .cases
        .iter()
        .map(|case| case.slices[0] as f64 / case.slices[1] as f64)
        .sum::<f64>()
        / 24.0;
    assert!(
        (0.2..0.6).contains(&share),
        "lesions in {share} of the slices"
    );
}

#[test]
fn brats_phantoms_have_the_official_geometry() {
    let (_dir, root, report) = phantoms_at(PhantomKind::Brats2018, 1, 0.25);
    let id = &report.cases[0].id;
    let folder = root.join("HGG").join(id);
    let mut contrasts = Vec::new();
    let labels = read_labels(&folder.join(format!("{id}_seg.nii.gz"))).unwrap();
    for suffix in ["flair", "t1", "t1ce", "t2"] {
        let path = folder.join(format!("{id}_{suffix}.nii.gz"));
        let header = read_header(&path).unwrap();
        assert_eq!(header.grid(), [60, 60, 39]);
        assert_eq!(header.spacing, [1.0; 3]);
        assert_eq!(header.affine[0], [-1.0, 0.0, 0.0, 0.0]);
        assert_eq!(header.affine[1], [0.0, -1.0, 0.0, 59.0]);
        assert_eq!(header.affine[2], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(serde_json::to_value(header.dtype).unwrap(), "int16");
        assert!(header.warnings.is_empty());
        contrasts.push(read_volume(&path, None).unwrap().data);
    }
    let background = contrasts[0].iter().filter(|&&v| v == 0.0).count();
    let share = background as f64 / contrasts[0].len() as f64;
    assert!(
        (0.6..0.9).contains(&share),
        "{share} of the voxels are background"
    );
    for (i, a) in contrasts.iter().enumerate() {
        // One skull: the background is the same, the rest is not.
        assert!(
            a.iter()
                .zip(&contrasts[0])
                .all(|(&a, &b)| (a == 0.0) == (b == 0.0))
        );
        for b in &contrasts[i + 1..] {
            let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
            assert!(differ * 10 > a.len());
        }
    }
    // Mean of the lesion over the mean of the healthy brain: FLAIR shows it, T1 hardly.
    let contrast = |data: &[f32], wanted: &[u8]| {
        let mean = |inside: bool| {
            let values: Vec<f64> = data
                .iter()
                .zip(&labels.data)
                .filter(|&(&v, &l)| v != 0.0 && wanted.contains(&l) == inside)
                .map(|(&v, _)| f64::from(v))
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        mean(true) / mean(false)
    };
    let [flair, t1, t1ce, t2] = [0, 1, 2, 3].map(|i| contrast(&contrasts[i], &[1, 2, 4]));
    assert!(
        flair > 1.3 && t2 > 1.1 && (0.85..1.15).contains(&t1),
        "{flair} {t1} {t2}"
    );
    let ring = contrast(&contrasts[2], &[4]);
    assert!(ring > t1ce && ring > 1.3, "{ring} {t1ce}");
}

#[test]
fn hecktor_phantoms_scan_and_check_clean() {
    let (_dir, root, report) = phantoms(PhantomKind::Hecktor2020, 16);
    let found = check("hecktor2020", &root, &LayoutOptions::default());
    assert_eq!(found.problems, []);
    assert_eq!(found.cases, 16);
    assert_eq!(found.strata.len(), 4);
    assert!(!found.without_lesion.is_empty() && found.without_lesion.len() < 4);
    let lesions: BTreeSet<usize> = report.cases.iter().map(|case| case.lesions).collect();
    assert!(lesions.len() >= 3, "{lesions:?}");
}

#[test]
fn hecktor_phantoms_have_the_official_geometry() {
    let (_dir, root, _) = phantoms_at(PhantomKind::Hecktor2020, 2, 0.25);
    let scan = find("hecktor2020")
        .unwrap()
        .scan(&root, &LayoutOptions::default())
        .unwrap();
    for case in &scan.index.cases {
        let path = |modality: &str| root.join(&case.images[modality].path);
        let (ct, pet) = (
            read_header(&path("CT")).unwrap(),
            read_header(&path("PET")).unwrap(),
        );
        assert_eq!(ct.grid(), [128, 128, 25]);
        assert_eq!(pet.grid(), [32, 32, 23]);
        assert_eq!(serde_json::to_value(ct.dtype).unwrap(), "int16");
        assert_eq!(serde_json::to_value(pet.dtype).unwrap(), "float32");
        assert!((ct.spacing[0] - 0.976_562_5).abs() < 1e-6 && ct.spacing[2] == 3.0);
        assert!(pet.spacing[0] > 4.0);
        let b = case.bbox.unwrap();
        assert_eq!([b[1] - b[0], b[3] - b[2], b[5] - b[4]], [36.0; 3]);
        let mask = read_header(&root.join(case.label.as_ref().unwrap())).unwrap();
        assert_eq!((mask.grid(), mask.affine), (ct.grid(), ct.affine));
    }
}

#[test]
fn hecktor_tumours_are_bright_on_pet_and_faint_on_ct() {
    let (_dir, root, _) = phantoms_at(PhantomKind::Hecktor2020, 4, 0.25);
    let scan = find("hecktor2020")
        .unwrap()
        .scan(&root, &LayoutOptions::default())
        .unwrap();
    let mut seen = 0;
    for case in &scan.index.cases {
        let mask = read_labels(&root.join(case.label.as_ref().unwrap())).unwrap();
        let inside: Vec<usize> = (0..mask.data.len()).filter(|&i| mask.data[i] > 0).collect();
        if inside.is_empty() {
            continue;
        }
        seen += 1;
        let ct = read_volume(&root.join(&case.images["CT"].path), None).unwrap();
        let hu = inside.iter().map(|&i| f64::from(ct.data[i])).sum::<f64>() / inside.len() as f64;
        assert!((20.0..110.0).contains(&hu), "{hu} HU is far from muscle");
        // Uptake at the tumour's centroid against the median of the body.
        let pet = read_volume(&root.join(&case.images["PET"].path), None).unwrap();
        let mut sum = [0.0; 3];
        for &i in &inside {
            let [nx, ny, _] = mask.shape;
            let at = [i % nx, i / nx % ny, i / (nx * ny)];
            let world = amlp_run::data::volume::transform(&mask.affine, at.map(|v| v as f64));
            (0..3).for_each(|a| sum[a] += world[a] / inside.len() as f64);
        }
        let inverse = amlp_run::data::volume::invert(&pet.affine).unwrap();
        let voxel = amlp_run::data::volume::transform(&inverse, sum);
        let [x, y, z] = voxel.map(|v| v.round() as usize);
        let uptake = pet.data[(z * pet.shape[1] + y) * pet.shape[0] + x];
        assert!(uptake > 1.8, "uptake of {uptake}");
    }
    assert!(seen >= 3);
}

#[test]
fn abdominal_phantoms_check_clean_and_have_eleven_organs() {
    let (_dir, root, report) = phantoms_at(PhantomKind::Abd110, 4, 0.25);
    let found = check("abd110", &root, &LayoutOptions::default());
    assert_eq!(found.problems, []);
    assert_eq!(found.cases, 4);
    let scan = find("abd110")
        .unwrap()
        .scan(&root, &LayoutOptions::default())
        .unwrap();
    assert_eq!(scan.index.regions.len(), 11);
    for (case, told) in scan.index.cases.iter().zip(&report.cases) {
        assert_eq!((case.id.as_str(), told.lesions), (told.id.as_str(), 11));
        let ct = read_volume(&root.join(&case.images["CT"].path), None).unwrap();
        let labels = read_labels(&root.join(case.label.as_ref().unwrap())).unwrap();
        assert_eq!(ct.shape, labels.shape);
        let mean = |label: u8| {
            let inside = ct
                .data
                .iter()
                .zip(&labels.data)
                .filter(|(_, l)| **l == label);
            let values: Vec<f32> = inside.map(|(v, _)| *v).collect();
            assert!(values.len() > 10, "organ {label}: {} voxels", values.len());
            values.iter().sum::<f32>() / values.len() as f32
        };
        // Air and fat, gallbladder, liver, kidneys.
        assert!(mean(0) < -200.0 && mean(11) < 40.0);
        assert!((80.0..140.0).contains(&mean(4)) && mean(8) > 140.0 && mean(9) > 140.0);
    }
    // The spinal cord runs through every slice, the liver does not.
    let [with_organs, all] = report.cases[0].slices;
    assert_eq!(with_organs, all);
}

#[test]
fn same_options_same_bytes_and_more_cases_leave_the_first() {
    for kind in [
        PhantomKind::Brats2018,
        PhantomKind::Hecktor2020,
        PhantomKind::Abd110,
    ] {
        let (_a, first, _) = phantoms(kind, 2);
        let (_b, second, _) = phantoms(kind, 2);
        let (_c, more, _) = phantoms(kind, 3);
        let first = files(&first);
        assert_eq!(first, files(&second));
        let more = files(&more);
        for (path, bytes) in first
            .iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with("gz"))
        {
            assert!(more[path] == *bytes, "{}", path.display());
        }
        let dir = tempfile::tempdir().unwrap();
        let other = PhantomOptions {
            seed: 4,
            ..options(kind, 2)
        };
        write_phantoms(&other, dir.path()).unwrap();
        let other = files(dir.path());
        for (path, bytes) in first
            .iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with("gz"))
        {
            assert!(other[path] != *bytes, "{}", path.display());
        }
    }
}

#[test]
fn bad_options_and_full_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [
        PhantomOptions {
            scale: 0.0,
            ..options(PhantomKind::Brats2018, 1)
        },
        PhantomOptions {
            scale: f64::NAN,
            ..options(PhantomKind::Brats2018, 1)
        },
        PhantomOptions {
            scale: 1e9,
            ..options(PhantomKind::Brats2018, 1)
        },
        options(PhantomKind::Hecktor2020, 0),
        options(PhantomKind::Hecktor2020, 1_000_000),
    ];
    for options in wrong {
        let error = write_phantoms(&options, dir.path()).unwrap_err();
        assert!(matches!(error, PhantomError::Option { .. }), "{error}");
    }
    std::fs::write(dir.path().join("mine"), "").unwrap();
    let error = write_phantoms(&options(PhantomKind::Brats2018, 1), dir.path()).unwrap_err();
    assert!(matches!(error, PhantomError::NotEmpty(_)), "{error}");
}

/// Kinds of the problems of one file.
fn kinds(report: &CheckReport, ends_with: &str) -> Vec<ProblemKind> {
    let of_file = report
        .problems
        .iter()
        .filter(|p| p.path.ends_with(ends_with));
    of_file.map(|problem| problem.kind).collect()
}

#[test]
fn a_check_names_what_is_broken_in_brats() {
    let (_dir, root, report) = phantoms(PhantomKind::Brats2018, 8);
    let file = |number: usize, suffix: &str| {
        let case = &report.cases[number];
        let name = format!("{}_{suffix}.nii.gz", case.id);
        root.join(&case.stratum).join(&case.id).join(name)
    };
    let with_lesion: Vec<usize> = (0..8).filter(|&i| report.cases[i].lesions > 0).collect();
    let [cut, moved, foreign, corner, flat, other, ..] = with_lesion[..] else {
        panic!("too few cases with a lesion");
    };
    // Cut short.
    let path = file(cut, "t1");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    // A label whose header lost its place.
    let path = file(moved, "seg");
    let mut header = read_header(&path).unwrap();
    let labels = read_labels(&path).unwrap();
    header.affine[2][3] += 400.0;
    header.carried.qform_code = 0;
    write_labels(&path, &labels, &header).unwrap();
    // A label file of another task.
    let path = file(foreign, "seg");
    let header = read_header(&path).unwrap();
    let mut labels = read_labels(&path).unwrap();
    labels.data[0] = 3;
    write_labels(&path, &labels, &header).unwrap();
    // A lesion in the corner, on the background.
    let path = file(corner, "seg");
    let header = read_header(&path).unwrap();
    let mut labels = read_labels(&path).unwrap();
    labels.data.fill(0);
    labels.data[..3].fill(2);
    write_labels(&path, &labels, &header).unwrap();
    // An image without content.
    let path = file(flat, "t2");
    let header = read_header(&path).unwrap();
    let mut image = read_volume(&path, None).unwrap();
    image.data.fill(7.0);
    write_volume(&path, &image, VoxelFormat::Int16, &header).unwrap();
    // An image that lies one voxel off the others.
    let path = file(other, "t2");
    let mut header = read_header(&path).unwrap();
    let image = read_volume(&path, None).unwrap();
    header.affine[0][3] += 1.0;
    header.carried.qform_code = 0;
    write_volume(&path, &image, VoxelFormat::Int16, &header).unwrap();

    let found = check("brats2018", &root, &LayoutOptions::default());
    let of = |number: usize, suffix: &str| {
        kinds(
            &found,
            &format!("{}_{suffix}.nii.gz", report.cases[number].id),
        )
    };
    assert_eq!(of(cut, "t1"), [ProblemKind::Unreadable]);
    let moved = of(moved, "seg");
    assert!(moved.contains(&ProblemKind::Grid) && moved.contains(&ProblemKind::Centroid));
    assert_eq!(of(foreign, "seg"), [ProblemKind::LabelValues]);
    assert!(of(corner, "seg").contains(&ProblemKind::Centroid));
    assert_eq!(of(flat, "t2"), [ProblemKind::Voxels]);
    assert_eq!(of(other, "t2"), [ProblemKind::Grid]);
    assert_eq!((found.cases, found.warnings()), (8, 1));
    assert!(found.errors() >= 6);
    // A region over the foreign value makes it part of the task.
    let wider = LayoutOptions {
        regions: [("WT".to_owned(), vec![1, 2, 3, 4])].into(),
        ..LayoutOptions::default()
    };
    let found = check("brats2018", &root, &wider);
    assert!(
        !found
            .problems
            .iter()
            .any(|p| p.kind == ProblemKind::LabelValues)
    );
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<CheckReport>(&json).unwrap(), found);
}

#[test]
fn a_check_names_what_is_broken_in_hecktor() {
    let (_dir, root, report) = phantoms(PhantomKind::Hecktor2020, 4);
    let table = root.join("hecktor2020_bbox_training.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    let id = &report.cases[0].id;
    assert!(report.cases[0].lesions > 0);
    // The box of the first case goes far away, that of the second is lost.
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with(&report.cases[1].id))
        .map(|line| {
            if line.starts_with(id) {
                format!("{id},900,936,900,936,900,936")
            } else {
                line.to_owned()
            }
        })
        .collect();
    std::fs::write(&table, lines.join("\n")).unwrap();
    let found = check("hecktor2020", &root, &LayoutOptions::default());
    assert_eq!(
        kinds(&found, &format!("{id}_ct.nii.gz")),
        [ProblemKind::Grid]
    );
    assert_eq!(
        kinds(&found, &format!("{id}_pt.nii.gz")),
        [ProblemKind::Grid]
    );
    assert_eq!(
        kinds(&found, &format!("{id}_ct_gtvt.nii.gz")),
        [ProblemKind::Centroid]
    );
    let lost = format!("{}_ct.nii.gz", report.cases[1].id);
    assert_eq!(kinds(&found, &lost), [ProblemKind::MissingBox]);
    assert_eq!(found.cases, 3);
}

#[test]
fn real_data_checks_clean() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !shared.is_dir() {
        eprintln!("skipped: no folder {}", shared.display());
        return;
    }
    let found = check(
        "msd",
        &shared.join("msd-hippocampus"),
        &LayoutOptions::default(),
    );
    assert_eq!(
        (found.errors(), found.cases),
        (0, 170),
        "{:#?}",
        found.problems
    );
    assert_eq!(
        found.label_values,
        BTreeMap::from([(0, 170), (1, 170), (2, 170)])
    );
    let pairs = LayoutOptions {
        images: [("CT", "*/CT_image.nii.gz"), ("PET", "*/PET_image.nii.gz")]
            .map(|(modality, pattern)| (modality.to_owned(), pattern.to_owned()))
            .into(),
        labels: "*/CT_mask.nii.gz".to_owned(),
        regions: [("GTV".to_owned(), vec![1])].into(),
        ..LayoutOptions::default()
    };
    let root = shared.join("sts-petct");
    let found = check("pairs", &root, &pairs);
    assert!(found.cases >= 6, "{:#?}", found.problems);
    // Some copies hold empty files; nothing else is wrong.
    for problem in &found.problems {
        let size = std::fs::metadata(root.join(&problem.path)).unwrap().len();
        assert_eq!(size, 0, "{problem}");
    }
}
