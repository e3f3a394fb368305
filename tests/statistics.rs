//! Intervals, tests and quantiles: against SciPy, and against their promises.

use amlp_run::random::{Purpose, Stream};
use amlp_run::statistics::{
    Block, Paired, holm, normal_quantile, normal_tail, student_quantile, wilcoxon,
};

fn close(a: f64, b: f64, relative: f64) {
    assert!((a - b).abs() <= relative * b.abs(), "{a} is not {b}");
}
/// Values of `scipy.stats.norm.sf`, `norm.isf` and `t.isf` (SciPy 1.17.1).
#[test]
fn tails_and_quantiles_are_as_scipy_has_them() {
    for (x, tail) in [
        (0.0, 0.5),
        (0.5, 0.3085375387259869),
        (1.96, 0.024997895148220435),
        (2.999, 0.0013543365337271057),
        (3.0, 0.0013498980316300933),
        (6.0, 9.865876450376946e-10),
        (-1.0, 0.8413447460685429),
    ] {
        close(normal_tail(x), tail, 1e-11);
    }
    for (tail, x) in [
        (0.025, 1.9599639845400545),
        (0.005, 2.575829303548901),
        (0.00025, 3.480756404346212),
        (0.8, -0.8416212335729143),
    ] {
        close(normal_quantile(tail), x, 1e-10);
    }
    for (freedom, tail, t) in [
        (1, 0.025, 12.706204736174705),
        (2, 0.025, 4.302652729749464),
        (3, 0.025, 3.1824463052837086),
        (4, 0.005, 4.604094871349993),
        (9, 0.025, 2.2621571627982053),
        (10, 0.001, 4.143700494046589),
        (57, 0.025, 2.002465459291007),
        (200, 0.0005, 3.3398354062756788),
    ] {
        close(student_quantile(freedom, tail), t, 1e-9);
    }
    assert_eq!(student_quantile(0, 0.025), f64::INFINITY);
}

#[track_caller]
fn is(differences: &[f64], p: f64) {
    let found = wilcoxon(differences);
    assert!((found - p).abs() < 1e-12, "{found} is not {p}");
    let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
    assert_eq!(wilcoxon(&turned), found);
}

/// `scipy.stats.wilcoxon` (SciPy 1.17.1).
#[test]
fn signed_ranks_are_as_scipy_has_them() {
    // method="exact"
    is(
        &[
            0.0312, -0.0045, 0.0127, 0.0208, 0.0551, -0.0119, 0.0302, 0.0074,
        ],
        0.0546875,
    );
    is(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.0625);
    let sines = |n: usize, step: f64, shift: f64, digits: f64| -> Vec<f64> {
        (1..=n)
            .map(|i| (((i as f64 * step).sin() + shift) * digits).round() / digits)
            .collect()
    };
    is(&sines(50, 1.3, 0.21, 1e4), 0.019067043399514816);
    // method="approx", correction=False
    is(&sines(60, 1.7, 0.35, 1e3), 0.0007275641822625827);
    // The same with ties and with zeros, zero_method="wilcox"; quarters are exact.
    let coarse: Vec<f64> = (1..=60)
        .map(|i| ((f64::from(i) * 1.7).sin() * 4.0 + 1.0).round() / 4.0)
        .collect();
    is(&coarse, 0.004560033931446029);
}

/// With ties SciPy's exact method is none; its `PermutationMethod` over all signs is.
#[test]
fn ties_are_exact_too() {
    is(
        &[0.5, -0.5, 1.0, 1.5, 1.5, -0.25, 2.0, 0.0, 0.0, 1.0],
        0.046875,
    );
}

#[test]
fn roundings_are_ties_and_zeros() {
    let binary = [0.3 - 0.1, 0.4 - 0.6, 0.1 + 0.2 - 0.3, 0.7];
    assert_eq!(wilcoxon(&binary), wilcoxon(&[0.2, -0.2, 0.0, 0.7]));
    assert_eq!(wilcoxon(&[0.0, 1e-17]), 1.0);
    assert_eq!(wilcoxon(&[]), 1.0);
}

/// `statsmodels.stats.multitest.multipletests(p, method="holm")`.
#[test]
fn holm_steps_down() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    for (a, e) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
        assert!((a - e).abs() < 1e-12, "{adjusted:?}");
    }
    assert_eq!(holm(&[0.7, 0.9]), [1.0, 1.0]);
    assert!(holm(&[]).is_empty());
}

fn one(differences: &[Vec<f64>]) -> Paired {
    Paired::new(vec![Block::new(1.0, differences).unwrap()]).unwrap()
}

/// Differences with a spread between seeds, between cases, and of their own.
fn made_up(at: &[u64], seeds: usize, cases: usize, spread: [f64; 3]) -> Vec<Vec<f64>> {
    let mut numbers = Stream::new(Purpose::Phantom, at);
    let mut normal = |sd: f64| sd * numbers.normal();
    let case: Vec<f64> = (0..cases).map(|_| normal(spread[1])).collect();
    (0..seeds)
        .map(|_| {
            let seed = normal(spread[0]);
            case.iter().map(|c| seed + c + normal(spread[2])).collect()
        })
        .collect()
}

#[test]
fn an_interval_of_no_spread_is_a_point() {
    let paired = one(&[vec![0.25; 4], vec![0.25; 4]]);
    assert_eq!(paired.effect(), 0.25);
    assert_eq!(paired.intervals(&[0.05]), [[0.25, 0.25]]);
    assert_eq!(paired.by_case(), [0.25; 4]);
}

#[test]
fn turned_round_the_interval_is_its_mirror_image() {
    let there = made_up(&[1], 3, 7, [0.1, 0.2, 0.1]);
    let back: Vec<Vec<f64>> = there
        .iter()
        .map(|row| row.iter().map(|d| -d).collect())
        .collect();
    let [[low, high], [wide_low, wide_high]] = one(&there).intervals(&[0.05, 0.005])[..] else {
        panic!("two intervals");
    };
    assert!(wide_low < low && low < high && high < wide_high);
    let [mirrored, _] = one(&back).intervals(&[0.05, 0.005])[..] else {
        panic!("two intervals");
    };
    assert!((mirrored[0] + high).abs() < 1e-12 && (mirrored[1] + low).abs() < 1e-12);
}

/// Student's interval of the mean of three seeds, where cases do not differ.
#[test]
fn few_seeds_give_wide_intervals() {
    let rows: Vec<Vec<f64>> = [0.01, 0.02, 0.03].iter().map(|&s| vec![s; 50]).collect();
    let [low, high] = one(&rows).intervals(&[0.05])[0];
    let student = 4.302652729749464 * 0.01 / 3f64.sqrt();
    let half = (high - low) / 2.0;
    assert!(
        (half / student - 1.0).abs() < 0.12,
        "{half} beside {student}"
    );
    assert!((one(&rows).half_width(3) - student).abs() < 1e-9);
    // Ten seeds of the same spread: Student's interval of ten.
    let ten = 2.2621571627982053 * 0.01 / 10f64.sqrt();
    assert!((one(&rows).half_width(10) - ten).abs() < 1e-9);
    assert_eq!(one(&rows[..1]).half_width(3), f64::INFINITY);
}

/// Without a difference between the methods, one interval in twenty misses zero; whatever the
/// spread comes from.
#[test]
fn the_interval_keeps_its_level() {
    for (k, spread) in [[0.1, 0.0, 0.01], [0.0, 0.1, 0.01], [0.1, 0.3, 0.1]]
        .into_iter()
        .enumerate()
    {
        const TRIALS: u64 = 150;
        let misses = (0..TRIALS).filter(|&trial| {
            let rows = made_up(&[k as u64, trial], 3, 12, spread);
            let [low, high] = one(&rows).intervals(&[0.05])[0];
            low > 0.0 || high < 0.0
        });
        let share = misses.count() as f64 / TRIALS as f64;
        // Three standard errors above 5 %.
        assert!(share < 0.105, "{spread:?}: {share} miss");
    }
}

#[test]
fn blocks_enter_by_weight() {
    let blocks = vec![
        Block::new(0.25, &[vec![1.0, 3.0]]).unwrap(),
        Block::new(0.75, &[vec![4.0]]).unwrap(),
    ];
    let paired = Paired::new(blocks).unwrap();
    assert_eq!(paired.effect(), 0.25 * 2.0 + 0.75 * 4.0);
    assert_eq!((paired.seeds(), paired.cases()), (1, 3));
    assert_eq!(paired.by_case(), [1.0, 3.0, 4.0]);
}

#[test]
fn ragged_or_empty_is_no_block() {
    assert_eq!(Block::new(1.0, &[vec![1.0], vec![]]), None);
    assert_eq!(Block::new(1.0, &[vec![]]), None);
    assert_eq!(Block::new(1.0, &[]), None);
    assert_eq!(Paired::new(vec![]), None);
}
