//! Searches, measurements and manifests that include others, as they run.

use std::fs;

use serde_json::Value;

use super::project::{Planned, Project, SUP, TINY, tiny};

/// The tiny study's settings without its table.
fn settings() -> &'static str {
    TINY.split("[[study]]").next().unwrap()
}

const SEARCH: &str = r#"
[[study]]
table = "S"
title = "Search"
data = ["brats2018/T2"]
labels = [100]
metrics = ["DSC"]

[[study.step]]
name = "epochs {pretrain.epochs}"
matrix = { "pretrain.epochs" = [1, 3] }

[[study.step]]
name = "rate {pretrain.optimiser.lr}"
matrix = { "pretrain.optimiser.lr" = [1e-3, 1e-2] }
"#;

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_search_goes_on_with_what_it_chose() {
    let project = Project::empty();
    project.write("search.toml", &format!("{}{SEARCH}", settings()));
    let ran = project.run(&["run", "search.toml"]).expect(0);
    ran.shows(&["Table S. Search", "validation patients", "chosen"]);
    let plan = project.plan(&["search.toml"]);
    let stage = |label: &str| plan.iter().find(|s| s.label.starts_with(label)).unwrap();
    let choice = read(
        &project
            .artifact(stage("select pretrain.epochs "))
            .join("choice.json"),
    );
    let winner = choice["winner"].as_u64().unwrap() as usize;
    let score = |i: usize| choice["candidates"][i]["score"].as_f64().unwrap();
    assert!(score(winner) >= score(1 - winner), "{choice}");
    // The manifest says one epoch; the winner's number is what later candidates train.
    for row in ["rate 0.001", "rate 0.01"] {
        let trained = project.artifact(stage(&format!("pretrain {row}")));
        let curve = read(&trained.join("curve.json"));
        assert_eq!(curve.as_array().unwrap().len(), [1, 3][winner], "{curve}");
    }
    // The table shows the scores that were chosen by.
    let csv = fs::read_to_string(project.path("results/tiny/paper/table_S.csv")).unwrap();
    let cell = |row: &str, metric: &str| -> f64 {
        let line = csv
            .lines()
            .find(|l| l.contains(&format!(",{row},{metric},")));
        line.unwrap().split(',').nth(6).unwrap().parse().unwrap()
    };
    for (i, row) in ["epochs 1", "epochs 3"].into_iter().enumerate() {
        assert!((cell(row, "DSC") - score(i)).abs() < 1e-6, "{row}");
        assert_eq!(
            cell(row, "chosen") as usize,
            usize::from(i == winner),
            "{row}"
        );
    }
    // Everything can be asked about, exported and read back.
    project
        .run(&[
            "why",
            "search.toml",
            "S",
            "rate 0.001",
            "--col",
            "brats2018/T2/100/DSC",
        ])
        .expect(0);
    project
        .run(&["cache", "export", "search.toml", "-o", "tables.amlp"])
        .expect(0);
    project.run(&["cache", "import", "tables.amlp"]).expect(0);
    project.run(&["cache", "verify"]).expect(0);
    let again = project.run(&["run", "search.toml"]).expect(0);
    again.shows(&["Table S. Search"]);
    assert_eq!(project.runs().len(), 1, "a second run starts nothing");
}

const MEASURES: &str = r#"
[[study]]
table = "M"
title = "Categories"
data = ["hecktor/CT", "brats2018/T2"]
measure = { kind = "clustering", samples = 6 }

[[study.variant]]
name = "foreground"

[[study.variant]]
name = "background"
part = "background"

[[study.variant]]
name = "both"
part = "both"

[[study]]
table = "T"
title = "Time"
data = ["brats2018/T2"]
measure = { kind = "clustering_time", samples = 1, repeats = 1 }
metrics = ["ms_36_patches", "growth"]

[[study.variant]]
name = "k-means"
"#;

#[test]
fn measurements_fill_tables_without_any_training() {
    let project = Project::empty();
    project.write("measures.toml", &format!("{}{MEASURES}", settings()));
    let ran = project.run(&["run", "measures.toml"]).expect(0);
    ran.shows(&[
        "Table M. Categories",
        "Measured",
        "6 images",
        "Table T. Time",
    ]);
    let plan = project.plan(&["measures.toml"]);
    assert!(plan.iter().all(|s| s.state == "cached"), "{plan:?}");
    assert!(
        plan.iter()
            .all(|s| s.kind != "pretrain" && s.kind != "finetune")
    );
    let csv = fs::read_to_string(project.path("results/tiny/paper/table_M.csv")).unwrap();
    let cell = |row: &str, metric: &str| -> f64 {
        let place = format!("phantom-brats2018,T2,,{row},{metric},");
        let line = csv.lines().find(|l| l.contains(&place)).unwrap();
        line.split(',').nth(6).unwrap().parse().unwrap()
    };
    // Sixteen patches of 8 x 8 in an image of 32 x 32.
    for quantity in ["patches", "lesion_patches", "misclassified_percent"] {
        let sum = cell("foreground", quantity) + cell("background", quantity);
        assert!(
            (sum - cell("both", quantity)).abs() < 1e-5,
            "{quantity}: {csv}"
        );
    }
    assert_eq!(cell("both", "patches"), 16.0);
    assert!(cell("both", "lesion_patches") > 0.0, "{csv}");
    let time = fs::read_to_string(project.path("results/tiny/paper/table_T.csv")).unwrap();
    let line = time.lines().find(|l| l.contains("ms_36_patches")).unwrap();
    assert!(line.split(',').nth(6).unwrap().parse::<f64>().unwrap() > 0.0);
    project
        .run(&[
            "why",
            "measures.toml",
            "M",
            "both",
            "--col",
            "brats2018/T2/lesion_patches",
        ])
        .expect(0)
        .shows(&["lesion_patches", "measure foreground"]);
    project
        .run(&["cache", "export", "measures.toml", "-o", "tables.amlp"])
        .expect(0);
    project.run(&["cache", "import", "tables.amlp"]).expect(0);
}

#[test]
fn included_manifests_are_one_graph_with_their_own_results() {
    let project = Project::empty();
    let other = tiny()
        .replace("name = \"tiny\"", "name = \"other\"")
        .replace("table = \"T\"", "table = \"O\"");
    project.write("studies/tiny.toml", &format!("{TINY}{SUP}"));
    project.write("studies/other.toml", &other);
    project.write(
        "all.toml",
        "include = [\"studies/tiny.toml\", \"studies/other.toml\", \"studies/tiny.toml\"]\n",
    );
    let whole = project.plan(&["all.toml"]);
    let apart = project.plan(&["studies/tiny.toml", "studies/other.toml"]);
    let keys = |plan: &[Planned]| -> Vec<String> { plan.iter().map(|s| s.key.clone()).collect() };
    assert_eq!(keys(&whole), keys(&apart));
    // A table that one of them has.
    let part = project.plan(&["all.toml", "--only", "table=O,method=Sup"]);
    assert!(part.len() < whole.len() && part.iter().all(|s| s.kind != "pretrain"));
    project
        .run(&["plan", "all.toml", "--only", "table=Q"])
        .expect(2)
        .says(&["matches nothing"]);
    project
        .run(&["run", "all.toml", "--only", "method=Sup"])
        .expect(0)
        .shows(&["Table T. Tiny", "Table O. Tiny"]);
}
