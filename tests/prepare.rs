//! Preparation from files to slices and back, on volumes that the tests write themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use amlp_run::data::case::{Case, ImageFile, ModalityKind, Region};
use amlp_run::data::images::Images;
use amlp_run::data::prepare::{
    Preparation, PreparedCase, Scratch, SliceSet, prepare_case, to_source_grid,
};
use amlp_run::data::volume::{
    Affine, Header, IDENTITY, LabelVolume, Volume, VoxelFormat, axis_codes, read_header,
    read_labels, transform, write_labels, write_volume,
};
use amlp_run::options::{CropMode, Interpolation, Precision, PrepareOptions, SliceUse};
use amlp_run::random::{Purpose, Stream};

fn image(
    dir: &Path,
    name: &str,
    shape: [usize; 3],
    affine: Affine,
    value: impl Fn([usize; 3]) -> f32,
) {
    let volume = Volume {
        data: indices(shape).map(value).collect(),
        shape,
        affine,
    };
    let like = Header::of_grid(shape, affine);
    write_volume(&dir.join(name), &volume, VoxelFormat::Float32, &like).expect("image");
}

fn label(
    dir: &Path,
    name: &str,
    shape: [usize; 3],
    affine: Affine,
    value: impl Fn([usize; 3]) -> u8,
) {
    let volume = LabelVolume {
        data: indices(shape).map(value).collect(),
        shape,
        affine,
    };
    let like = Header::of_grid(shape, affine);
    write_labels(&dir.join(name), &volume, &like).expect("label");
}

fn indices(shape: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [nx, ny, nz] = shape;
    (0..nx * ny * nz).map(move |i| [i % nx, i / nx % ny, i / (nx * ny)])
}

fn lps(size: [f64; 3], origin: [f64; 3]) -> Affine {
    let mut affine = IDENTITY;
    for i in 0..3 {
        let sign = if i < 2 { -1.0 } else { 1.0 };
        affine[i][i] = sign * size[i];
        affine[i][3] = sign * origin[i];
    }
    affine
}

fn case(images: &[(&str, &str, ModalityKind)], label: Option<&str>) -> Case {
    Case {
        id: "P01".into(),
        stratum: "HGG".into(),
        images: images
            .iter()
            .map(|&(name, path, kind)| {
                let file = ImageFile {
                    path: path.into(),
                    channel: None,
                    kind,
                };
                (name.to_string(), file)
            })
            .collect::<BTreeMap<_, _>>(),
        label: label.map(String::from),
        bbox: None,
    }
}

fn regions() -> Vec<Region> {
    let region = |name: &str, labels: &[u8]| Region {
        name: name.into(),
        labels: labels.to_vec(),
    };
    vec![region("ET", &[4]), region("WT", &[1, 2, 4])]
}

/// No step but the grid: values arrive as they are.
fn plain(size: [usize; 2]) -> PrepareOptions {
    let mut options = PrepareOptions::default();
    options.clip.enabled = false;
    options.zscore.enabled = false;
    options.crop.size = size;
    options
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_string()).collect()
}

fn plane(case: &PreparedCase, channel: usize, z: usize) -> Vec<f32> {
    let [_, _, h, w] = case.shape();
    let mut out = vec![f32::NAN; h * w];
    assert!(case.image(channel, z, &mut out));
    out
}

#[test]
fn a_case_of_two_modalities_with_crop_and_labels() {
    let dir = tempfile::tempdir().expect("folder");
    let shape = [6, 5, 3];
    let affine = lps([1.0; 3], [10.0, 20.0, 30.0]);
    let code = |[x, y, z]: [usize; 3]| (100 * z + 10 * y + x) as f32;
    image(dir.path(), "t1.nii.gz", shape, affine, code);
    image(dir.path(), "t2.nii", shape, affine, |p| -code(p));
    // Label 4 in a corner that the crop cuts, label 2 in the middle of slice 1.
    label(dir.path(), "seg.nii.gz", shape, affine, |p| match p {
        [0, 0, 1] => 4,
        [2, 2, 1] | [3, 2, 1] => 2,
        _ => 0,
    });
    let source = case(
        &[
            ("t1", "t1.nii.gz", ModalityKind::Mr),
            ("t2", "t2.nii", ModalityKind::Mr),
        ],
        Some("seg.nii.gz"),
    );
    let out = dir.path().join("P01.safetensors");
    let summary = prepare_case(
        dir.path(),
        &source,
        &names(&["t2", "t1"]),
        &regions(),
        &[0, 1, 2, 4],
        &plain([3, 8]),
        &out,
    )
    .expect("prepared");
    assert_eq!(summary.shape, [2, 3, 3, 8]);
    assert_eq!(summary.grid, [3, 5, 6]);
    assert_eq!(summary.lesion, [0, 2, 0]);
    assert_eq!((summary.lesion_total, summary.lesion_lost), (3, 1));
    // Rows 1 to 3 of 5, all 6 columns with one of padding on either side; one voxel is 0 in slice 0:
    // [0, 0, 0] lies outside of the window.
    assert_eq!(summary.nonzero, [18.0 / 24.0; 3]);
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);

    let prepared = PreparedCase::open(&out).expect("open");
    assert_eq!(prepared.meta().modalities, ["t2", "t1"]);
    assert_eq!(prepared.meta().window.offset, [1, -1]);
    assert_eq!(prepared.meta().label_values, [2, 4]);
    assert_eq!(prepared.meta().label_totals, [2, 1]);
    for z in 0..3 {
        let values = plane(&prepared, 1, z);
        for (i, &v) in values.iter().enumerate() {
            let (y, x) = (i / 8 + 1, (i % 8) as i64 - 1);
            let expected = if (0..6).contains(&x) {
                code([x as usize, y, z])
            } else {
                0.0
            };
            assert_eq!(v, expected);
        }
        let negative: Vec<f32> = values.iter().map(|v| -v).collect();
        assert_eq!(plane(&prepared, 0, z), negative);
    }
    assert!(!prepared.image(2, 0, &mut [0.0; 24]));
    assert!(!prepared.image(0, 3, &mut [0.0; 24]));
    assert!(!prepared.image(0, 0, &mut [0.0; 23]));
    assert_eq!(prepared.label_pixels(1, |v| v == 2), 2);
    assert_eq!(prepared.label_pixels(1, |v| v == 4), 0);
    let whole = read_labels(&dir.path().join("seg.nii.gz")).expect("labels");
    assert_eq!(prepared.full_label().expect("label"), whole.data);

    // Back to the source: all but what the crop cut.
    let mask: Vec<u8> = (0..3)
        .flat_map(|z| prepared.label(z).expect("label").to_vec())
        .collect();
    let header = read_header(&dir.path().join("t1.nii.gz")).expect("header");
    let back = to_source_grid(&mask, prepared.meta(), &header).expect("back");
    let mut expected = whole.data.clone();
    expected[30] = 0;
    assert_eq!(back.data, expected);
    assert_eq!(back.shape, shape);
    assert!(to_source_grid(&mask[1..], prepared.meta(), &header).is_err());

    // Equal input, equal bytes.
    let again = dir.path().join("again.safetensors");
    prepare_case(
        dir.path(),
        &source,
        &names(&["t2", "t1"]),
        &regions(),
        &[],
        &plain([3, 8]),
        &again,
    )
    .expect("prepared");
    assert_eq!(
        fs::read(&out).expect("read"),
        fs::read(&again).expect("read")
    );
}

#[test]
fn every_axis_order_prepares_to_the_same_slices() {
    let dir = tempfile::tempdir().expect("folder");
    // One world, stored in 48 ways; the value says where a voxel lies.
    let world = |p: [f64; 3]| (p[0] + 10.0 * p[1] + 100.0 * p[2]) as f32;
    let mut reference: Option<Vec<Vec<f32>>> = None;
    let permutations = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (n, permutation) in permutations.into_iter().enumerate() {
        for flips in 0..8_usize {
            let extent = [4, 5, 3];
            let mut affine = IDENTITY;
            let mut shape = [0; 3];
            for (c, &w) in permutation.iter().enumerate() {
                shape[c] = extent[w];
                let flip = flips >> c & 1 == 1;
                for row in affine.iter_mut().take(3) {
                    row[c] = 0.0;
                }
                affine[w][c] = if flip { -1.0 } else { 1.0 };
                affine[w][3] = if flip { extent[w] as f64 - 1.0 } else { 0.0 };
            }
            let name = format!("v{n}{flips}.nii");
            image(dir.path(), &name, shape, affine, |p| {
                world(transform(&affine, p.map(|i| i as f64)))
            });
            let out = dir.path().join("out.safetensors");
            let source = case(&[("t1", &name, ModalityKind::Mr)], None);
            let summary = prepare_case(
                dir.path(),
                &source,
                &names(&["t1"]),
                &[],
                &[],
                &plain([0, 0]),
                &out,
            )
            .expect("prepared");
            assert_eq!(summary.shape, [1, 3, 5, 4]);
            let prepared = PreparedCase::open(&out).expect("open");
            let affine = prepared.meta().grid.affine;
            assert_eq!(axis_codes(&affine).as_deref(), Some("LPS"));
            assert!(prepared.label(0).is_none() && prepared.full_label().is_none());
            let planes: Vec<Vec<f32>> = (0..3).map(|z| plane(&prepared, 0, z)).collect();
            // First pixel: the rightmost column (RAS x = 3), the front (y = 4), the lowest slice.
            assert_eq!(planes[0][0], world([3.0, 4.0, 0.0]));
            assert_eq!(planes[2][1], world([2.0, 4.0, 2.0]));
            assert_eq!(planes[2][4], world([3.0, 3.0, 2.0]));
            assert_eq!(*reference.get_or_insert(planes.clone()), planes);
        }
    }
}

#[test]
fn own_grid_is_resampled_with_its_first_voxel_fixed() {
    let dir = tempfile::tempdir().expect("folder");
    // 2 mm to 1 mm along x of a RAS file: sources 0, .5, 1, 1.5, ... of the file's own order.
    let mut affine = IDENTITY;
    affine[0][0] = 2.0;
    image(dir.path(), "a.nii", [3, 1, 1], affine, |[x, _, _]| x as f32);
    let source = case(&[("t1", "a.nii", ModalityKind::Mr)], None);
    let out = dir.path().join("out.safetensors");
    let run = |kernel| {
        let mut options = plain([0, 0]);
        options.resample.image = kernel;
        prepare_case(
            dir.path(),
            &source,
            &names(&["t1"]),
            &[],
            &[],
            &options,
            &out,
        )
        .expect("prepared");
        let mut row = plane(&PreparedCase::open(&out).expect("open"), 0, 0);
        // From LPS back to the order of the file.
        row.reverse();
        row
    };
    // floor(src + 1/2), clamped to the last voxel.
    assert_eq!(run(Interpolation::Nearest), [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(run(Interpolation::Linear), [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]);
}

#[test]
fn ct_and_pet_of_different_grids_meet_in_the_world() {
    let dir = tempfile::tempdir().expect("folder");
    let ct = lps([1.0, 1.0, 3.0], [-20.0, -30.0, 100.0]);
    let pet = lps([4.0, 4.0, 3.0], [-21.5, -28.5, 97.0]);
    let place = |affine: Affine| {
        move |p: [usize; 3]| {
            let w = transform(&affine, p.map(|i| i as f64));
            (w[0] + 2.0 * w[1] + 3.0 * w[2]) as f32
        }
    };
    image(dir.path(), "ct.nii.gz", [20, 24, 6], ct, place(ct));
    image(dir.path(), "pt.nii.gz", [7, 7, 8], pet, place(pet));
    label(dir.path(), "gtv.nii.gz", [20, 24, 6], ct, |[x, y, z]| {
        u8::from((5..9).contains(&x) && (6..12).contains(&y) && z == 2)
    });
    let mut source = case(
        &[
            ("ct", "ct.nii.gz", ModalityKind::Ct),
            ("pet", "pt.nii.gz", ModalityKind::Pet),
        ],
        Some("gtv.nii.gz"),
    );
    let modalities = names(&["ct", "pet"]);
    let out = dir.path().join("out.safetensors");
    let mut options = plain([0, 0]);
    options.resample.image = Interpolation::Linear;
    let run = |source: &Case, options: &PrepareOptions| {
        let summary = prepare_case(dir.path(), source, &modalities, &[], &[0, 1], options, &out)
            .expect("prepared");
        (summary, PreparedCase::open(&out).expect("open"))
    };

    // The label's grid decides, at 1 mm.
    let (summary, prepared) = run(&source, &options);
    assert_eq!(summary.shape, [2, 18, 24, 20]);
    // Slices 5 to 7 of 1 mm are nearest to slice 2 of 3 mm, by floor(z / 3 + 1/2).
    let lesion: Vec<usize> = (0..18).filter(|&z| summary.lesion[z] > 0).collect();
    assert_eq!(lesion, [5, 6, 7]);
    assert_eq!((summary.lesion_total, summary.lesion_lost), (72, 0));
    let affine = prepared.meta().grid.affine;
    let mut both = 0;
    for z in 0..15 {
        let (c, p) = (plane(&prepared, 0, z), plane(&prepared, 1, z));
        for (i, (&c, &p)) in c.iter().zip(&p).enumerate() {
            let at = [(i % 20) as f64, (i / 20) as f64, z as f64];
            let w = transform(&affine, at);
            let expected = (w[0] + 2.0 * w[1] + 3.0 * w[2]) as f32;
            assert!((c - expected).abs() < 1e-2, "{c} {expected}");
            // PET is 0 outside of its volume, and flat within half a voxel of its faces.
            if p != 0.0 && (p - expected).abs() < 1e-2 {
                both += 1;
            }
        }
    }
    assert!(both > 4000, "{both}");

    // The way back onto the CT's own grid restores the label there.
    let mask: Vec<u8> = (0..18)
        .flat_map(|z| prepared.label(z).expect("label").to_vec())
        .collect();
    let header = read_header(&dir.path().join("ct.nii.gz")).expect("header");
    let back = to_source_grid(&mask, prepared.meta(), &header).expect("back");
    assert_eq!(
        back,
        read_labels(&dir.path().join("gtv.nii.gz")).expect("label")
    );

    // A bounding box in LPS mm decides over everything; beyond the volumes air and 0.
    source.bbox = Some([-24.0, -14.0, -30.0, -22.0, 100.0, 104.0]);
    let (summary, prepared) = run(&source, &options);
    assert_eq!(summary.shape, [2, 4, 8, 10]);
    let first = transform(&prepared.meta().grid.affine, [0.0; 3]);
    assert_eq!(first, [24.0, 30.0, 100.0]);
    let row = plane(&prepared, 0, 0);
    // x = -24 to -21 lie outside of the CT, which starts at -20 with its face at -20.5.
    assert_eq!(row[..4], [-1024.0; 4]);
    assert!(row[4] > -1024.0);
    assert_eq!(prepared.meta().base, None);

    source.bbox = None;
    options.resample.intersect = true;
    let (summary, prepared) = run(&source, &options);
    // Only the last slice, at 117 mm, lies beyond a face: that of the CT, at 116.5.
    assert_eq!(summary.shape, [2, 17, 24, 20]);
    assert_eq!(
        transform(&prepared.meta().grid.affine, [0.0; 3]),
        [20.0, 30.0, 100.0]
    );
}

#[test]
fn normalised_slices_have_zero_background() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    let head = |[x, y, _]: [usize; 3]| (3..17).contains(&x) && (2..18).contains(&y);
    let noise = |[x, y, z]: [usize; 3]| {
        Stream::new(Purpose::Phantom, &[x as u64, y as u64, z as u64]).range(50.0, 400.0) as f32
    };
    image(dir.path(), "mr.nii.gz", [20, 20, 4], affine, |p| {
        if head(p) { noise(p) } else { 0.0 }
    });
    let source = case(&[("t1", "mr.nii.gz", ModalityKind::Mr)], None);
    let out = dir.path().join("out.safetensors");
    for precision in [Precision::F32, Precision::F16] {
        let mut options = PrepareOptions {
            precision,
            ..PrepareOptions::default()
        };
        options.crop.size = [24, 16];
        let summary = prepare_case(
            dir.path(),
            &source,
            &names(&["t1"]),
            &[],
            &[],
            &options,
            &out,
        )
        .expect("prepared");
        let prepared = PreparedCase::open(&out).expect("open");
        assert_eq!(prepared.shape(), [1, 4, 24, 16]);
        let share = (14.0 * 16.0) / (24.0 * 16.0);
        assert!(summary.nonzero.iter().all(|&s| (s - share).abs() < 1e-6));
        let (mut sum, mut square, mut n) = (0.0, 0.0, 0.0);
        for z in 0..4 {
            for (i, &v) in plane(&prepared, 0, z).iter().enumerate() {
                let (x, y) = (i % 16 + 2, (i / 16) as i64 - 2);
                if y >= 0 && head([x, y as usize, z]) {
                    sum += f64::from(v);
                    square += f64::from(v) * f64::from(v);
                    n += 1.0;
                } else {
                    assert_eq!(v, 0.0);
                }
            }
        }
        let tolerance = if precision == Precision::F32 {
            1e-5
        } else {
            1e-3
        };
        assert!((sum / n).abs() < tolerance);
        assert!((square / n - 1.0).abs() < tolerance, "{}", square / n);
    }
}

#[test]
fn memory_that_served_other_cases_changes_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    let noise = |[x, y, z]: [usize; 3]| {
        let v = Stream::new(Purpose::Phantom, &[x as u64, y as u64, z as u64]).range(-90.0, 400.0);
        v.max(0.0) as f32
    };
    let modality = |file: &'static str| ("t1", file, ModalityKind::Mr);
    image(dir.path(), "large.nii.gz", [20, 18, 5], affine, noise);
    image(dir.path(), "small.nii", [9, 8, 3], affine, |p| {
        2.0 * noise(p)
    });
    // One on another grid, and one with a voxel that is no number.
    let coarse = lps([2.0, 1.5, 1.0], [0.25, 0.0, 0.0]);
    image(dir.path(), "coarse.nii.gz", [9, 9, 4], coarse, noise);
    image(dir.path(), "broken.nii.gz", [7, 6, 2], affine, |p| {
        if p == [3, 3, 1] { f32::NAN } else { noise(p) }
    });
    label(
        dir.path(),
        "seg.nii.gz",
        [20, 18, 5],
        affine,
        |[x, _, _]| u8::from(x == 9),
    );
    let cases = [
        case(&[modality("large.nii.gz")], Some("seg.nii.gz")),
        case(&[modality("small.nii")], None),
        case(&[modality("coarse.nii.gz")], None),
        case(&[modality("broken.nii.gz")], None),
    ];
    let mut options = PrepareOptions::default();
    options.crop.size = [12, 12];
    for mode in [CropMode::Center, CropMode::BrainBbox] {
        options.crop.mode = mode;
        let preparation = Preparation {
            root: dir.path(),
            modalities: &names(&["t1"]),
            regions: &regions(),
            label_values: &[],
            options: &options,
        };
        let out = dir.path().join("out.safetensors");
        let run = |case: &Case, scratch: &mut Scratch| {
            let summary = preparation.run(case, &out, scratch).expect("prepared");
            (summary, std::fs::read(&out).expect("file"))
        };
        let mut scratch = Scratch::default();
        for i in [0, 1, 0, 2, 3, 2, 1, 3] {
            let alone = run(&cases[i], &mut Scratch::default());
            assert_eq!(run(&cases[i], &mut scratch), alone);
        }
    }
}

/// Packed files are decoded where they are wanted, plain ones as a whole: nobody can tell from the
/// prepared file.
#[test]
fn packed_and_plain_files_prepare_alike() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    let shape = [52, 47, 41];
    let head = |[x, y, z]: [usize; 3]| x > 5 && (9..40).contains(&y) && z < 30;
    let whole = |p: [usize; 3]| {
        let [x, y, z] = p.map(|i| i as u64);
        let v = Stream::new(Purpose::Phantom, &[x, y, z]).range(-20.0, 900.0);
        if head(p) { v.round() as f32 } else { 0.0 }
    };
    let write = |name: &str, ending: &str, format, value: &dyn Fn([usize; 3]) -> f32| {
        let volume = Volume {
            data: indices(shape).map(value).collect(),
            shape,
            affine,
        };
        let path = dir.path().join(format!("{name}.{ending}"));
        write_volume(&path, &volume, format, &Header::of_grid(shape, affine)).expect("image");
    };
    let broken = |p| {
        if p == [20, 20, 20] {
            f32::INFINITY
        } else {
            whole(p)
        }
    };
    let mut options = PrepareOptions::default();
    let mut scratch = Scratch::default();
    for kind in [ModalityKind::Mr, ModalityKind::Ct, ModalityKind::Pet] {
        // One that crops, one that pads.
        for size in [[30, 40], [50, 60]] {
            for steps in [[true, true], [true, false], [false, true], [false, false]] {
                options.crop.size = size;
                [options.clip.enabled, options.zscore.enabled] = steps;
                let [packed, plain] = ["nii.gz", "nii"].map(|ending| {
                    write("whole", ending, VoxelFormat::Int16, &whole);
                    write("fine", ending, VoxelFormat::Float32, &|p| whole(p) / 7.0);
                    write("broken", ending, VoxelFormat::Float32, &broken);
                    let modalities = ["whole", "fine", "broken"];
                    let files = modalities.map(|name| format!("{name}.{ending}"));
                    let images: Vec<_> =
                        (0..3).map(|i| (modalities[i], &*files[i], kind)).collect();
                    let preparation = Preparation {
                        root: dir.path(),
                        modalities: &names(&modalities),
                        regions: &[],
                        label_values: &[],
                        options: &options,
                    };
                    let out = dir.path().join("out.safetensors");
                    let summary = preparation
                        .run(&case(&images, None), &out, &mut scratch)
                        .expect("prepared");
                    (summary, fs::read(&out).expect("file"))
                });
                assert!(packed == plain, "{kind:?} {size:?} {steps:?}");
            }
        }
    }
}

#[test]
fn the_window_follows_the_head() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    image(dir.path(), "a.nii", [30, 30, 2], affine, |[x, y, _]| {
        f32::from(u8::from((20..28).contains(&x) && (1..11).contains(&y)))
    });
    let source = case(&[("t1", "a.nii", ModalityKind::Mr)], None);
    let out = dir.path().join("out.safetensors");
    let mut options = plain([12, 12]);
    options.crop.mode = CropMode::BrainBbox;
    prepare_case(
        dir.path(),
        &source,
        &names(&["t1"]),
        &[],
        &[],
        &options,
        &out,
    )
    .expect("prepared");
    let prepared = PreparedCase::open(&out).expect("open");
    // Rows around 1..11, columns around 20..28, moved into the image.
    assert_eq!(prepared.meta().window.offset, [0, 18]);
}

#[test]
fn slices_are_chosen_and_keep_their_identity() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    let mut cases = Vec::new();
    for id in ["P01", "P02"] {
        image(dir.path(), "a.nii", [8, 8, 10], affine, |[x, y, z]| {
            if z < 6 { (1 + x + y + z) as f32 } else { 0.0 }
        });
        label(
            dir.path(),
            "l.nii",
            [8, 8, 10],
            affine,
            |[x, _, z]| match (x, z) {
                (2, 3) => 4,
                (3, 3 | 4) => 1,
                _ => 0,
            },
        );
        let mut source = case(&[("t1", "a.nii", ModalityKind::Mr)], Some("l.nii"));
        source.id = id.into();
        let out = dir.path().join(format!("{id}.safetensors"));
        prepare_case(
            dir.path(),
            &source,
            &names(&["t1"]),
            &regions(),
            &[0, 1, 2, 4],
            &plain([0, 0]),
            &out,
        )
        .expect("prepared");
        cases.push(Arc::new(PreparedCase::open(&out).expect("open")));
    }
    let set = |slices, per_case, regions: &[Region]| {
        SliceSet::new(cases.clone(), slices, 0.05, per_case, regions).expect("set")
    };
    let all = set(SliceUse::All, 0, &regions());
    let lesion = set(SliceUse::Lesion, 0, &regions());
    let nonempty = set(SliceUse::Nonempty, 3, &regions());
    assert_eq!((all.len(), lesion.len(), nonempty.len()), (20, 4, 6));
    let found: Vec<String> = (0..4).map(|i| lesion.name(i)).collect();
    assert_eq!(found, ["P01_003", "P01_004", "P02_003", "P02_004"]);
    let spread: Vec<String> = (0..3).map(|i| nonempty.name(i)).collect();
    assert_eq!(spread, ["P01_001", "P01_003", "P01_005"]);
    assert_eq!(set(SliceUse::Lesion, 0, &regions()[..1]).len(), 2);
    assert_eq!(lesion.id(2), all.id(13));
    assert_ne!(lesion.id(0), lesion.id(2));

    assert_eq!((all.shape(), all.regions()), ([1, 8, 8], 2));
    let mut masks = vec![f32::NAN; 128];
    lesion.masks(0, &mut masks);
    let (et, wt) = masks.split_at(64);
    for i in 0..64 {
        assert_eq!(et[i], f32::from(u8::from(i % 8 == 2)));
        assert_eq!(wt[i], f32::from(u8::from(i % 8 == 2 || i % 8 == 3)));
    }
    let mut pixels = vec![f32::NAN; 64];
    all.image(13, &mut pixels);
    assert_eq!(pixels[9], 1.0 + 1.0 + 1.0 + 3.0);
}

#[test]
fn what_cannot_be_prepared_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    image(dir.path(), "a.nii", [4, 4, 2], affine, |_| 1.0);
    label(dir.path(), "l.nii", [4, 4, 2], affine, |[x, _, _]| x as u8);
    let good = case(&[("t1", "a.nii", ModalityKind::Mr)], Some("l.nii"));
    let out = dir.path().join("out.safetensors");
    let run = |source: &Case, modality: &str, allowed: &[u8], options: &PrepareOptions| {
        prepare_case(
            dir.path(),
            source,
            &names(&[modality]),
            &[],
            allowed,
            options,
            &out,
        )
        .expect_err("refused")
        .to_string()
    };
    let options = plain([0, 0]);
    assert!(run(&good, "t2", &[], &options).contains("P01: has no modality t2"));
    assert!(run(&good, "t1", &[0, 1, 2, 4], &options).contains("label 3"));
    let mut absent = good.clone();
    absent.label = Some("gone.nii".into());
    assert!(run(&absent, "t1", &[], &options).contains("gone.nii"));
    let mut spacing = options.clone();
    spacing.resample.spacing = [1.0, -1.0, 1.0];
    assert!(run(&good, "t1", &[], &spacing).contains("spacing"));
    spacing.resample.spacing = [1e-5; 3];
    assert!(run(&good, "t1", &[], &spacing).contains("spacing"));
    let mut clip = options.clone();
    clip.clip.low = 99.5;
    assert!(run(&good, "t1", &[], &clip).contains("clip"));
    assert!(run(&good, "t1", &[], &plain([1 << 20, 1 << 20])).contains("crop.size"));
    assert!(!out.exists());
}

#[test]
fn a_spoiled_prepared_file_is_refused_without_panic() {
    let dir = tempfile::tempdir().expect("folder");
    let affine = lps([1.0; 3], [0.0; 3]);
    image(dir.path(), "a.nii", [4, 4, 2], affine, |[x, _, _]| x as f32);
    label(dir.path(), "l.nii", [4, 4, 2], affine, |[x, _, _]| x as u8);
    let source = case(&[("t1", "a.nii", ModalityKind::Mr)], Some("l.nii"));
    let out = dir.path().join("out.safetensors");
    prepare_case(
        dir.path(),
        &source,
        &names(&["t1"]),
        &[],
        &[],
        &plain([0, 0]),
        &out,
    )
    .expect("prepared");
    let good = fs::read(&out).expect("read");
    let spoiled = dir.path().join("spoiled.safetensors");
    let header = 8 + u64::from_le_bytes(good[..8].try_into().expect("8 bytes")) as usize;
    for cut in [0, 7, 8, 100, header, good.len() - 1] {
        fs::write(&spoiled, &good[..cut]).expect("write");
        let line = PreparedCase::open(&spoiled)
            .expect_err("refused")
            .to_string();
        assert!(line.contains("spoiled.safetensors"), "{line}");
    }
    for at in 0..header {
        for value in [b'9', b'-'] {
            let mut bytes = good.clone();
            bytes[at] = value;
            fs::write(&spoiled, &bytes).expect("write");
            if let Ok(case) = PreparedCase::open(&spoiled) {
                let [_, slices, h, w] = case.shape();
                let _ = case.image(0, slices - 1, &mut vec![0.0; h * w]);
                let _ = case.label_pixels(0, |_| true);
                let _ = case.label(0);
                let _ = case.full_label();
            }
        }
    }
}

#[test]
fn the_real_cases_prepare() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !root.join("sts-petct").is_dir() || !root.join("msd-hippocampus").is_dir() {
        println!("skipped: no {}", root.display());
        return;
    }
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("out.safetensors");

    let source = case(
        &[
            ("ct", "sts-petct/STS_003/CT_image.nii.gz", ModalityKind::Ct),
            (
                "pet",
                "sts-petct/STS_003/PET_image.nii.gz",
                ModalityKind::Pet,
            ),
        ],
        Some("sts-petct/STS_003/CT_mask.nii.gz"),
    );
    let mut options = PrepareOptions::default();
    options.crop.size = [144, 144];
    let summary = prepare_case(
        &root,
        &source,
        &names(&["ct", "pet"]),
        &[],
        &[0, 1],
        &options,
        &out,
    )
    .expect("prepared");
    // 154 x 158 x 51 voxels of 0.9766 and 3.27 mm.
    assert_eq!(summary.grid, [167, 154, 150]);
    assert!(summary.lesion_total > 1000, "{summary:?}");
    let prepared = PreparedCase::open(&out).expect("open");
    assert!(prepared.full_label().is_some());

    // The two masks of the same tumour, on the grids of CT and PET, agree in the world.
    let mut other = source.clone();
    other.label = Some("sts-petct/STS_003/PET_mask.nii.gz".into());
    other.images.remove("pet");
    let volume = |source: &Case, spacing: [f64; 3]| {
        let mut options = options.clone();
        options.resample.spacing = spacing;
        prepare_case(&root, source, &names(&["ct"]), &[], &[0, 1], &options, &out)
            .expect("prepared");
        PreparedCase::open(&out)
            .expect("open")
            .full_label()
            .expect("label")
    };
    let mut one = source.clone();
    one.images.remove("pet");
    let (a, b) = (volume(&one, [1.0; 3]), volume(&other, [1.0; 3]));
    let both = a.iter().zip(&b).filter(|(x, y)| **x + **y == 2).count();
    let sum = a.iter().chain(&b).filter(|v| **v == 1).count();
    let dice = 2.0 * both as f64 / sum as f64;
    assert!(dice > 0.85, "{dice}");

    let name = "hippocampus_001.nii.gz";
    let image = format!("msd-hippocampus/imagesTr/{name}");
    let label = format!("msd-hippocampus/labelsTr/{name}");
    let source = case(&[("mr", &image, ModalityKind::Mr)], Some(&label));
    let mut options = PrepareOptions::default();
    options.crop.size = [64, 64];
    let summary = prepare_case(
        &root,
        &source,
        &names(&["mr"]),
        &[],
        &[0, 1, 2],
        &options,
        &out,
    )
    .expect("prepared");
    assert_eq!(summary.shape, [1, 35, 64, 64]);
    assert_eq!(summary.lesion_lost, 0);
    // All the way back is the label itself.
    let prepared = PreparedCase::open(&out).expect("open");
    let mask: Vec<u8> = (0..35)
        .flat_map(|z| prepared.label(z).expect("label").to_vec())
        .collect();
    let header = read_header(&root.join(&image)).expect("header");
    let back = to_source_grid(&mask, prepared.meta(), &header).expect("back");
    assert_eq!(
        back.data,
        read_labels(&root.join(&label)).expect("label").data
    );
}
