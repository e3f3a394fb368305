//! The report from made-up input: what a page holds, whatever it is made from.

use std::collections::{BTreeMap, BTreeSet};

use amlp_run::metric::{Aggregate, Direction};
use amlp_run::options::{Aggregation, ClaimKind, ClaimOver, EmptyPolicy, HausdorffMode};
use amlp_run::report::claim::{Comparison, Evidence, Judgement, Pair, Published, Side, Verdict};
use amlp_run::report::html::{
    Categories, CategorySlice, Gallery, GalleryRow, Origin, Pictures, Prediction, Reconstruction,
    ReportInput, ReportTable, Run, StageFact, StageState, Training, TrainingKind, html,
};
use amlp_run::report::picture::{Agreement, Grey, PatchGrid};
use amlp_run::report::{Cell, Column, DataFact, Facts, Place, SeedValue, TableInput};

/// A name that would be markup if it were not escaped.
const HOSTILE: &str = "</script><b>&\"'";

fn table(methods: &[&str], phantom: bool) -> ReportTable {
    let mut cells = Vec::new();
    let mut runs = Vec::new();
    for (m, method) in methods.iter().enumerate() {
        for metric in ["DSC", "HD95"] {
            let place = Place {
                table: "IV".to_owned(),
                dataset: "hecktor".to_owned(),
                modality: "CT".to_owned(),
                label_percent: Some(5),
                method: (*method).to_owned(),
                metric: metric.to_owned(),
                region: None,
            };
            let values: Vec<SeedValue> = (1..=3)
                .map(|seed| {
                    let mean = 0.1 * (m as f64 + 1.0) + 0.01 * seed as f64;
                    let aggregate = Aggregate {
                        mean: Some(mean),
                        n: 5,
                        ..Aggregate::default()
                    };
                    SeedValue::new(seed, &aggregate)
                })
                .collect();
            // The last row is a hole.
            let cell = if m + 1 == methods.len() {
                Cell::new(
                    place,
                    Vec::new(),
                    Some(0.5),
                    vec![],
                    Some("not run".to_owned()),
                )
            } else {
                Cell::new(place, values, Some(0.5), vec![], None)
            };
            cells.push(cell);
            runs.push(vec![Run {
                seed: 1,
                key: "e".repeat(64),
            }]);
        }
    }
    let trainings = [TrainingKind::Pretrain, TrainingKind::Finetune]
        .into_iter()
        .map(|kind| Training {
            kind,
            row: 0,
            column: 0,
            label: (kind == TrainingKind::Finetune).then_some(5),
            seed: 1,
            key: "d".repeat(64),
            epochs: vec![1.0, 2.0, 3.0],
            scalars: BTreeMap::from([
                ("loss".to_owned(), vec![3.0, 2.0, 1.0]),
                ("ratio".to_owned(), vec![0.25, 0.5, 0.8]),
                ("labels.patches".to_owned(), vec![81.0; 3]),
                ("labels.foreground".to_owned(), vec![20.0, 21.0, f64::NAN]),
                ("labels.changed".to_owned(), vec![4.0, 2.0, 1.0]),
            ]),
        })
        .collect();
    ReportTable {
        input: TableInput {
            number: "IV".to_owned(),
            title: format!("Ablation {HOSTILE}"),
            experiment: "ablation".to_owned(),
            profile: "smoke".to_owned(),
            facts: Facts {
                data: vec![DataFact {
                    name: "hecktor".to_owned(),
                    layout: "hecktor2020".to_owned(),
                    phantom,
                    split: "22 train, 3 val, 5 test patients".to_owned(),
                }],
                seeds: vec![1, 2, 3],
                device: "cpu-flex".to_owned(),
                aggregation: Aggregation::Volume,
                hausdorff: HausdorffMode::Max,
                empty: EmptyPolicy::Brats,
                measured: None,
                search: false,
            },
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            columns: vec![Column {
                dataset: "hecktor".to_owned(),
                modality: "CT".to_owned(),
            }],
            labels: vec![Some(5)],
            metrics: vec!["DSC".to_owned(), "HD95".to_owned()],
            cells,
        },
        origin: 0,
        runs,
        places: BTreeMap::new(),
        trainings,
    }
}

fn stage(kind: &'static str, digit: char, inputs: &[char], state: StageState) -> StageFact {
    let key = |c: char| c.to_string().repeat(64);
    StageFact {
        key: key(digit),
        kind,
        label: format!("{kind} of {HOSTILE}"),
        state,
        reason: None,
        inputs: inputs.iter().map(|&c| key(c)).collect(),
        wall_s: (state == StageState::Done).then_some(1.5),
        started: "2026-01-01T00:00:00Z".to_owned(),
        host: "machine".to_owned(),
        device: None,
        version: "0.1.0".to_owned(),
        commit: Some("0123456789abcdef".to_owned()),
        threads: 2,
        peak_memory: Some(1 << 20),
        attempts: 1,
        bytes: 1234,
    }
}

fn pictures() -> Pictures {
    let image = Grey::of(&[0.0, 1.0, 2.0, 3.0], 2);
    let mask = vec![0, 1, 1, 0];
    Pictures {
        galleries: vec![Gallery {
            table: "IV".to_owned(),
            label: 5,
            seed: 1,
            rows: vec![GalleryRow {
                column: "hecktor CT".to_owned(),
                slice: "CHUM001, slice 3".to_owned(),
                image: image.clone(),
                regions: vec!["GTV".to_owned()],
                reference: vec![mask.clone()],
                predictions: vec![
                    Prediction {
                        method: "AMLP".to_owned(),
                        key: "d".repeat(64),
                        masks: Ok(vec![mask.clone()]),
                    },
                    Prediction {
                        method: "MAE".to_owned(),
                        key: String::new(),
                        masks: Err("not trained".to_owned()),
                    },
                ],
            }],
        }],
        categories: vec![Categories {
            column: "hecktor CT".to_owned(),
            method: "AMLP".to_owned(),
            key: "d".repeat(64),
            slices: vec![CategorySlice {
                slice: "CHUM002_003".to_owned(),
                image: image.clone(),
                lesion: mask.clone(),
                grid: PatchGrid {
                    columns: 2,
                    side: 1,
                },
                truth: mask.clone(),
                first: vec![1, 1, 0, 0],
                last: mask,
            }],
            first: Agreement {
                hits: 1,
                false_alarms: 1,
                misses: 1,
                rest: 1,
            },
            last: Agreement::default(),
        }],
        reconstructions: vec![Reconstruction {
            column: "hecktor CT".to_owned(),
            method: "AMLP".to_owned(),
            key: "d".repeat(64),
            slice: "CHUM002_003".to_owned(),
            ratio: 0.8,
            target: image.clone(),
            input: image.clone(),
            output: image,
            error: 0.25,
        }],
        notes: vec![],
    }
}

/// A claim that the numbers support.
fn judgement(phantom: bool) -> Judgement {
    let side = |row: &str| Side {
        row: row.to_owned(),
        dataset: "hecktor".to_owned(),
        modality: "CT".to_owned(),
        label: 5,
        region: None,
    };
    Judgement {
        experiment: "ablation".to_owned(),
        profile: "smoke".to_owned(),
        table: "IV".to_owned(),
        text: format!("AMLP is best {HOSTILE}"),
        kind: ClaimKind::Order,
        rows: vec!["AMLP".to_owned(), "Sup".to_owned()],
        metric: "DSC".to_owned(),
        direction: Direction::Up,
        least: 0.0,
        over: ClaimOver::Every,
        phantom,
        verdict: Verdict::Supported,
        comparisons: vec![Comparison {
            pairs: vec![Pair {
                better: side("AMLP"),
                worse: side("Sup"),
            }],
            evidence: Some(Evidence {
                better: 0.3,
                worse: 0.1,
                effect: 0.2,
                interval: [0.1, 0.3],
                p: 0.001,
                p_holm: 0.001,
                seeds: vec![1, 2, 3],
                cases: 57,
                undefined: 0,
            }),
            verdict: Verdict::Supported,
            published: None,
        }],
        published: Published {
            compared: 0,
            held: 0,
        },
    }
}

fn input(phantom: bool) -> ReportInput {
    ReportInput {
        origins: vec![Origin {
            experiment: "ablation".to_owned(),
            profile: "smoke".to_owned(),
            manifest: "experiments/ablation.toml".to_owned(),
            arguments: " --profile smoke".to_owned(),
        }],
        tables: vec![table(&["Sup", HOSTILE, "AMLP"], phantom)],
        claims: vec![judgement(phantom)],
        stages: vec![
            stage("index", 'a', &[], StageState::Done),
            stage("prepare", 'b', &['a'], StageState::Done),
            stage("finetune", 'd', &['b'], StageState::Failed),
            stage("evaluate", 'e', &['b', 'd'], StageState::Missing),
        ],
        pictures: pictures(),
        cases: BTreeMap::from([(
            "e".repeat(64),
            BTreeMap::from([(
                "DSC".to_owned(),
                vec![(HOSTILE.to_owned(), Some(0.5)), ("b".to_owned(), None)],
            )]),
        )]),
    }
}

/// What stands between `before` and the next quotation mark, wherever that is.
fn all<'a>(page: &'a str, before: &str) -> BTreeSet<&'a str> {
    page.split(before)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// The page without its style and script, which are always the same.
fn content(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let (body, _) = body.rsplit_once("<script>").unwrap();
    format!("{head}{body}")
}

#[test]
fn a_page_has_all_sections_in_order() {
    let page = html(&input(true));
    let ids: Vec<&str> = page
        .split("<section id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(
        ids,
        [
            "tables",
            "claims",
            "figures",
            "pictures",
            "categories",
            "labels",
            "reconstructions",
            "curves",
            "graph",
            "timings",
            "provenance"
        ]
    );
    assert_eq!(page, html(&input(true)), "equal input, equal bytes");
}

#[test]
fn nothing_is_empty_and_still_a_page() {
    let page = html(&ReportInput::default());
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert!(!page.contains("<section id="));
}

#[test]
fn every_link_leads_somewhere_and_none_leaves_the_page() {
    let page = content(&html(&input(true)));
    let ids = all(&page, " id=\"");
    for target in all(&page, "href=\"#") {
        assert!(ids.contains(target), "#{target} leads nowhere");
    }
    for link in all(&page, "href=\"")
        .into_iter()
        .chain(all(&page, "src=\""))
    {
        assert!(
            link.starts_with('#') || link.starts_with("data:"),
            "{link} leaves the page"
        );
    }
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[test]
fn each_identity_is_there_once() {
    let page = content(&html(&input(true)));
    let count = page.matches(" id=\"").count();
    assert_eq!(count, all(&page, " id=\"").len());
}

#[test]
fn names_are_text_wherever_they_stand() {
    let page = content(&html(&input(true)));
    assert!(
        !page.contains("<b>") && !page.contains(HOSTILE),
        "a name became markup"
    );
    let data = page.split_once("id=\"cases\"").unwrap().1;
    let data = data.split_once('>').unwrap().1;
    let data = data.split_once("</script>").unwrap().0;
    let parsed: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(parsed["eeeeeeee"]["DSC"][0][0], HOSTILE);
}

#[test]
fn synthetic_images_are_announced_where_numbers_and_claims_are() {
    let with = html(&input(true));
    assert!(with.contains("phantom-hecktor"));
    assert_eq!(with.matches("role=\"note\"").count(), 2);
    let without = html(&input(false));
    assert!(!without.contains("role=\"note\"") && !without.contains("phantom-hecktor"));
    // The same claim counts with real images only.
    assert!(with.contains("class=\"claim none\"") && with.contains("no evidence"));
    assert!(without.contains("class=\"claim supported\"") && !without.contains("no evidence"));
}

#[test]
fn cells_carry_their_numbers_and_holes_their_reason() {
    let page = html(&input(false));
    // Row Sup, mean 0.12 of three seeds with deviation 0.01: 38 deviations below the published 0.5.
    assert!(page.contains("0.1200"), "the mean");
    assert!(page.contains("±0.0100"), "the spread");
    assert!(page.contains("(38.0 standard deviations), ours is worse"));
    assert!(page.contains("class=\"cell d3 worse"));
    assert!(page.contains("data-seeds=\"1:0.1100 2:0.1200 3:0.1300\""));
    assert!(page.contains("data-runs=\"1:eeeeeeee\""));
    assert!(page.contains("data-hole=\"not run\"") && page.contains("not run (2 cells)"));
    // For HD95 smaller is better.
    assert!(page.contains("ours is better"));
}

#[test]
fn curves_and_pictures_hold_no_broken_number() {
    let page = content(&html(&input(false)));
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    assert!(page.contains("data:image/png;base64,"));
    assert!(
        page.contains("not trained"),
        "a model that is missing has its place"
    );
    assert!(page.contains("masked 80 %"));
}
