//! Claims judged on made-up results: every verdict, and what moves it.

use std::collections::BTreeMap;

use amlp_run::metric::Direction;
use amlp_run::options::{ClaimKind, ClaimOver};
use amlp_run::random::{Purpose, Stream};
use amlp_run::report::claim::{
    CLAIM_COLUMNS, Judgement, Pair, Results, SeedScores, Sentence, Side, Verdict, claims_csv,
    claims_text, judge,
};
use proptest::prelude::*;

/// Results by row and modality.
#[derive(Clone, Default)]
struct Made {
    scores: BTreeMap<(String, String), SeedScores>,
    published: BTreeMap<(String, String), f64>,
}

impl Results for Made {
    fn scores(&mut self, side: &Side) -> SeedScores {
        let place = (side.row.clone(), side.modality.clone());
        self.scores.get(&place).cloned().unwrap_or_default()
    }

    fn published(&self, side: &Side) -> Option<f64> {
        let place = (side.row.clone(), side.modality.clone());
        self.published.get(&place).copied()
    }
}

/// How results of a row come about.
#[derive(Clone, Copy, Debug)]
struct Row {
    mean: f64,
    /// Standard deviations between seeds, and of each score.
    seeds: f64,
    scores: f64,
}

const fn row(mean: f64) -> Row {
    Row {
        mean,
        seeds: 0.002,
        scores: 0.01,
    }
}

impl Made {
    /// Adds a row: scores of `cases` cases for `seeds` seeds, around a score that each case has in
    /// every row.
    fn with(mut self, name: &str, modality: &str, row: Row, seeds: u64, cases: u64) -> Self {
        let tag = name.bytes().chain(modality.bytes()).map(u64::from);
        let tag = amlp_run::random::hash(&tag.collect::<Vec<_>>());
        let scores = (1..=seeds)
            .map(|seed| {
                let mut of_seed = Stream::new(Purpose::Phantom, &[tag, seed]);
                let shift = row.seeds * of_seed.normal();
                let cases = (0..cases).map(|case| {
                    let common = 0.1 * Stream::new(Purpose::Phantom, &[case]).normal();
                    let own = row.scores * of_seed.normal();
                    (
                        format!("case{case:02}"),
                        Some(row.mean + common + shift + own),
                    )
                });
                (seed, Ok(cases.collect()))
            })
            .collect();
        self.scores.insert((name.into(), modality.into()), scores);
        self
    }

    fn fails(mut self, name: &str, modality: &str, reason: &str) -> Self {
        let holes = (1..=3).map(|seed| (seed, Err(reason.to_owned()))).collect();
        self.scores.insert((name.into(), modality.into()), holes);
        self
    }

    fn prints(mut self, name: &str, modality: &str, value: f64) -> Self {
        self.published.insert((name.into(), modality.into()), value);
        self
    }
}

fn pair(better: &str, worse: &str, modality: &str) -> Pair {
    let side = |row: &str| Side {
        row: row.into(),
        dataset: "hecktor".into(),
        modality: modality.into(),
        label: 5,
        region: None,
    };
    Pair {
        better: side(better),
        worse: side(worse),
    }
}

/// That A is better than B in each of the modalities.
fn a_over_b(modalities: &[&str]) -> Sentence {
    Sentence {
        experiment: "made-up".into(),
        profile: "paper".into(),
        table: "IV".into(),
        text: "IV-B: A outperforms B".into(),
        kind: ClaimKind::Order,
        rows: vec!["A".into(), "B".into()],
        metric: "DSC".into(),
        direction: Direction::Up,
        least: 0.0,
        over: ClaimOver::Every,
        phantom: false,
        comparisons: modalities.iter().map(|m| vec![pair("A", "B", m)]).collect(),
    }
}

fn turned(sentence: &Sentence) -> Sentence {
    let mut turned = sentence.clone();
    turned.rows.reverse();
    for pair in turned.comparisons.iter_mut().flatten() {
        std::mem::swap(&mut pair.better, &mut pair.worse);
    }
    turned
}

fn judged(sentence: &Sentence, made: &Made) -> Judgement {
    judge(sentence.clone(), &mut made.clone())
}

#[track_caller]
fn undecided(judgement: &Judgement) -> (Option<u32>, &str) {
    match &judgement.verdict {
        Verdict::Undecided { more_seeds, reason } => (*more_seeds, reason),
        other => panic!("{other:?}"),
    }
}

/// A beats B by 0.03, as clearly as real methods rarely do.
fn clear() -> Made {
    Made::default()
        .with("A", "CT", row(0.63), 3, 20)
        .with("B", "CT", row(0.60), 3, 20)
}

#[test]
fn a_clear_difference_supports_or_contradicts() {
    let sentence = a_over_b(&["CT"]);
    let found = judged(&sentence, &clear());
    assert_eq!(found.verdict, Verdict::Supported);
    let evidence = found.comparisons[0].evidence.as_ref().unwrap();
    assert_eq!(
        (evidence.seeds.as_slice(), evidence.cases),
        (&[1, 2, 3][..], 20)
    );
    let [low, high] = evidence.interval;
    assert!(0.0 < low && low < evidence.effect && evidence.effect < high && high < 0.05);
    assert!((evidence.effect - (evidence.better - evidence.worse)).abs() < 1e-12);
    assert!(evidence.p < 0.001 && evidence.p_holm == evidence.p);

    let against = judged(&turned(&sentence), &clear());
    assert_eq!(against.verdict, Verdict::Contradicted);
    // The same claim about a distance: less is better.
    let distance = Sentence {
        direction: Direction::Down,
        ..sentence
    };
    assert_eq!(judged(&distance, &clear()).verdict, Verdict::Contradicted);
    assert_eq!(
        judged(&turned(&distance), &clear()).verdict,
        Verdict::Supported
    );
}

#[test]
fn a_margin_has_to_be_exceeded_and_a_tolerance_kept() {
    let verdict = |least, kind| {
        let sentence = Sentence {
            least,
            kind,
            ..a_over_b(&["CT"])
        };
        (
            judged(&sentence, &clear()).verdict,
            judged(&turned(&sentence), &clear()).verdict,
        )
    };
    // 0.03 is more than 0.01, but not more than 0.06.
    assert_eq!(verdict(0.01, ClaimKind::Margin).0, Verdict::Supported);
    assert_eq!(verdict(0.06, ClaimKind::Margin).0, Verdict::Contradicted);
    // B is worse by 0.03: within 0.06, not within 0.01.
    assert_eq!(verdict(-0.06, ClaimKind::Within).1, Verdict::Supported);
    assert_eq!(verdict(-0.01, ClaimKind::Within).1, Verdict::Contradicted);
}

#[test]
fn one_seed_decides_nothing() {
    let one = Made::default()
        .with("A", "CT", row(0.8), 1, 20)
        .with("B", "CT", row(0.6), 1, 20);
    for sentence in [a_over_b(&["CT"]), turned(&a_over_b(&["CT"]))] {
        let found = judged(&sentence, &one);
        let (more, reason) = undecided(&found);
        assert_eq!(more, None);
        assert_eq!(reason, "one seed tells nothing of the spread between seeds");
    }
}

#[test]
fn few_cases_decide_nothing() {
    let few = |cases| {
        Made::default()
            .with("A", "CT", row(0.8), 3, cases)
            .with("B", "CT", row(0.6), 3, cases)
    };
    let sentence = a_over_b(&["CT"]);
    let found = judged(&sentence, &few(5));
    let (more, reason) = undecided(&found);
    assert_eq!(more, None);
    assert_eq!(
        reason,
        "5 test cases are too few for p < 0.05, however many seeds"
    );
    assert_eq!(judged(&sentence, &few(6)).verdict, Verdict::Supported);
}

#[test]
fn noisy_seeds_are_told_how_many_more_it_takes() {
    let noisy = |seeds| {
        let row = |mean| Row {
            mean,
            seeds: 0.012,
            scores: 0.005,
        };
        Made::default()
            .with("A", "CT", row(0.63), seeds, 20)
            .with("B", "CT", row(0.60), seeds, 20)
    };
    let sentence = a_over_b(&["CT"]);
    let found = judged(&sentence, &noisy(2));
    let (more, reason) = undecided(&found);
    let more = more.unwrap();
    assert!((1..30).contains(&more), "{more}");
    assert!(reason.starts_with(&format!("{more} more seed")), "{reason}");
    // The forecast is an expectation from two seeds; forty leave room for luck.
    assert_eq!(judged(&sentence, &noisy(40)).verdict, Verdict::Supported);
}

#[test]
fn no_difference_asks_for_more_seeds_than_anyone_has() {
    let same = Made::default()
        .with("A", "CT", row(0.6), 3, 20)
        .with("B", "CT", row(0.6), 3, 20);
    let found = judged(&a_over_b(&["CT"]), &same);
    let (more, reason) = undecided(&found);
    assert_eq!(more, None);
    assert!(
        reason.starts_with("more than 100 seeds") || reason.starts_with("over 20 test cases"),
        "{reason}"
    );
}

/// Three clear columns and one that goes the other way or nowhere.
fn four_columns(last: f64) -> Made {
    let mut made = Made::default();
    for modality in ["CT", "PET", "T1"] {
        made = made
            .with("A", modality, row(0.63), 3, 20)
            .with("B", modality, row(0.60), 3, 20);
    }
    made.with("A", "T2", row(0.60 + last), 3, 20)
        .with("B", "T2", row(0.60), 3, 20)
}

#[test]
fn a_claim_on_every_column_needs_each_and_fails_with_any() {
    let sentence = a_over_b(&["CT", "PET", "T1", "T2"]);
    assert_eq!(
        judged(&sentence, &four_columns(0.03)).verdict,
        Verdict::Supported
    );
    assert_eq!(
        judged(&sentence, &four_columns(-0.03)).verdict,
        Verdict::Contradicted
    );
    let open = judged(&sentence, &four_columns(0.0));
    let (_, reason) = undecided(&open);
    assert!(
        reason.starts_with("1 of 4 undecided; A over B, hecktor/T2, 5 %: "),
        "{reason}"
    );
    let supported = open
        .comparisons
        .iter()
        .filter(|c| c.verdict == Verdict::Supported);
    assert_eq!(supported.count(), 3);
}

#[test]
fn a_claim_on_the_mean_outweighs_one_column() {
    let every = a_over_b(&["CT", "PET", "T1", "T2"]);
    let mean = Sentence {
        over: ClaimOver::Mean,
        comparisons: vec![every.comparisons.concat()],
        ..every
    };
    let found = judged(&mean, &four_columns(-0.01));
    assert_eq!(found.verdict, Verdict::Supported);
    let evidence = found.comparisons[0].evidence.as_ref().unwrap();
    assert!((evidence.effect - 0.02).abs() < 0.004, "{evidence:?}");
    // The columns of a data set share their cases.
    assert_eq!(evidence.cases, 20);
    assert_eq!(found.comparisons[0].place(), "mean of 4 columns");
    assert_eq!(
        judged(&turned(&mean), &four_columns(-0.01)).verdict,
        Verdict::Contradicted
    );
}

/// A chance result against the claim in one column of many is no contradiction.
#[test]
fn many_comparisons_are_corrected_for() {
    let weak = |mean| Row {
        mean,
        seeds: 0.0,
        scores: 0.02,
    };
    // Columns without a difference, and one where A is a little worse.
    let mut made = Made::default();
    let names: Vec<String> = (0..12).map(|i| format!("M{i}")).collect();
    for name in &names {
        made = made
            .with("A", name, weak(0.6), 5, 12)
            .with("B", name, weak(0.6), 5, 12);
    }
    // The weakest shift that alone is a contradiction.
    let shift = (1..100)
        .map(|i| 0.001 * f64::from(i))
        .find(|shift| {
            let one = made.clone().with("B", "M0", weak(0.6 + shift), 5, 12);
            judged(&a_over_b(&["M0"]), &one).verdict == Verdict::Contradicted
        })
        .unwrap();
    let one = made.with("B", "M0", weak(0.6 + shift), 5, 12);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = judged(&a_over_b(&all), &one);
    undecided(&found);
    let first = found.comparisons[0].evidence.as_ref().unwrap();
    assert!(first.p < 0.05 && first.p_holm > first.p);
}

#[test]
fn missing_results_are_named() {
    let made = clear().fails("B", "CT", "pretrain failed: out of memory");
    let found = judged(&a_over_b(&["CT"]), &made);
    let reason = "B: pretrain failed: out of memory".to_owned();
    assert_eq!(found.verdict, Verdict::Missing { reason });
    assert_eq!(found.comparisons[0].evidence, None);
    // Where something else contradicts already, nothing more is needed.
    let made = four_columns(-0.03).fails("B", "PET", "not run");
    let found = judged(&a_over_b(&["PET", "T2"]), &made);
    assert_eq!(found.verdict, Verdict::Contradicted);
}

#[test]
fn seeds_and_cases_count_where_both_rows_have_them() {
    let mut made = clear();
    let b = made.scores.get_mut(&("B".into(), "CT".into())).unwrap();
    b[2].1 = Err("still running".into());
    b[0].1.as_mut().unwrap()[4].1 = None;
    b[1].1.as_mut().unwrap().remove(7);
    let found = judged(&a_over_b(&["CT"]), &made);
    let evidence = found.comparisons[0].evidence.as_ref().unwrap();
    assert_eq!(
        (evidence.seeds.as_slice(), evidence.cases),
        (&[1, 2][..], 18)
    );
    assert_eq!(evidence.undefined, 2);
}

#[test]
fn published_numbers_are_judged_too() {
    let made = four_columns(0.03)
        .prints("A", "CT", 0.2905)
        .prints("B", "CT", 0.2373)
        .prints("A", "PET", 0.55)
        .prints("B", "PET", 0.56)
        .prints("A", "T1", 0.33);
    let found = judged(&a_over_b(&["CT", "PET", "T1"]), &made);
    assert_eq!((found.published.compared, found.published.held), (2, 1));
    assert_eq!(found.published.holds(), Some(false));
    let ct = found.comparisons[0].published.as_ref().unwrap();
    assert!(ct.holds && (ct.effect - 0.0532).abs() < 1e-12);
    assert!(!found.comparisons[1].published.as_ref().unwrap().holds);
    assert_eq!(found.comparisons[2].published, None);
}

#[test]
fn text_says_what_it_rests_on_and_what_phantoms_are_worth() {
    let made = clear().prints("A", "CT", 0.2905).prints("B", "CT", 0.2373);
    let mut sentence = a_over_b(&["CT"]);
    let real = judged(&sentence, &made);
    let text = claims_text(&[real], 100, false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "Table IV (made-up, profile paper)",
            "",
            "✓ supported: IV-B: A outperforms B",
            "    A > B on DSC",
            "    the published numbers agree",
        ]
    );
    assert!(
        lines[5].starts_with("      ✓ hecktor/CT, 5 %  +0.0"),
        "{text}"
    );
    assert!(
        lines[5].ends_with("3 seeds, 20 cases  published 0.2905 : 0.2373"),
        "{text}"
    );
    assert_eq!(
        lines[7],
        "1 claim: 1 supported, 0 contradicted, 0 undecided, 0 missing."
    );
    assert!(!text.contains("phantom"));
    sentence.phantom = true;
    let text = claims_text(&[judged(&sentence, &made)], 100, false);
    assert!(text.contains("    on phantoms: says nothing about the paper\n"));
    assert!(
        text.starts_with("All claims are judged on synthetic images: "),
        "{text}"
    );
}

#[test]
fn csv_is_one_comparison_a_line() {
    let found = judged(&a_over_b(&["CT", "PET", "T1", "T2"]), &four_columns(0.0));
    let text = claims_csv(std::slice::from_ref(&found)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], CLAIM_COLUMNS.join(","));
    assert_eq!(lines.len(), 5);
    assert!(
        lines[1].starts_with("made-up,paper,IV,IV-B: A outperforms B,order,DSC,0,every,undecided,")
    );
    assert!(lines[1].contains(",A,B,\"hecktor/CT, 5 %\",supported,,,0.6"));
    // What programs read holds the same.
    let json = serde_json::to_string(&found).unwrap();
    assert!(json.contains("\"verdict\":\"undecided\""));
    assert_eq!(serde_json::from_str::<Judgement>(&json).unwrap(), found);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever supports a claim contradicts its opposite.
    #[test]
    fn swapping_the_rows_flips_the_verdict(
        effect in -0.06..0.06f64,
        spread in 0.0..0.03f64,
        seeds in 1..6u64,
        cases in 1..25u64,
    ) {
        let row = |mean| Row { mean, seeds: spread, scores: spread };
        let made = Made::default()
            .with("A", "CT", row(0.6 + effect), seeds, cases)
            .with("B", "CT", row(0.6), seeds, cases);
        let sentence = a_over_b(&["CT"]);
        let there = judged(&sentence, &made);
        let back = judged(&turned(&sentence), &made);
        let expected = match there.verdict {
            Verdict::Supported => "contradicted",
            Verdict::Contradicted => "supported",
            ref other => other.word(),
        };
        prop_assert_eq!(back.verdict.word(), expected);
        let (a, b) = (
            there.comparisons[0].evidence.as_ref().unwrap(),
            back.comparisons[0].evidence.as_ref().unwrap(),
        );
        prop_assert!((a.effect + b.effect).abs() < 1e-12);
        prop_assert!((a.interval[0] + b.interval[1]).abs() < 1e-9);
        prop_assert_eq!(a.p, b.p);
    }
}
