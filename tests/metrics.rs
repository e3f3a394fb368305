//! Metrics against the numeric vectors of `metrics-and-data.md` section 3, against brute force,
//! and their aggregation.

use amlp_run::data::case::Region;
use amlp_run::metric::{
    Aggregate, CaseScores, Grid, Mask, Metric, MetricError, Overlap, RegionChoice, RegionPreset,
    ScoreReport, SurfaceDistances, aggregate, boundary_overlap, boundary_region, boundary_width,
    brats_regions, case_values, score_labels, score_volumes, squared_distances, surface_distances,
    surface_voxels,
};
use amlp_run::options::{Aggregation, EmptyPolicy, HausdorffMode, MetricOptions};
use proptest::prelude::*;

const EPS: f64 = 1e-5;

/// A mask that owns its voxels.
#[derive(Clone, Debug)]
struct Owned {
    data: Vec<bool>,
    grid: Grid,
}

impl Owned {
    fn new(grid: Grid, inside: impl Fn([usize; 3]) -> bool) -> Self {
        let [_, height, width] = grid.shape();
        let data = (0..grid.len())
            .map(|i| inside([i / (height * width), i / width % height, i % width]))
            .collect();
        Self { data, grid }
    }
    fn mask(&self) -> Mask<'_> {
        Mask::new(&self.data, self.grid).unwrap()
    }
    fn labels(&self) -> Vec<u8> {
        self.data.iter().map(|&b| u8::from(b)).collect()
    }
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6,
        "found {found}, expected {expected}"
    );
}

fn counts(p: &Owned, g: &Owned) -> (u64, u64, u64) {
    let o = Overlap::of(&p.mask(), &g.mask()).unwrap();
    (o.prediction, o.reference, o.both)
}

fn distances(p: &Owned, g: &Owned) -> SurfaceDistances {
    surface_distances(&p.mask(), &g.mask()).unwrap().unwrap()
}

fn hd95(p: &Owned, g: &Owned) -> (f64, f64) {
    let d = distances(p, g);
    (d.hd95(HausdorffMode::Max), d.hd95(HausdorffMode::Pooled))
}

fn biou(p: &Owned, g: &Owned, width: usize) -> f64 {
    let counts = boundary_overlap(&p.mask(), &g.mask(), width).unwrap();
    counts.biou().unwrap()
}

fn image(n: usize, spacing: [f64; 2]) -> Grid {
    Grid::image([n, n], spacing).unwrap()
}

fn vector_a(spacing: [f64; 2]) -> (Owned, Owned) {
    let grid = image(16, spacing);
    (
        Owned::new(grid, |[_, y, x]| {
            (5..=11).contains(&y) && (3..=8).contains(&x)
        }),
        Owned::new(grid, |[_, y, x]| {
            (4..=9).contains(&y) && (4..=9).contains(&x)
        }),
    )
}

#[test]
fn a_rectangles() {
    let (p, g) = vector_a([1.0; 2]);
    assert_eq!(counts(&p, &g), (42, 36, 25));
    let overlap = Overlap::of(&p.mask(), &g.mask()).unwrap();
    near(overlap.dice(EPS), 0.641026);
    near(overlap.sensitivity(EPS), 0.694445);
    assert_eq!(surface_voxels(&p.mask()).len(), 22);
    assert_eq!(surface_voxels(&g.mask()).len(), 20);
    let d = distances(&p, &g);
    near(d.hd100(), 2.236068);
    assert_eq!(hd95(&p, &g), (2.0, 2.0));
    near(d.assd(), 1.120583);
    near(d.assd_mean_of_means(), 1.116044);
    near(biou(&p, &g, 1), 0.050000);
    near(biou(&p, &g, 2), 0.307692);
    near(biou(&p, &g, 3), 0.471698);
}

#[test]
fn a_rectangles_with_spacing() {
    let (p, g) = vector_a([2.0, 0.5]);
    let d = distances(&p, &g);
    near(d.hd100(), 4.031129);
    assert_eq!(hd95(&p, &g), (4.0, 4.0));
    near(d.assd(), 1.289387);
    near(d.assd_mean_of_means(), 1.274100);
}

#[test]
fn b_disks() {
    let grid = image(144, [1.0; 2]);
    let disk = |cy: f64, cx: f64, r: f64| {
        Owned::new(grid, move |[_, y, x]| {
            (y as f64 - cy).powi(2) + (x as f64 - cx).powi(2) <= r * r
        })
    };
    let (g, p) = (disk(70.0, 60.0, 20.0), disk(74.0, 63.0, 18.0));
    assert_eq!(counts(&p, &g), (1009, 1257, 927));
    let overlap = Overlap::of(&p.mask(), &g.mask()).unwrap();
    near(overlap.dice(EPS), 0.818182);
    near(overlap.sensitivity(EPS), 0.737470);
    let d = distances(&p, &g);
    near(d.hd100(), 7.211103);
    let (max, pooled) = hd95(&p, &g);
    near(max, 7.071068);
    near(pooled, 6.708204);
    near(d.assd(), 3.319378);
    near(d.assd_mean_of_means(), 3.310836);
    assert_eq!(surface_voxels(&p.mask()).len(), 100);
    assert_eq!(surface_voxels(&g.mask()).len(), 112);
    near(biou(&p, &g, 1), 0.045936);
    near(biou(&p, &g, 2), 0.102913);
    near(biou(&p, &g, 3), 0.189033);
    assert_eq!(boundary_width(144, 144, 0.02), 4);
    near(biou(&p, &g, 4), 0.256198);
    let size = |m: &Owned| {
        let region = boundary_region(&m.mask(), 4);
        region.iter().filter(|&&b| b).count()
    };
    assert_eq!((size(&p), size(&g)), (500, 564));
}

#[test]
fn c_border() {
    let grid = image(160, [1.0; 2]);
    let g = Owned::new(grid, |[_, y, x]| y < 30 && x < 40);
    let p = Owned::new(grid, |[_, y, x]| y < 28 && (2..44).contains(&x));
    assert_eq!(counts(&p, &g), (1176, 1200, 1064));
    let overlap = Overlap::of(&p.mask(), &g.mask()).unwrap();
    near(overlap.dice(EPS), 0.895623);
    near(overlap.sensitivity(EPS), 0.886667);
    assert_eq!(hd95(&p, &g), (4.0, 4.0));
    near(distances(&p, &g).assd(), 1.769487);
    near(distances(&p, &g).assd_mean_of_means(), 1.769487);
    near(biou(&p, &g, 1), 0.167382);
    near(biou(&p, &g, 2), 0.178571);
    near(biou(&p, &g, 3), 0.310580);
    assert_eq!(boundary_width(160, 160, 0.02), 5);
    near(biou(&p, &g, 5), 0.485149);
}

fn vector_d(spacing: [f64; 3]) -> (Owned, Owned) {
    let grid = Grid::volume([12, 20, 20], spacing).unwrap();
    (
        Owned::new(grid, |[z, y, x]| {
            (4..10).contains(&z) && (6..17).contains(&y) && (4..13).contains(&x)
        }),
        Owned::new(grid, |[z, y, x]| {
            (3..9).contains(&z) && (5..15).contains(&y) && (5..15).contains(&x)
        }),
    )
}

#[test]
fn d_boxes() {
    let (p, g) = vector_d([1.0; 3]);
    assert_eq!(counts(&p, &g), (594, 600, 360));
    let overlap = Overlap::of(&p.mask(), &g.mask()).unwrap();
    near(overlap.dice(EPS), 0.603015);
    near(overlap.sensitivity(EPS), 0.600000);
    near(distances(&p, &g).hd100(), 2.449490);
    assert_eq!(hd95(&p, &g), (2.0, 2.0));
}

#[test]
fn d_boxes_with_spacing() {
    let (p, g) = vector_d([3.0, 1.0, 1.0]);
    let (max, pooled) = hd95(&p, &g);
    near(max, 3.162278);
    near(pooled, 3.162278);
    near(distances(&p, &g).hd100(), 3.741657);
}

fn ball(grid: Grid, centre: [i64; 3], squared_radius: i64) -> Owned {
    Owned::new(grid, move |at| {
        (0..3)
            .map(|a| (at[a] as i64 - centre[a]).pow(2))
            .sum::<i64>()
            <= squared_radius
    })
}

fn vector_e(spacing: [f64; 3]) -> (Owned, Owned) {
    let grid = Grid::volume([24, 32, 32], spacing).unwrap();
    (ball(grid, [13, 15, 17], 49), ball(grid, [12, 16, 16], 64))
}

#[test]
fn e_balls() {
    let (p, g) = vector_e([1.0; 3]);
    assert_eq!(counts(&p, &g), (1419, 2109, 1364));
    let overlap = Overlap::of(&p.mask(), &g.mask()).unwrap();
    near(overlap.dice(EPS), 0.773243);
    near(overlap.sensitivity(EPS), 0.646752);
    let (max, pooled) = hd95(&p, &g);
    near(max, 2.449490);
    near(pooled, 2.449490);
    let d = distances(&p, &g);
    near(d.hd100(), 3.0);
    near(d.assd(), 1.154472);
    near(d.assd_mean_of_means(), 1.134270);
    assert_eq!(surface_voxels(&p.mask()).len(), 446);
    assert_eq!(surface_voxels(&g.mask()).len(), 606);
    near(biou(&p, &g, 1), 0.167910);
    near(biou(&p, &g, 2), 0.331756);
}

#[test]
fn e_balls_with_spacing() {
    let (p, g) = vector_e([2.5, 1.0, 1.0]);
    let (max, pooled) = hd95(&p, &g);
    near(pooled, 3.467254);
    near(max, 3.905125);
    near(distances(&p, &g).hd100(), 5.196152);
}

fn one_region() -> Vec<Region> {
    vec![Region {
        name: "lesion".to_owned(),
        labels: vec![1],
    }]
}

fn score(p: &Owned, g: &Owned, options: &MetricOptions) -> CaseScores {
    score_volumes(
        "case",
        &p.labels(),
        &g.labels(),
        &one_region(),
        &g.grid,
        options,
    )
    .unwrap()
}

fn mean(cases: &[CaseScores], metric: Metric, aggregation: Aggregation) -> Aggregate {
    aggregate(
        cases,
        RegionChoice::One("lesion"),
        metric,
        aggregation,
        HausdorffMode::Max,
    )
    .unwrap()
}

#[test]
fn e_aggregations() {
    let (p, g) = vector_e([1.0; 3]);
    let scores = [score(&p, &g, &MetricOptions::default())];
    let volume = mean(&scores, Metric::Dsc, Aggregation::Volume);
    near(volume.mean.unwrap(), 0.773243);
    assert_eq!((volume.n, volume.both_empty), (1, 0));
    let all = mean(&scores, Metric::Dsc, Aggregation::SliceAll);
    near(all.mean.unwrap(), 0.719377);
    assert_eq!((all.n, all.both_empty, all.one_empty), (24, 7, 2));
    let lesion = mean(&scores, Metric::Dsc, Aggregation::SliceFg);
    near(lesion.mean.unwrap(), 0.603826);
    assert_eq!(lesion.n, 17);
    let patient = mean(&scores, Metric::Dsc, Aggregation::SlicePatient);
    near(patient.mean.unwrap(), 0.719377);
    assert_eq!(patient.n, 1);
}

#[test]
fn f_stray_voxel() {
    let (mut p, g) = vector_e([1.0; 3]);
    p.data[(32 + 1) * 32 + 1] = true;
    near(hd95(&p, &g).0, 2.449490);
    near(distances(&p, &g).hd100(), 16.248077);
    near(
        Overlap::of(&p.mask(), &g.mask()).unwrap().dice(EPS),
        0.773024,
    );
}

#[test]
fn g_empties() {
    let grid = image(2, [1.0; 2]);
    let (none, full) = (Owned::new(grid, |_| false), Owned::new(grid, |_| true));
    let formula = |p: &Owned, g: &Owned, eps: f64| {
        let o = Overlap::of(&p.mask(), &g.mask()).unwrap();
        (o.dice(eps), o.sensitivity(eps))
    };
    assert_eq!(formula(&none, &none, EPS), (1.0, 1.0));
    let (dsc, sen) = formula(&none, &full, EPS);
    assert!((dsc - 2.5e-6).abs() < 1e-11 && (sen - 2.5e-6).abs() < 1e-11);
    let (dsc, sen) = formula(&full, &none, EPS);
    assert!((dsc - 2.5e-6).abs() < 1e-11);
    near(sen, 1.0);
    near(formula(&none, &full, 1.0).0, 0.2);
    near(formula(&none, &full, 1.0).1, 0.2);
}

#[test]
fn empty_masks_under_each_policy() {
    let grid = image(144, [1.0; 2]);
    let none = Owned::new(grid, |_| false);
    let some = Owned::new(grid, |[_, y, x]| y < 2 && x < 2);
    let with = |p: &Owned, g: &Owned, empty| {
        let options = MetricOptions {
            empty,
            ..MetricOptions::default()
        };
        score(p, g, &options).regions[0].volume
    };
    let brats = with(&none, &none, EmptyPolicy::Brats);
    assert_eq!(
        [
            brats.dsc,
            brats.sensitivity,
            brats.ppv,
            brats.biou,
            brats.hd95,
            brats.assd
        ],
        [
            Some(1.0),
            Some(1.0),
            Some(1.0),
            Some(1.0),
            Some(0.0),
            Some(0.0)
        ]
    );
    let missed = with(&none, &some, EmptyPolicy::Brats);
    assert_eq!(
        [missed.dsc, missed.sensitivity, missed.ppv, missed.biou],
        [Some(0.0), Some(0.0), None, Some(0.0)]
    );
    near(missed.hd95.unwrap(), 203.646753);
    near(missed.hd95_pooled.unwrap(), 203.646753);
    let invented = with(&some, &none, EmptyPolicy::Brats);
    assert_eq!(
        [
            invented.dsc,
            invented.sensitivity,
            invented.ppv,
            invented.biou
        ],
        [Some(0.0), None, Some(0.0), Some(0.0)]
    );
    near(invented.hd95.unwrap(), 203.646753);

    let eps = with(&none, &some, EmptyPolicy::Eps);
    assert!((eps.dsc.unwrap() - 2.5e-6).abs() < 1e-11);
    assert_eq!(eps.hd95, None);
    assert_eq!(with(&some, &none, EmptyPolicy::Eps).sensitivity, Some(1.0));
    assert_eq!(with(&none, &none, EmptyPolicy::Eps).dsc, Some(1.0));

    let skipped = with(&none, &none, EmptyPolicy::Skip);
    assert_eq!([skipped.dsc, skipped.hd95, skipped.biou], [None; 3]);
    assert_eq!(with(&none, &some, EmptyPolicy::Skip), missed);
}

const TRUTH: [u8; 12] = [0, 1, 2, 4, 4, 4, 2, 0, 1, 1, 2, 2];
const GUESS: [u8; 12] = [0, 1, 2, 2, 4, 2, 2, 0, 1, 4, 2, 0];

#[test]
fn h_brats_labels() {
    let grid = Grid::image([3, 4], [1.0; 2]).unwrap();
    let options = MetricOptions::default();
    let scores = score_volumes("h", &GUESS, &TRUTH, &brats_regions(), &grid, &options).unwrap();
    let region = |name: &str| scores.regions.iter().find(|r| r.name == name).unwrap();
    for (name, (both, p, g), dsc, sen) in [
        ("ET", (1, 2, 3), 0.400001, 0.333336),
        ("TC", (4, 4, 6), 0.800000, 0.666667),
        ("WT", (9, 9, 10), 0.947368, 0.900000),
    ] {
        let found = region(name);
        let o = found.overlap;
        assert_eq!((o.both, o.prediction, o.reference), (both, p, g));
        near(found.volume.dsc.unwrap(), dsc);
        near(found.volume.sensitivity.unwrap(), sen);
    }
    let mean = aggregate(
        &[scores],
        RegionChoice::Mean,
        Metric::Dsc,
        Aggregation::Volume,
        HausdorffMode::Max,
    )
    .unwrap();
    near(mean.mean.unwrap(), 0.715790);
    assert_eq!(mean.n, 3);
}

#[test]
fn score_verb_json() {
    let grid = Grid::image([3, 4], [1.0; 2]).unwrap();
    let options = MetricOptions::default();
    let regions = RegionPreset::named("brats").unwrap().regions();
    let report = score_labels(&GUESS, &TRUTH, Some(&regions), &grid, &options).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        serde_json::to_string(&json["regions"][0])
            .unwrap()
            .matches("\":")
            .count(),
        6
    );
    for key in ["name", "dsc", "sensitivity", "biou", "hd95", "hd95_pooled"] {
        assert!(json["regions"][0].get(key).is_some(), "{key}");
    }
    let names =
        |r: &ScoreReport| -> Vec<String> { r.regions.iter().map(|r| r.name.clone()).collect() };
    assert_eq!(names(&report), ["WT", "TC", "ET"]);

    let by_label = score_labels(&GUESS, &TRUTH, None, &grid, &options).unwrap();
    assert_eq!(names(&by_label), ["1", "2", "4"]);
    near(by_label.regions[2].dsc.unwrap(), 0.400001);

    // A region that only the prediction has: its sensitivity is undefined, written as null.
    let invented = score_labels(
        &[1, 0],
        &[0, 0],
        None,
        &Grid::image([1, 2], [1.0; 2]).unwrap(),
        &options,
    );
    assert_eq!(
        serde_json::to_string(&invented.unwrap()).unwrap(),
        r#"{"regions":[{"name":"1","dsc":0.0,"sensitivity":null,"biou":0.0,"hd95":2.0,"hd95_pooled":2.0}]}"#
    );
}

#[test]
fn scores_are_compact_and_come_back_from_json() {
    let (p, g) = vector_e([2.5, 1.0, 1.0]);
    let scores = score(&p, &g, &MetricOptions::default());
    let json = serde_json::to_string(&scores).unwrap();
    assert_eq!(serde_json::from_str::<CaseScores>(&json).unwrap(), scores);
    assert!(json.len() < 220 * 17, "{} bytes", json.len());
    assert!(
        json.contains(r#""slices":[[4,[0,0,1],[0.0,0.0,null,0.0,"#),
        "{json}"
    );
}

#[test]
fn aggregation_over_cases_counts_what_it_leaves_out() {
    let grid = image(8, [1.0; 2]);
    let none = Owned::new(grid, |_| false);
    let some = Owned::new(grid, |[_, y, x]| y < 2 && x < 2);
    let options = MetricOptions::default();
    let cases = [
        score(&some, &some, &options),
        score(&some, &none, &options),
        score(&none, &none, &options),
        score(&none, &some, &options),
    ];
    let sen = mean(&cases, Metric::Sensitivity, Aggregation::Volume);
    assert_eq!(
        (sen.n, sen.undefined, sen.both_empty, sen.one_empty),
        (3, 1, 1, 2)
    );
    near(sen.mean.unwrap(), 2.0 / 3.0);
    let dsc = mean(&cases, Metric::Dsc, Aggregation::SliceFg);
    assert_eq!((dsc.n, dsc.mean), (2, Some(0.5)));
    let paired = case_values(
        &cases,
        RegionChoice::Mean,
        Metric::Sensitivity,
        Aggregation::Volume,
        HausdorffMode::Max,
    )
    .unwrap();
    assert!(paired.iter().all(|(case, _)| case == "case"));
    let paired: Vec<Option<f64>> = paired.into_iter().map(|(_, v)| v).collect();
    assert_eq!(paired, [Some(1.0), None, Some(1.0), Some(0.0)]);

    let nothing = mean(&cases[1..2], Metric::Sensitivity, Aggregation::Volume);
    assert_eq!((nothing.mean, nothing.undefined), (None, 1));
    assert_eq!(mean(&[], Metric::Dsc, Aggregation::Volume).mean, None);
    let missing = aggregate(
        &cases,
        RegionChoice::One("ET"),
        Metric::Dsc,
        Aggregation::Volume,
        HausdorffMode::Max,
    );
    assert_eq!(
        missing.unwrap_err().to_string(),
        "scores of case 'case' have no region 'ET'"
    );
}

#[test]
fn slice_patient_weighs_patients_equally() {
    let thick = Grid::volume([9, 8, 8], [1.0; 3]).unwrap();
    let thin = Grid::volume([3, 8, 8], [1.0; 3]).unwrap();
    let corner = |[_, y, x]: [usize; 3]| y < 2 && x < 2;
    let options = MetricOptions::default();
    let good = score(
        &Owned::new(thick, corner),
        &Owned::new(thick, corner),
        &options,
    );
    let bad = score(
        &Owned::new(thin, |_| false),
        &Owned::new(thin, corner),
        &options,
    );
    let cases = [good, bad];
    near(
        mean(&cases, Metric::Dsc, Aggregation::SliceAll)
            .mean
            .unwrap(),
        0.75,
    );
    near(
        mean(&cases, Metric::Dsc, Aggregation::SlicePatient)
            .mean
            .unwrap(),
        0.5,
    );
}

#[test]
fn bad_input_is_an_error() {
    let grid = Grid::image([2, 2], [1.0; 2]).unwrap();
    let options = MetricOptions::default();
    assert!(matches!(
        score_labels(&[0; 3], &[0; 4], None, &grid, &options),
        Err(MetricError::Length {
            what: "prediction",
            found: 3,
            expected: 4
        })
    ));
    let negative = MetricOptions {
        eps: -1.0,
        ..MetricOptions::default()
    };
    assert!(matches!(
        score_labels(&[0; 4], &[0; 4], None, &grid, &negative),
        Err(MetricError::Option { field: "eps", .. })
    ));
    let empty = Grid::volume([0, 4, 4], [1.0; 3]).unwrap();
    assert!(
        score_labels(&[], &[], None, &empty, &options)
            .unwrap()
            .regions
            .is_empty()
    );
    let scores = score_volumes("x", &[], &[], &brats_regions(), &empty, &options).unwrap();
    assert_eq!(scores.regions[0].volume.dsc, Some(1.0));
}

const SHAPE: [usize; 3] = [9, 10, 11];

/// Sparse to dense random masks.
fn random_mask() -> impl Strategy<Value = Vec<bool>> {
    (0.01f64..0.6).prop_flat_map(|density| {
        prop::collection::vec(
            prop::bool::weighted(density),
            SHAPE.iter().product::<usize>(),
        )
    })
}

fn random_spacing() -> impl Strategy<Value = [f64; 3]> {
    [0.3f64..4.0, 0.3f64..4.0, 0.3f64..4.0]
}

fn nonempty_pair() -> impl Strategy<Value = (Vec<bool>, Vec<bool>)> {
    (random_mask(), random_mask())
        .prop_filter("empty", |(p, g)| p.contains(&true) && g.contains(&true))
}

fn owned(data: &[bool], shape: [usize; 3], spacing: [f64; 3]) -> Owned {
    Owned {
        data: data.to_vec(),
        grid: Grid::volume(shape, spacing).unwrap(),
    }
}

fn at(i: usize, shape: [usize; 3]) -> [usize; 3] {
    [
        i / (shape[1] * shape[2]),
        i / shape[2] % shape[1],
        i % shape[2],
    ]
}

/// Moves axis `order[a]` to place `a`.
fn permuted(mask: &Owned, order: [usize; 3]) -> Owned {
    let (shape, spacing) = (mask.grid.shape(), mask.grid.spacing());
    let grid = Grid::volume(order.map(|a| shape[a]), order.map(|a| spacing[a])).unwrap();
    Owned::new(grid, |place| {
        let mut source = [0; 3];
        for (a, &axis) in order.iter().enumerate() {
            source[axis] = place[a];
        }
        mask.data[(source[0] * shape[1] + source[1]) * shape[2] + source[2]]
    })
}

fn flipped(mask: &Owned, axis: usize) -> Owned {
    let shape = mask.grid.shape();
    Owned::new(mask.grid, |mut place| {
        place[axis] = shape[axis] - 1 - place[axis];
        mask.data[(place[0] * shape[1] + place[1]) * shape[2] + place[2]]
    })
}

fn brute_force(seeds: &[usize], grid: &Grid) -> Vec<f64> {
    let (shape, spacing) = (grid.shape(), grid.spacing());
    (0..grid.len())
        .map(|i| {
            let here = at(i, shape);
            seeds
                .iter()
                .map(|&s| {
                    let there = at(s, shape);
                    (0..3)
                        .map(|a| ((here[a] as f64 - there[a] as f64) * spacing[a]).powi(2))
                        .sum::<f64>()
                })
                .fold(f64::INFINITY, f64::min)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn distance_map_is_exact(data in random_mask(), spacing in random_spacing()) {
        let mask = owned(&data, SHAPE, spacing);
        let seeds: Vec<usize> = (0..data.len()).filter(|&i| data[i]).collect();
        let map = squared_distances(&seeds, &mask.grid);
        for (found, expected) in map.iter().zip(brute_force(&seeds, &mask.grid)) {
            prop_assert!(*found == expected || (found - expected).abs() <= 1e-9 * expected.max(1.0));
        }
    }

    #[test]
    fn dice_is_symmetric((p, g) in nonempty_pair()) {
        let (p, g) = (owned(&p, SHAPE, [1.0; 3]), owned(&g, SHAPE, [1.0; 3]));
        let forth = Overlap::of(&p.mask(), &g.mask()).unwrap();
        let back = Overlap::of(&g.mask(), &p.mask()).unwrap();
        prop_assert_eq!(forth.dice(EPS), back.dice(EPS));
        prop_assert_eq!(forth.sensitivity(EPS), back.ppv(EPS));
    }

    #[test]
    fn hd95_keeps_under_flips_and_permutations(
        (p, g) in nonempty_pair(), spacing in random_spacing(), axis in 0usize..3,
    ) {
        let (p, g) = (owned(&p, SHAPE, spacing), owned(&g, SHAPE, spacing));
        let expected = hd95(&p, &g);
        let mirrored = hd95(&flipped(&p, axis), &flipped(&g, axis));
        prop_assert!((mirrored.0 - expected.0).abs() < 1e-9);
        prop_assert!((mirrored.1 - expected.1).abs() < 1e-9);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let turned = hd95(&permuted(&p, order), &permuted(&g, order));
            prop_assert!((turned.0 - expected.0).abs() < 1e-9);
            prop_assert!((turned.1 - expected.1).abs() < 1e-9);
        }
    }

    #[test]
    fn hd_scales_with_spacing(
        (p, g) in nonempty_pair(), spacing in random_spacing(), c in 0.1f64..10.0,
    ) {
        let plain = hd95(&owned(&p, SHAPE, spacing), &owned(&g, SHAPE, spacing));
        let scaled = spacing.map(|s| s * c);
        let large = hd95(&owned(&p, SHAPE, scaled), &owned(&g, SHAPE, scaled));
        prop_assert!((large.0 - c * plain.0).abs() < 1e-9 * large.0.max(1.0));
        prop_assert!((large.1 - c * plain.1).abs() < 1e-9 * large.1.max(1.0));
    }

    #[test]
    fn translation_changes_nothing(
        (p, g) in nonempty_pair(), spacing in random_spacing(), shift in [1usize..5, 1usize..5, 1usize..5],
    ) {
        let wide = SHAPE.map(|n| n + 6);
        let grid = Grid::volume(wide, spacing).unwrap();
        let moved = |data: &[bool], by: [usize; 3]| Owned::new(grid, |place| {
            let source: Vec<usize> = (0..3).filter_map(|a| place[a].checked_sub(by[a]).filter(|&i| i < SHAPE[a])).collect();
            source.len() == 3 && data[(source[0] * SHAPE[1] + source[1]) * SHAPE[2] + source[2]]
        });
        let (p0, g0) = (moved(&p, [1; 3]), moved(&g, [1; 3]));
        let (p1, g1) = (moved(&p, shift), moved(&g, shift));
        prop_assert_eq!(distances(&p0, &g0), distances(&p1, &g1));
        prop_assert_eq!(counts(&p0, &g0), counts(&p1, &g1));
        prop_assert_eq!(biou(&p0, &g0, 2), biou(&p1, &g1, 2));
    }

    #[test]
    fn a_perfect_prediction_is_perfect(data in random_mask(), spacing in random_spacing()) {
        prop_assume!(data.contains(&true));
        let mask = owned(&data, SHAPE, spacing);
        prop_assert_eq!(hd95(&mask, &mask), (0.0, 0.0));
        prop_assert_eq!(distances(&mask, &mask).hd100(), 0.0);
        prop_assert_eq!(distances(&mask, &mask).assd(), 0.0);
        prop_assert_eq!(biou(&mask, &mask, 3), 1.0);
    }

    /// The slice scores must not depend on the box that the volume was cut to.
    #[test]
    fn slices_of_a_volume_score_as_images((p, g) in nonempty_pair(), spacing in random_spacing()) {
        let (p, g) = (owned(&p, SHAPE, spacing), owned(&g, SHAPE, spacing));
        let scores = score(&p, &g, &MetricOptions::default());
        let area = SHAPE[1] * SHAPE[2];
        for slice in &scores.regions[0].slices {
            let part = |m: &Owned| owned(
                &m.data[slice.z * area..(slice.z + 1) * area], [1, SHAPE[1], SHAPE[2]], spacing,
            );
            let alone = score(&part(&p), &part(&g), &MetricOptions::default());
            prop_assert_eq!(alone.regions[0].volume, slice.values);
            prop_assert_eq!(alone.regions[0].overlap, slice.overlap);
        }
    }
}

/// Three nested regions of a size that tumours have, on the grid of BraTS.
fn brats_sized() -> (Vec<u8>, Vec<u8>, Grid) {
    let grid = Grid::volume([155, 240, 240], [1.0; 3]).unwrap();
    let tumour = |centre: [f64; 3]| -> Vec<u8> {
        (0..grid.len())
            .map(|i| {
                let [z, y, x] = at(i, grid.shape());
                let wobble = 3.0 * ((y as f64) * 0.7).sin() + 3.0 * ((x as f64) * 0.5).cos();
                let r = ((z as f64 - centre[0]).powi(2)
                    + (y as f64 - centre[1]).powi(2)
                    + (x as f64 - centre[2]).powi(2))
                .sqrt()
                    + wobble;
                match r {
                    r if r < 9.0 => 1,
                    r if r < 18.0 => 4,
                    r if r < 34.0 => 2,
                    _ => 0,
                }
            })
            .collect()
    };
    (
        tumour([80.0, 120.0, 90.0]),
        tumour([77.0, 124.0, 95.0]),
        grid,
    )
}

#[test]
fn a_brats_sized_pair_scores_as_brute_force() {
    let (p, g, grid) = brats_sized();
    let options = MetricOptions::default();
    let report = score_labels(&p, &g, Some(&brats_regions()), &grid, &options).unwrap();
    let full = score_volumes("t", &p, &g, &brats_regions(), &grid, &options).unwrap();

    // Brute force: every surface voxel against every surface voxel, for the smallest region.
    let et = |labels: &[u8]| {
        owned(
            &labels.iter().map(|&l| l == 4).collect::<Vec<_>>(),
            grid.shape(),
            [1.0; 3],
        )
    };
    let surface = |m: &Owned| -> Vec<[i64; 3]> {
        let voxels = surface_voxels(&m.mask());
        voxels
            .iter()
            .map(|&i| at(i, grid.shape()).map(|v| v as i64))
            .collect()
    };
    let (sp, sg) = (surface(&et(&p)), surface(&et(&g)));
    let directed = |from: &[[i64; 3]], to: &[[i64; 3]]| -> Vec<f64> {
        from.iter()
            .map(|a| {
                let nearest = to
                    .iter()
                    .map(|b| (0..3).map(|i| (a[i] - b[i]).pow(2)).sum::<i64>())
                    .min();
                (nearest.unwrap() as f64).sqrt()
            })
            .collect()
    };
    let (a, b) = (directed(&sp, &sg), directed(&sg, &sp));
    let p95 = |v: Vec<f64>| amlp_run::metric::percentile(v, 95.0);
    near(
        report.regions[2].hd95.unwrap(),
        p95(a.clone()).max(p95(b.clone())),
    );
    near(report.regions[2].hd95_pooled.unwrap(), p95([a, b].concat()));
    assert_eq!(full.regions[2].volume.hd95, report.regions[2].hd95);
}
