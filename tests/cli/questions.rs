//! `plan`, `why` and `diff`: what would run and why, and where a number comes from.

use std::collections::BTreeSet;

use super::project::{Project, count, counts, tiny};

#[test]
fn the_plan_says_which_field_changed_and_what_follows() {
    let project = Project::done();
    let plan = project.plan(&["tiny.toml", "--set", "finetune.epochs=3"]);
    assert_eq!(
        count(&plan, "missing"),
        counts(&[("finetune", 8), ("evaluate", 8), ("tabulate", 1)])
    );
    for stage in &plan {
        match stage.kind.as_str() {
            "finetune" => assert!(
                stage
                    .reason
                    .starts_with("finetune.epochs: 2 -> 3 (against "),
                "{stage:?}"
            ),
            "evaluate" => assert_eq!(stage.reason, "follows finetune, which runs"),
            "tabulate" => assert_eq!(stage.reason, "follows evaluate, which runs"),
            _ => assert_eq!(
                (stage.state.as_str(), stage.reason.as_str()),
                ("cached", "")
            ),
        }
    }
    // Nothing ran, and the text says the same.
    assert_eq!(project.runs().len(), 1);
    project
        .run(&["plan", "tiny.toml", "--set", "finetune.epochs=3"])
        .expect(0)
        .shows(&[
            "finetune.epochs: 2 -> 3",
            "8 x evaluate: follows finetune, which runs",
            "tabulate T: follows evaluate, which runs",
        ]);
}

#[test]
fn the_plan_names_changes_before_the_training_too() {
    let project = Project::done();
    for (set, kind, reason) in [
        (
            "amlp.cluster.method=\"dbscan\"",
            "cluster",
            "cluster.method: \"kmeans\" -> \"dbscan\"",
        ),
        (
            "prepare.crop.size=[16, 16]",
            "prepare",
            "prepare.crop.size: [32,32] -> [16,16]",
        ),
        ("split.train=60", "split", "split.train: 70 -> 60"),
        (
            "amlp.mps.enabled=false",
            "pretrain",
            "amlp.mps.enabled: true -> false",
        ),
    ] {
        let mut arguments = vec!["tiny.toml", "--set", set];
        if kind == "split" {
            arguments.extend(["--set", "split.test=30"]);
        }
        let plan = project.plan(&arguments);
        let stage = plan
            .iter()
            .find(|s| s.kind == kind && s.state == "missing")
            .unwrap_or_else(|| panic!("{set}: no missing {kind}"));
        assert!(stage.reason.contains(reason), "{set}: {stage:?}");
        let last = plan.iter().find(|s| s.kind == "tabulate").unwrap();
        assert_eq!(last.reason, "follows evaluate, which runs", "{set}");
    }
}

#[test]
fn the_plan_as_json_is_a_graph_in_order() {
    let project = Project::tiny();
    let value = project.json(&["plan", "tiny.toml", "--format", "json"]);
    let mut seen = BTreeSet::new();
    for stage in value["stages"].as_array().unwrap() {
        let fields: BTreeSet<&str> = stage
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert!(fields.is_superset(&BTreeSet::from(["key", "kind", "state", "needs", "reason"])));
        let key = stage["key"].as_str().unwrap();
        assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(stage["state"], "missing");
        assert_eq!(stage["reason"], "never run");
        for need in stage["needs"].as_array().unwrap() {
            assert!(seen.contains(need.as_str().unwrap()));
        }
        assert!(seen.insert(key.to_owned()));
    }
    assert_eq!(seen.len(), 29);
}

#[test]
fn why_shows_the_lineage_of_a_cell() {
    let project = Project::done();
    let cell = [
        "why",
        "tiny.toml",
        "T",
        "AMLP",
        "--col",
        "hecktor/CT/100/DSC",
    ];
    let value = project.json(&[&cell[..], &["--format", "json"]].concat());
    assert_eq!(
        value["cell"],
        "table T, row AMLP, phantom-hecktor/CT, 100 % labels, DSC"
    );
    let place = value["manifest"].as_str().unwrap();
    let line: usize = place.strip_prefix("tiny.toml:").unwrap().parse().unwrap();
    // The variant's own place: its header or its name.
    let text = tiny();
    let near: Vec<&str> = text.lines().skip(line - 1).take(2).collect();
    assert!(
        near.concat().contains("name = \"AMLP\""),
        "{place}: {near:?}"
    );
    assert_eq!(value["published"], serde_json::Value::Null);
    let run = &value["runs"][0];
    assert_eq!(run["seed"], 1);
    let kinds: Vec<&str> = run["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "phantom", "index", "split", "prepare", "cluster", "pretrain", "finetune", "evaluate"
        ]
    );
    let planned = project.plan(&["tiny.toml"]);
    for stage in run["stages"].as_array().unwrap() {
        assert_eq!(stage["state"], "cached");
        assert!(planned.iter().any(|p| stage["key"] == p.key.as_str()));
        assert!(std::path::Path::new(stage["folder"].as_str().unwrap()).is_dir());
        assert!(stage["provenance"]["version"].is_string());
    }
    // The mean of the cases is the number of the table.
    let result = &run["result"];
    let cases = result["per_case"].as_object().unwrap();
    let mean = cases.values().map(|v| v.as_f64().unwrap()).sum::<f64>() / cases.len() as f64;
    assert!((mean - result["value"].as_f64().unwrap()).abs() < 1e-12);
    let csv = String::from_utf8(project.tables()["table_T.csv"].clone()).unwrap();
    let row = csv
        .lines()
        .find(|l| {
            ["phantom-hecktor", "CT", "100", "AMLP", "DSC"]
                .iter()
                .all(|w| l.split(',').any(|c| c == *w))
        })
        .unwrap();
    let close = |c: &str| c.parse::<f64>().is_ok_and(|v| (v - mean).abs() < 1e-4);
    assert!(row.split(',').any(close), "{row} has no {mean}");
    // Nobody is scored whose labels were seen.
    let labelled = result["labelled_cases"].as_array().unwrap();
    assert_eq!(labelled.len(), 6, "all of the training fold at 100 %");
    assert!(
        labelled
            .iter()
            .all(|c| !cases.contains_key(c.as_str().unwrap()))
    );

    let ran = project.run(&cell).expect(0);
    ran.shows(&[
        "table T, row AMLP",
        "tiny.toml:",
        "seed 1:",
        "6 cases",
        "pretrain AMLP",
        "cached",
    ]);

    // The first column, ratio and metric where none is named; rows in any case.
    project
        .run(&["why", "tiny.toml", "T", "amlp"])
        .expect(0)
        .shows(&["hecktor/CT, 50 % labels, DSC", "tiny.toml:"]);
    // Labels at 50 % are fewer.
    let half = project.json(&[
        "why",
        "tiny.toml",
        "T",
        "Sup",
        "--col",
        "brats2018/T2/50/HD95",
        "--format",
        "json",
    ]);
    assert_eq!(
        half["runs"][0]["result"]["labelled_cases"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn why_shows_a_stage_by_the_beginning_of_its_key() {
    let project = Project::done();
    let plan = project.plan(&["tiny.toml"]);
    let stage = plan.iter().find(|s| s.kind == "prepare").unwrap();
    let value = project.json(&["why", "tiny.toml", &stage.key[..10], "--format", "json"]);
    assert_eq!(value["key"], stage.key.as_str());
    assert_eq!(
        value["preimage"]["spec"]["prepare"]["crop"]["size"],
        serde_json::json!([32, 32])
    );
    assert!(!value["files"].as_array().unwrap().is_empty());
    let readers = value["changes_with_it"].as_array().unwrap();
    // Cluster, pretraining, and four of each of finetune and evaluate, and the table.
    assert_eq!(readers.len(), 11, "{readers:?}");
    project
        .run(&["why", "tiny.toml", &stage.key[..10]])
        .expect(0)
        .shows(&[
            stage.label.as_str(),
            &stage.key,
            "prepare.crop.size = [32,32]",
            "tabulate T",
        ]);
}

#[test]
fn wrong_questions_are_answered_with_what_there_is() {
    let project = Project::tiny();
    for (arguments, says) in [
        (&["why", "tiny.toml", "T"][..], "rows: Sup, AMLP"),
        (&["why", "tiny.toml", "T", "AMPL"], "did you mean 'AMLP'?"),
        (
            &["why", "tiny.toml", "T", "Sup", "--col", "hecktor/MR"],
            "columns: hecktor/CT, brats2018/T2",
        ),
        (
            &["why", "tiny.toml", "T", "Sup", "--col", "hecktor/CT/5"],
            "label ratios: 50, 100",
        ),
        (
            &[
                "why",
                "tiny.toml",
                "T",
                "Sup",
                "--col",
                "hecktor/CT/50/Dice",
            ],
            "metrics: DSC, HD95",
        ),
        (&["why", "tiny.toml", "IV"], "tables: T"),
        (&["run", "tiny.toml", "--only", "method=Nobody"], "Nobody"),
    ] {
        project.run(arguments).expect(2).says(&["error: ", says]);
    }
    // What was not run is a hole, not an error.
    project
        .run(&["why", "tiny.toml", "T", "Sup"])
        .expect(0)
        .shows(&["no value: not run", "missing"]);
}

#[test]
fn diff_counts_what_two_manifests_share_and_names_the_fields() {
    let project = Project::tiny();
    project.write("more.toml", &tiny().replace("epochs = 2", "epochs = 3"));
    let value = project.json(&["diff", "tiny.toml", "more.toml", "--format", "json"]);
    assert_eq!(value["shared"], 12);
    assert_eq!(
        value["kinds"]["finetune"],
        serde_json::json!({ "shared": 0, "only_a": 8, "only_b": 8 })
    );
    assert_eq!(value["kinds"]["pretrain"]["shared"], 2);
    let fields = value["fields"].as_array().unwrap();
    assert!(
        fields.contains(&serde_json::json!({
            "kind": "finetune", "change": "finetune.epochs: 2 -> 3", "stages": 8
        })),
        "{fields:?}"
    );
    project
        .run(&["diff", "tiny.toml", "more.toml"])
        .expect(0)
        .shows(&[
            "A: tiny.toml",
            "B: more.toml",
            "8 x finetune: finetune.epochs: 2 -> 3",
            "8 x evaluate: follows its inputs",
        ]);
    let same = project.json(&["diff", "tiny.toml", "tiny.toml", "--format", "json"]);
    assert_eq!(
        (&same["shared"], same["fields"].as_array().unwrap().len()),
        (&29.into(), 0)
    );
}
