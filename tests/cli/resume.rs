//! `check resume`: the whole rehearsal on the tiny study.

use super::project::{Project, names};

const STUDY: &[&str] = &[
    "tiny.toml",
    "--only",
    "data=brats2018/T2,label=50",
    "--set",
    "pretrain.epochs=4",
    "--set",
    "finetune.epochs=5",
];

fn check<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["check", "resume"];
    arguments.extend(STUDY);
    arguments.extend(more);
    arguments
}

#[test]
fn killed_trainings_leave_what_undisturbed_ones_leave() {
    let project = Project::tiny();
    let ran = project.run(&check(&["--quiet"])).expect(0);
    ran.shows(&[
        "pretrain AMLP phantom-brats2018/T2 seed 1: 3 files equal, killed at epoch ",
        "finetune AMLP phantom-brats2018/T2 50 % seed 1: 3 files equal, killed at epoch ",
        "finetune Sup phantom-brats2018/T2 50 % seed 1: 3 files equal, killed at epoch ",
        "evaluate Sup phantom-brats2018/T2 50 % seed 1: ",
        "3 trainings, 6 kills: everything is equal to the undisturbed run",
    ]);
    // Nothing is written into the user's store.
    assert!(names(&project.path(".amlp")).is_empty());
    assert!(names(&project.path("results")).is_empty());
}

#[test]
fn what_the_store_has_is_used_and_left_alone() {
    let project = Project::tiny();
    let mut run = vec!["run", "--quiet"];
    run.extend(STUDY);
    project.run(&run).expect(0);
    let (records, runs) = (project.records(), project.runs());
    let found = project.json(&check(&[
        "-q",
        "--trainings=1",
        "--kills=3",
        "--format=json",
    ]));
    assert_eq!(found["equal"], true);
    let stages = found["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 1);
    assert_eq!(stages[0]["kind"], "pretrain");
    let kills = stages[0]["kills"].as_array().unwrap();
    assert_eq!(kills.len(), 3);
    // Each attempt goes on where the one before was killed.
    for kill in kills {
        let point = |p: &serde_json::Value| (p["epoch"].as_u64(), p["step"].as_u64());
        assert!(point(&kill["then"]) >= point(&kill["at"]), "{kill}");
    }
    assert_eq!((project.records(), project.runs()), (records, runs));
}
