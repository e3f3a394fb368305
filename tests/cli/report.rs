//! `report` of a store: whole, half-finished and empty.

use std::fs;

use super::project::Project;

#[test]
fn a_finished_study_gives_a_whole_page() {
    let project = Project::done();
    project
        .run(&["report", "tiny.toml", "-o", "out/report.html"])
        .expect(0)
        .shows(&["out/report.html"]);
    let page = fs::read_to_string(project.path("out/report.html")).unwrap();
    for id in [
        "tables",
        "figures",
        "pictures",
        "categories",
        "labels",
        "curves",
        "graph",
        "timings",
        "provenance",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "no {id}");
    }
    for stage in project.plan(&["tiny.toml"]) {
        assert!(page.contains(&stage.key), "no {}", stage.label);
    }
    // Two data sets, two rows, and their references.
    assert_eq!(page.matches("class=\"said ").count(), 2 * (1 + 3));
    assert!(
        page.contains("keep_network=true"),
        "why there is no reconstruction"
    );

    project
        .run(&["report", "tiny.toml", "-o", "plain.html", "--no-pictures"])
        .expect(0);
    let plain = fs::read_to_string(project.path("plain.html")).unwrap();
    assert!(!plain.contains("data:image") && plain.len() < page.len());
}

#[test]
fn a_kept_network_is_shown_at_work() {
    let project = Project::tiny();
    let keep = [
        "--set",
        "pretrain.keep_network=true",
        "--only",
        "method=AMLP,label=50,data=hecktor/CT",
    ];
    let mut run = vec!["run", "tiny.toml", "--quiet"];
    run.extend(keep);
    project.run(&run).expect(0);
    let mut report = vec!["report", "tiny.toml", "-o", "report.html"];
    report.extend(keep);
    project.run(&report).expect(0);
    let page = fs::read_to_string(project.path("report.html")).unwrap();
    assert!(page.contains("reconstruction: "), "no picture of one");
    assert!(!page.contains("<code>--set pretrain.keep_network=true</code>"));
}

#[test]
fn what_has_not_run_is_a_hole_with_its_reason() {
    let project = Project::tiny();
    project
        .run(&["report", "tiny.toml", "-o", "report.html"])
        .expect(3);
    let page = fs::read_to_string(project.path("report.html")).unwrap();
    assert!(page.contains("not run (16 cells)"));
    assert!(!page.contains("<section id=\"curves\""));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let project = Project::tiny();
    project.write("file", "");
    project
        .run(&["report", "tiny.toml", "-o", "file/report.html"])
        .expect(1)
        .says(&["cannot write"]);
}
