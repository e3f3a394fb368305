//! `run` and `table`: what is made, what is made again, and what is shared.

use std::collections::BTreeSet;
use std::fs;

use super::project::{AMLP, Project, SUP, TINY, count, counts, keys, names, tiny};

/// Stages of the tiny study.
const STAGES: [(&str, usize); 9] = [
    ("phantom", 2),
    ("index", 2),
    ("split", 2),
    ("prepare", 2),
    ("cluster", 2),
    ("pretrain", 2),
    ("finetune", 8),
    ("evaluate", 8),
    ("tabulate", 1),
];

#[test]
fn a_run_makes_the_store_and_the_tables_and_a_second_run_makes_nothing() {
    let project = Project::tiny();
    let before = project.plan(&["tiny.toml"]);
    assert_eq!(count(&before, "missing"), counts(&STAGES));
    // `amlp-run FILE` is `amlp-run run FILE`.
    let ran = project.run(&["tiny.toml"]).expect(0);
    let folder = fs::canonicalize(project.path("results/tiny/paper")).unwrap();
    ran.shows(&[
        "Table T. Tiny",
        "phantom-hecktor",
        "phantom-brats2018",
        "synthetic images",
        "50 % labels",
        &format!("tables: {}", folder.display()),
    ])
    .says(&["29 stages to run", "0 cached"]);
    assert_eq!(names(&folder), ["table_T.csv", "table_T.md", "table_T.tex"]);
    let csv = fs::read_to_string(folder.join("table_T.csv")).unwrap();
    let cells: Vec<&str> = csv
        .lines()
        .filter(|l| !l.starts_with('#') && l.contains("phantom-"))
        .collect();
    assert_eq!(
        cells.len(),
        2 * 2 * 2 * 2,
        "rows x columns x labels x metrics: {csv}"
    );
    assert_eq!(project.runs().len(), 1);

    let plan = project.plan(&["tiny.toml"]);
    assert_eq!(count(&plan, "cached"), counts(&STAGES));
    assert!(plan.iter().all(|s| s.reason.is_empty()));

    let (records, tables) = (project.records(), project.tables());
    assert_eq!(records.len(), 29);
    let again = project.run(&["run", "tiny.toml"]).expect(0);
    again.shows(&["Table T. Tiny"]);
    assert_eq!(project.runs().len(), 1, "a run of nothing leaves no folder");
    assert_eq!(project.records(), records);
    assert_eq!(project.tables(), tables);
}

#[test]
fn dry_run_and_plan_leave_no_trace() {
    let project = Project::tiny();
    let dry = project.run(&["run", "tiny.toml", "--dry-run"]).expect(0);
    dry.shows(&["tiny, profile paper", "table T", "pretrain", "29"]);
    project.run(&["plan", "tiny.toml", "--verbose"]).expect(0);
    project
        .run(&["plan", "tiny.toml", "--format", "dot"])
        .expect(0)
        .shows(&["digraph"]);
    assert!(project.runs().is_empty() && project.records().is_empty());
    assert!(names(&project.path("results")).is_empty());
}

#[test]
fn what_is_deleted_is_made_again_and_nothing_else() {
    let project = Project::done();
    let tables = project.tables();
    let plan = project.plan(&["tiny.toml"]);
    for kind in ["evaluate", "tabulate"] {
        let stage = plan.iter().find(|s| s.kind == kind).unwrap();
        let before = project.records();
        fs::remove_dir_all(project.artifact(stage)).unwrap();
        let missing = project.plan(&["tiny.toml"]);
        assert_eq!(count(&missing, "missing"), counts(&[(kind, 1)]));
        project
            .run(&["run", "tiny.toml"])
            .expect(0)
            .says(&[&format!("1 stages to run (1 {kind}), 28 cached")]);
        let after = project.records();
        let changed: Vec<_> = after.iter().filter(|(k, v)| before[*k] != **v).collect();
        assert_eq!(changed.len(), 1);
        assert!(changed[0].0.starts_with(project.artifact(stage)));
        assert_eq!(project.tables(), tables);
    }

    // An input of what is cached is not needed, and `plan` says so instead of promising a run.
    let stage = plan.iter().find(|s| s.kind == "pretrain").unwrap();
    fs::remove_dir_all(project.artifact(stage)).unwrap();
    let missing = project.plan(&["tiny.toml"]);
    let shown = missing.iter().find(|s| s.key == stage.key).unwrap();
    assert_eq!(shown.state, "missing");
    assert!(shown.reason.contains("not needed"), "{}", shown.reason);
    let runs = project.runs();
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.runs(), runs);
}

#[test]
fn results_that_are_deleted_are_copied_from_the_store() {
    let project = Project::done();
    let tables = project.tables();
    fs::remove_dir_all(project.path("results")).unwrap();
    let (runs, records) = (project.runs(), project.records());
    project
        .run(&["table", "tiny.toml"])
        .expect(0)
        .shows(&["Table T."]);
    assert_eq!(project.tables(), tables);
    assert_eq!((project.runs(), project.records()), (runs, records));
    // Elsewhere on demand.
    project
        .run(&["table", "tiny.toml", "--results", "elsewhere"])
        .expect(0);
    assert_eq!(
        fs::read(project.path("elsewhere/tiny/paper/table_T.csv")).unwrap(),
        tables["table_T.csv"]
    );
}

/// After an edit of the manifest: what is missing, and that all else is shared.
fn after_edit(name: &str, text: &str, missing: &[(&str, usize)]) {
    let project = Project::tiny();
    project.write("edited.toml", text);
    let old = project.plan(&["tiny.toml"]);
    let new = project.plan(&["edited.toml"]);
    let known = keys(&old);
    let fresh: Vec<_> = new
        .iter()
        .filter(|s| !known.contains(s.key.as_str()))
        .cloned()
        .collect();
    assert_eq!(count(&fresh, "missing"), counts(missing), "{name}");
}

#[test]
fn edits_of_the_manifest_share_every_stage_that_they_do_not_touch() {
    let base = tiny();
    let edit = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        base.replacen(from, to, 1)
    };
    // A variant that no code knows: 2 data sets x 2 label ratios.
    after_edit(
        "variant",
        &format!("{base}\n[[study.variant]]\nname = \"gentle\"\namlp.amr.sigma0 = 0.15\n"),
        &[
            ("pretrain", 2),
            ("finetune", 4),
            ("evaluate", 4),
            ("tabulate", 1),
        ],
    );
    after_edit(
        "clustering",
        &format!(
            "{base}\n[[study.variant]]\nname = \"DBSCAN\"\namlp.cluster.method = \"dbscan\"\n"
        ),
        &[
            ("cluster", 2),
            ("pretrain", 2),
            ("finetune", 4),
            ("evaluate", 4),
            ("tabulate", 1),
        ],
    );
    after_edit(
        "label ratio",
        &edit("labels = [50, 100]", "labels = [50, 75, 100]"),
        &[("finetune", 4), ("evaluate", 4), ("tabulate", 1)],
    );
    after_edit(
        "modality",
        &edit("\"hecktor/CT\", ", "\"hecktor/CT\", \"hecktor/PET\", "),
        &[
            ("prepare", 1),
            ("cluster", 1),
            ("pretrain", 1),
            ("finetune", 4),
            ("evaluate", 4),
            ("tabulate", 1),
        ],
    );
    after_edit(
        "both modalities as channels",
        &edit("\"hecktor/CT\", ", "\"hecktor/CT+PET\", \"hecktor/CT\", "),
        &[
            ("prepare", 1),
            ("cluster", 1),
            ("pretrain", 1),
            ("finetune", 4),
            ("evaluate", 4),
            ("tabulate", 1),
        ],
    );
    after_edit(
        "metric",
        &edit(
            "metrics = [\"DSC\", \"HD95\"]",
            "metrics = [\"DSC\", \"HD95\", \"BIoU\"]",
        ),
        &[("tabulate", 1)],
    );
    after_edit(
        "title",
        &edit("title = \"Tiny\"", "title = \"Small\""),
        &[("tabulate", 1)],
    );
    after_edit("comment", &format!("# nothing\n{base}"), &[]);
    after_edit(
        "rows in another order",
        &format!("{TINY}{AMLP}{SUP}"),
        &[("tabulate", 1)],
    );
}

#[test]
fn an_edited_study_runs_only_what_is_new() {
    let project = Project::done();
    let before: BTreeSet<_> = project.records().into_keys().collect();
    project.write(
        "tiny.toml",
        &format!(
            "{}\n[[study.variant]]\nname = \"DBSCAN\"\namlp.cluster.method = \"dbscan\"\n",
            tiny()
        ),
    );
    project
        .run(&["tiny.toml"])
        .expect(0)
        .shows(&["DBSCAN"])
        .says(&["13 stages to run (2 cluster, 2 pretrain, 4 finetune, 4 evaluate, 1 tabulate)"]);
    let after: BTreeSet<_> = project.records().into_keys().collect();
    assert!(before.is_subset(&after));
    assert_eq!(after.len(), before.len() + 13);
}

#[test]
fn a_part_of_the_study_is_shown_and_replaces_no_file() {
    let project = Project::tiny();
    let ran = project
        .run(&["tiny.toml", "--only", "method=Sup", "--only", "label=100"])
        .expect(0);
    assert!(
        !ran.out.contains("AMLP") && ran.out.contains("Sup"),
        "{}",
        ran.out
    );
    assert!(names(&project.path("results")).is_empty());
    // The whole shares it.
    let plan = project.plan(&["tiny.toml"]);
    assert_eq!(count(&plan, "cached")["evaluate"], 2);
    assert_eq!(count(&plan, "missing")["evaluate"], 6);
}

#[test]
fn two_manifests_run_together_and_share() {
    let project = Project::tiny();
    project.write(
        "other.toml",
        &tiny().replace("name = \"tiny\"", "name = \"other\""),
    );
    project.run(&["tiny.toml", "other.toml", "-q"]).expect(0);
    // One table more: its experiment has another name.
    assert_eq!(project.records().len(), 30);
    assert_eq!(names(&project.path("results")), ["other", "tiny"]);
}
