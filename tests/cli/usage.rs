//! Exit codes, messages, and the verbs that need no study.

use std::fs;

use super::project::{AMLP, Project, SUP, TINY, count, counts, tiny};

#[test]
fn a_wrong_command_line_or_manifest_exits_with_2() {
    let project = Project::tiny();
    project.write("typo.toml", &tiny().replace("epochs = 2", "epcohs = 2"));
    for (arguments, says) in [
        (
            &["run", "typo.toml"][..],
            &["typo.toml:", "epcohs", "epochs"][..],
        ),
        (&["plan", "typo.toml"], &["typo.toml:", "epcohs", "epochs"]),
        (
            &["tiny.toml", "--profile", "smoek"],
            &["no profile 'smoek'"],
        ),
        (
            &["tiny.toml", "--set", "finetune.epcohs=2"],
            &["epcohs", "epochs"],
        ),
        (
            &["tiny.toml", "--set", "finetune.epochs=\"many\""],
            &["epochs"],
        ),
        (&["plan", "tiny.toml", "--bogus"], &["--bogus", "Usage:"]),
        (&["tiny.toml", "--data", "brats2018"], &["NAME=DIR"]),
        (&["tiny.toml", "--device", "quantum"], &["quantum"]),
        (&["nothing.toml"], &["nothing.toml", "no such file"]),
        (&["score", "-p", "a.nii"], &["--reference"]),
        (&["list", "nothing"], &["methods", "backbones"]),
        (&[], &["Usage:"]),
    ] {
        let ran = project.run(arguments).expect(2).says(says);
        assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
    }
    assert!(project.runs().is_empty());
}

#[test]
fn a_stage_that_fails_leaves_a_hole_with_its_reason_and_the_rest_is_filled() {
    let project = Project::empty();
    // With 10 % of six training cases, the one labelled HECKTOR case has no lesion.
    let text = tiny().replace("labels = [50, 100]", "labels = [10, 100]");
    project.write("tiny.toml", &text);
    let ran = project.run(&["tiny.toml"]).expect(3);
    let reason = "have no slice to train on";
    let ran = ran
        .says(&[
            "failed: finetune Sup phantom-hecktor/CT 10 % seed 1",
            reason,
            "log: ",
        ])
        .shows(&["finetune failed: ", reason, "- [1]"]);
    assert!(!ran.out.contains("not run"), "{}", ran.out);
    let plan = project.plan(&["tiny.toml"]);
    assert_eq!(count(&plan, "failed"), counts(&[("finetune", 2)]));
    assert_eq!(
        count(&plan, "missing"),
        counts(&[("evaluate", 2), ("tabulate", 1)])
    );
    let failed = plan.iter().find(|s| s.state == "failed").unwrap();
    assert!(failed.reason.contains(reason), "{failed:?}");
    let csv = String::from_utf8(project.tables()["table_T.csv"].clone()).unwrap();
    let cells: Vec<&str> = csv.lines().filter(|l| l.contains("phantom-")).collect();
    assert_eq!(
        cells.iter().filter(|l| l.contains(reason)).count(),
        4,
        "{csv}"
    );
    let markdown = String::from_utf8(project.tables()["table_T.md"].clone()).unwrap();
    assert!(markdown.contains(reason), "{markdown}");
    project
        .run(&["why", "tiny.toml", "T", "Sup", "--col", "hecktor/CT/10/DSC"])
        .expect(0)
        .shows(&["no value: finetune failed: ", reason]);
    // `table` says with its code that there are holes.
    project.run(&["table", "tiny.toml"]).expect(3);

    // Healing the cause heals the table.
    project.write("tiny.toml", &tiny());
    project.run(&["tiny.toml", "-q"]).expect(0);
    assert!(
        !String::from_utf8(project.tables()["table_T.csv"].clone())
            .unwrap()
            .contains(reason)
    );
}

/// The tiny study on two data sets of one's own.
fn own_data() -> String {
    let phantom = |kind: &str| format!("phantom = {{ kind = \"{kind}\", cases = 8, scale = 0.2 }}");
    format!("{TINY}{SUP}{AMLP}")
        .replace(&phantom("hecktor2020"), "root = \"data/hecktor\"")
        .replace(&phantom("brats2018"), "root = \"data/brats\"")
}

#[test]
fn missing_data_exits_with_4_and_says_what_to_do() {
    let project = Project::empty();
    project.write("own.toml", &own_data());
    for arguments in [&["own.toml"][..], &["check", "data", "own.toml"]] {
        let ran = project.run(arguments).expect(4);
        let all = format!("{}{}", ran.out, ran.err);
        for part in [
            "data/brats'",
            "<case>_{flair,t1,t1ce,t2,seg}.nii.gz",
            "https://www.med.upenn.edu/sbia/brats2018/registration.html",
            "data/hecktor'",
            "<case>_{ct,pt,ct_gtvt}.nii.gz",
            "https://www.aicrowd.com/challenges/miccai-2020-hecktor",
        ] {
            assert!(
                all.contains(part),
                "{arguments:?} does not say '{part}': {all}"
            );
        }
    }
    project
        .run(&["own.toml"])
        .says(&["--data NAME=DIR", "--profile smoke"]);
    // A plan needs no data.
    project
        .run(&["plan", "own.toml"])
        .expect(0)
        .shows(&["'brats2018' is not there"]);
}

#[test]
fn what_can_run_runs_where_one_data_set_is_missing() {
    let project = Project::empty();
    project.write("own.toml", &own_data());
    project
        .run(&[
            "phantom",
            "hecktor2020",
            "--cases",
            "8",
            "--scale",
            "0.2",
            "--out",
            "elsewhere",
        ])
        .expect(0);
    project
        .run(&["own.toml", "--data", "hecktor=elsewhere"])
        .expect(4)
        .says(&["'brats2018'"])
        .shows(&["the data set is not there"]);
    let csv = fs::read_to_string(project.path("results/tiny/paper/table_T.csv")).unwrap();
    let filled = csv
        .lines()
        .filter(|l| l.contains(",hecktor,") && !l.contains("not there"));
    assert_eq!(filled.count(), 8, "{csv}");
}

#[test]
fn verbs_that_need_no_study() {
    let project = Project::empty();
    project
        .run(&["--version"])
        .expect(0)
        .shows(&["amlp-run 0."]);
    project.run(&["--help"]).expect(0).shows(&[
        "run",
        "plan",
        "why",
        "score",
        "predict",
        "Exit codes: 0 done",
    ]);
    for verb in [
        "run",
        "plan",
        "table",
        "why",
        "diff",
        "list",
        "check",
        "phantom",
        "info",
        "score",
        "predict",
        "schema",
        "completions",
    ] {
        project
            .run(&[verb, "--help"])
            .expect(0)
            .shows(&["Usage: amlp-run"]);
    }
    project
        .run(&["completions", "bash"])
        .expect(0)
        .shows(&["complete", "amlp-run"]);
    let schema = project.json(&["schema"]);
    assert!(schema["properties"]["study"].is_object());
    project.run(&["list"]).expect(0).shows(&[
        "amlp",
        "unet",
        "kmeans",
        "dbscan",
        "hecktor2020",
        "HD95",
    ]);
    let metrics = project.json(&["list", "metrics", "--format", "json"]);
    assert_eq!(metrics["metrics"][0]["name"], "DSC");
    assert_eq!(metrics.as_object().unwrap().len(), 1);
}

#[test]
fn the_schema_and_the_reference_in_the_repository_are_of_this_program() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::empty();
    for (verb, file) in [
        ("schema", "schemas/experiment.schema.json"),
        ("reference", "docs/cli.md"),
    ] {
        let made = project.run(&[verb]).expect(0).out;
        let kept = fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(made == kept, "run `amlp-run {verb} > {file}`");
    }
}

#[test]
fn published_numbers_are_checked_against_themselves() {
    let project = Project::empty();
    project
        .run(&["check", "paper"])
        .expect(0)
        .shows(&["57.2823", "58.2823"]);
    let value = project
        .json(&["check", "paper", "--format", "json"])
        .to_string();
    assert!(value.contains("57.2823") && value.contains("58.2823"));
    project.write("broken.csv", "not,a,ledger\n1,2,3\n");
    project
        .run(&["check", "paper", "--ledger", "broken.csv"])
        .expect(2)
        .says(&["broken.csv"]);
}
