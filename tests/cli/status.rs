//! `status`, `watch`, `cancel` and `retry`: a run seen from outside.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::project::{Planned, Project, count};

/// A project in which one pre-training cannot be made, and its key: a file stands where its work
/// folder goes.
fn obstructed() -> (Project, Planned) {
    let project = Project::tiny();
    let plan = project.plan(&["tiny.toml"]);
    let stage = plan.iter().find(|s| s.kind == "pretrain").unwrap().clone();
    project.write(&format!(".amlp/work/{}", stage.key), "in the way");
    (project, stage)
}

#[test]
fn status_of_a_run_that_finished() {
    let project = Project::done();
    let run = project.runs()[0].clone();
    let shown = project.run(&["status"]).expect(0);
    shown.shows(&[
        &format!("run {run} finished after"),
        "amlp-run run tiny.toml --quiet",
        "29 of 29 stages done",
        &run,
    ]);
    let status = project.json(&["status", &run[..10], "--format", "json"]);
    assert_eq!(status["run"], run.as_str());
    assert_eq!(status["state"], "finished");
    assert_eq!(status["engine"], "local");
    assert_eq!(
        (&status["total"], &status["done"]),
        (&29.into(), &29.into())
    );
    assert_eq!(status["failed"].as_array().unwrap().len(), 0);
    project
        .run(&["status", "--all"])
        .expect(0)
        .shows(&[&run, "finished", "29 of 29"]);
    project
        .run(&["status", "1999"])
        .expect(2)
        .says(&["no single run", "'1999'", "--all"]);
    project
        .run(&["status", "--store", "elsewhere"])
        .expect(2)
        .says(&["'elsewhere' has no run"]);
    assert!(
        !project.path("elsewhere").exists(),
        "a reader writes nothing"
    );
    project.run(&["watch"]).expect(0).says(&["done: 29 ran"]);
    project
        .run(&["cancel"])
        .expect(0)
        .shows(&["is over: it finished"]);
    project
        .run(&["retry"])
        .expect(0)
        .shows(&["nothing is left of run", "that failed"]);
    assert_eq!(project.runs().len(), 1);
}

#[test]
fn retry_runs_what_failed_and_what_was_skipped_from_the_frozen_plan() {
    let quiet = Project::done();
    let (project, stage) = obstructed();
    project
        .run(&["run", "tiny.toml", "--quiet"])
        .expect(3)
        .says(&["failed:", &stage.label, "incomplete:"]);
    let failed_run = project.runs()[0].clone();
    let shown = project.run(&["status"]).expect(0);
    shown.shows(&[
        "finished after",
        "1 failed, 5 skipped",
        &format!("failed: {} ({})", stage.label, &stage.key[..8]),
        "skipped because of it:",
        &stage.key,
    ]);
    let status = project.json(&["status", "--format", "json"]);
    assert_eq!(status["failed"][0]["key"], stage.key.as_str());
    assert_eq!(status["skipped"].as_array().unwrap().len(), 5);
    assert!(
        status["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["because"] == stage.key.as_str())
    );
    project.run(&["watch"]).expect(3).says(&["1 failed"]);
    // Still in the way.
    project.run(&["retry", "--quiet"]).expect(3);

    let before = project.records();
    fs::remove_file(project.path(&format!(".amlp/work/{}", stage.key))).unwrap();
    // It never plans again: there is no manifest any more.
    fs::remove_file(project.path("tiny.toml")).unwrap();
    project
        .run(&["retry", &failed_run])
        .expect(0)
        .says(&["6 stages to run (1 pretrain, 2 finetune, 2 evaluate, 1 tabulate)"])
        .shows(&["Table T. Tiny", "tables:"]);
    let after = project.records();
    assert_eq!(after.len(), before.len() + 6);
    assert!(before.iter().all(|(path, record)| after[path] == *record));
    assert_eq!(project.tables(), quiet.tables());

    let status = project.json(&["status", "--format", "json"]);
    assert_eq!(status["retry_of"], failed_run.as_str());
    assert_eq!(status["state"], "finished");
    let old = project.json(&["status", &failed_run, "--format", "json"]);
    assert_eq!(old["mended"].as_array().unwrap().len(), 6);
    project
        .run(&["status", &failed_run])
        .expect(0)
        .shows(&["6 of them made since", "failed, made since:"]);
    project
        .run(&["retry", &failed_run])
        .expect(0)
        .shows(&["nothing is left"]);
}

/// Starts a run whose pre-training does not end by itself, and waits until it trains.
fn endless(project: &Project) -> Child {
    let child = project
        .command(&[
            "run",
            "tiny.toml",
            "--quiet",
            "--set",
            "pretrain.epochs=1000000",
            "--jobs",
            "1",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !trains(project) {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "it never trains"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    child
}

/// Whether a training of the last run has told a loss.
fn trains(project: &Project) -> bool {
    !project.runs().is_empty()
        && project.json(&["status", "--format", "json"])["running"]
            .as_array()
            .unwrap()
            .iter()
            .any(|stage| stage["progress"]["loss"].is_number())
}

#[test]
fn a_run_is_watched_and_cancelled_from_another_process() {
    let project = Project::tiny();
    let mut run = endless(&project);
    project.run(&["status"]).expect(0).shows(&[
        "is running for",
        &format!("process {}", run.id()),
        "epoch ",
        "/1000000",
        "loss ",
        "images/s",
    ]);
    project
        .run(&["retry"])
        .expect(2)
        .says(&["is not over", "amlp-run watch"]);
    let watch = project
        .command(&["watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough for the watcher to catch up; it would find the same end later.
    std::thread::sleep(Duration::from_millis(500));
    project.run(&["cancel"]).expect(0).shows(&["asked run"]);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let watch = watch.wait_with_output().unwrap();
    assert_eq!(watch.status.code(), Some(130));
    let told = String::from_utf8(watch.stderr).unwrap();
    assert!(told.contains("interrupted:"), "{told}");
    project
        .run(&["status"])
        .expect(0)
        .shows(&["was interrupted after"]);
    project
        .run(&["cancel"])
        .expect(0)
        .shows(&["is over: it was interrupted"]);
    project
        .run(&["retry"])
        .expect(0)
        .shows(&["did not end", "amlp-run run"]);
    // It kept a checkpoint.
    let plan = project.plan(&["tiny.toml", "--set", "pretrain.epochs=1000000"]);
    let trainings = count(&plan, "missing")["pretrain"];
    assert_eq!(trainings, 2);
    let kept = plan
        .iter()
        .any(|s| s.kind == "pretrain" && project.path(".amlp/work").join(&s.key).is_dir());
    assert!(kept);
}

#[test]
fn a_run_that_died_says_so() {
    let project = Project::tiny();
    let mut run = endless(&project);
    let before = project.json(&["status", "--format", "json"]);
    run.kill().unwrap();
    run.wait().unwrap();
    project
        .run(&["status"])
        .expect(0)
        .shows(&["died after", "its process is gone"]);
    project
        .run(&["watch"])
        .expect(1)
        .says(&["died", "amlp-run run"]);
    project.run(&["cancel"]).expect(0).shows(&["it died"]);
    let after = project.json(&["status", "--format", "json"]);
    assert_eq!(after["running"].as_array().unwrap().len(), 0);
    assert!(after["done"].as_u64() >= before["done"].as_u64());
}
