//! `trace` and the forecast of `plan`: what a run leaves for those who ask about time.

use std::fs;

use serde_json::Value;

use super::project::{Project, names};

#[test]
fn a_run_is_exported_for_other_programs() {
    let project = Project::tiny();
    project
        .run(&["run", "tiny.toml", "--quiet", "--tensorboard", "live"])
        .expect(0);
    project
        .run(&["trace"])
        .expect(0)
        .shows(&["% busy", "pretrain", "finetune", "longest"]);
    let run = &project.runs()[0];
    project
        .run(&[
            "trace",
            run,
            "--chrome",
            "trace.json",
            "--tensorboard",
            "board",
        ])
        .expect(0)
        .says(&["TensorBoard: 10 trainings in board"]);
    let trace: Value =
        serde_json::from_slice(&fs::read(project.path("trace.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let stages = events
        .iter()
        .filter(|e| e["ph"] == "X" && e["cat"] != "epoch");
    assert_eq!(stages.count(), 29);
    let event = |kind: &str| -> Value {
        let log = fs::read_to_string(project.path(".amlp/runs").join(run).join("events.jsonl"));
        log.unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|entry| entry["event"]["type"] == "progress")
            .map(|entry| entry["event"]["progress"].clone())
            .find(|progress| progress["scalars"][kind].is_number())
            .unwrap()
    };
    // What the method adds at the end of an epoch stands beside the last step.
    let end = event("ratio");
    assert_eq!(end["step"], end["steps"]);
    assert!(end["lr"].is_number() && end["loss"].is_number());
    let spans = project.json(&["trace", "--format", "json"]);
    assert_eq!(spans["spans"].as_array().unwrap().len(), 29);

    // A folder for each of 2 pre-trainings and 8 fine-tunings, the same live and afterwards.
    let folders = names(&project.path("board"));
    assert_eq!(folders.len(), 10, "{folders:?}");
    assert_eq!(names(&project.path("live")), folders);
    for folder in folders {
        let size = |name: &str| -> u64 {
            let folder = project.path(name).join(&folder);
            let files = names(&folder);
            assert!(files.len() == 1 && files[0].starts_with("events.out.tfevents."));
            fs::metadata(folder.join(&files[0])).unwrap().len()
        };
        assert!(size("board") > 100);
        assert_eq!(size("board"), size("live"));
    }
}

#[test]
fn a_forecast_comes_from_stages_that_have_run() {
    let project = Project::tiny();
    project
        .run(&["plan", "tiny.toml"])
        .expect(0)
        .shows(&["no forecast: the store has no stage of these kinds"]);
    let before = project.json(&["plan", "tiny.toml", "--format", "json"]);
    assert_eq!(before["forecast"]["unknown"], 29);
    assert_eq!(before["forecast"]["wall_s"], 0.0);
    assert!(before["stages"][0]["forecast"].is_null());

    project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    let done = project.json(&["plan", "tiny.toml", "--format", "json"]);
    assert_eq!(done["forecast"]["kinds"].as_array().unwrap().len(), 0);

    let other_seed = ["plan", "tiny.toml", "--set", "seeds=[2]"];
    let forecast = project.json(&[&other_seed[..], &["--format", "json", "--jobs", "1"]].concat())
        ["forecast"]
        .clone();
    assert_eq!(
        (&forecast["unknown"], &forecast["slots"]),
        (&0.into(), &1.into())
    );
    for kind in forecast["kinds"].as_array().unwrap() {
        let basis = match kind["kind"].as_str().unwrap() {
            "tabulate" => "kind",
            _ => "same",
        };
        assert_eq!(kind["basis"], basis, "{kind}");
        assert!(kind["work_s"].as_f64().unwrap() > 0.0, "{kind}");
    }
    // On one slot everything comes one after the other.
    let (wall, work) = (
        forecast["wall_s"].as_f64().unwrap(),
        forecast["work_s"].as_f64().unwrap(),
    );
    assert!((wall - work).abs() < 1e-6 * work, "{forecast}");
    assert!(forecast["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    project.run(&other_seed).expect(0).shows(&[
        "forecast from past stages on cpu-flex",
        "same but for the seed",
        "one after the other",
        "slots",
    ]);
    let longer = project.run(&["plan", "tiny.toml", "--set", "pretrain.epochs=5"]);
    longer.expect(0).shows(&["scaled from the same method"]);
}
