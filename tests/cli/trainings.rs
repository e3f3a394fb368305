//! Trainings that go wrong, as their user hears of it.

use std::path::Path;
use std::time::Duration;

use super::project::{Project, names};

/// The only training and its evaluation of one cell.
const ONE: &str = "method=Sup,label=100,data=brats2018/T2";

#[test]
fn a_loss_that_is_not_finite_stops_the_training_and_says_where_to_look() {
    let project = Project::tiny();
    let arguments = [
        "run",
        "tiny.toml",
        "--only",
        ONE,
        // Without memory of past gradients one that vanishes is divided by next to nothing.
        "--set",
        "finetune.optimiser.lr=1",
        "--set",
        "finetune.optimiser.betas=[0.9, 0.0]",
        "--set",
        "finetune.optimiser.eps=1e-38",
        "--set",
        "finetune.epochs=60",
        "--checkpoint-minutes",
        "0",
    ];
    let ran = project.run(&arguments).expect(3).says(&[
        "the loss became NaN in epoch ",
        "the last finite losses were ",
        "the checkpoint to look at is '",
        "1 failed",
    ]);
    let (_, rest) = ran.err.split_once("look at is '").unwrap();
    let (checkpoint, _) = rest.split_once('\'').unwrap();
    assert!(Path::new(checkpoint).is_file(), "{checkpoint}");
    // It is not tried again by itself.
    let attempts = Path::new(checkpoint).with_file_name("attempts");
    assert_eq!(std::fs::read_to_string(attempts).unwrap(), "1");
    assert!(!ran.err.contains("trying again"), "{}", ran.err);
}

#[test]
fn checkpoint_minutes_are_a_length_of_time() {
    let project = Project::tiny();
    for bad in ["-1", "NaN", "soon", "1e9"] {
        project
            .run(&["run", "tiny.toml", &format!("--checkpoint-minutes={bad}")])
            .expect(2)
            .says(&["--checkpoint-minutes"]);
    }
}

#[test]
fn a_training_in_passes_has_a_key_of_its_own_and_says_so() {
    let project = Project::tiny();
    let plain = project.plan(&["tiny.toml", "--only", ONE]);
    let arguments = [
        "tiny.toml",
        "--only",
        ONE,
        "--set",
        "finetune.micro_batch=3",
    ];
    let small = project.plan(&arguments);
    let key = |plan: &[super::project::Planned]| {
        let stage = plan.iter().find(|s| s.kind == "finetune").unwrap();
        stage.key.clone()
    };
    assert_ne!(key(&plain), key(&small));
    // The default written out is the default.
    let whole = project.plan(&[
        "tiny.toml",
        "--only",
        ONE,
        "--set",
        "finetune.micro_batch=0",
    ]);
    assert_eq!(key(&plain), key(&whole));
    let mut run = vec!["run", "-q"];
    run.extend(arguments);
    project.run(&run).expect(0);
    let stage = small.iter().find(|s| s.kind == "finetune").unwrap();
    let record = std::fs::read_to_string(project.artifact(stage).join("stage.json")).unwrap();
    assert!(
        record.contains("\"micro_batch\":3,\"attempts\":1"),
        "{record}"
    );
}

/// Address space that holds a training with half of its batch and not with all of it (they end at
/// 240,000 and 450,000), in KiB.
#[cfg(target_os = "linux")]
const LIMIT: &str = "ulimit -v 340000; exec \"$0\" \"$@\"";

#[cfg(target_os = "linux")]
#[test]
fn out_of_memory_halves_the_images_per_pass_where_the_manifest_allows() {
    let project = Project::tiny();
    let study = [
        "tiny.toml",
        "--only",
        ONE,
        "--set=backbone.width=16",
        "--set=prepare.crop.size=[64, 64]",
        "--set=data.brats2018.phantom.scale=0.4",
        "--set=slices.per_case=32",
        "--set=finetune.epochs=1",
        "--set=finetune.batch=128",
    ];
    let run = |more: &[&str]| {
        let exe = env!("CARGO_BIN_EXE_amlp-run");
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", LIMIT, exe, "run", "--jobs=1", "--threads=1"])
            .args(study)
            .args(more)
            .current_dir(project.path(""))
            .env("MALLOC_ARENA_MAX", "1")
            .env_remove("AMLP_STORE")
            .env_remove("AMLP_DATA");
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), err)
    };
    let (code, err) = run(&["--retries=0"]);
    assert_eq!(code, Some(3), "{err}");
    for part in [
        "out of memory: memory allocation of ",
        "finetune.on_out_of_memory = \"halve\"",
    ] {
        assert!(err.contains(part), "{err}");
    }
    let halve = "--set=finetune.on_out_of_memory=halve";
    let (code, err) = run(&["--retries=0", halve]);
    assert_eq!(code, Some(0), "{err}");
    for part in [
        "once more with half the images per pass",
        "ran out of memory and was tried again with half the images per pass",
    ] {
        assert!(err.contains(part), "{err}");
    }
    let mut plan: Vec<&str> = study.to_vec();
    plan.push(halve);
    let plan = project.plan(&plan);
    let stage = plan.iter().find(|s| s.kind == "finetune").unwrap();
    let record = std::fs::read_to_string(project.artifact(stage).join("stage.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let images = record["provenance"]["micro_batch"].as_u64().unwrap();
    assert!((2..=64).contains(&images), "{images}");
    assert_eq!(record["provenance"]["attempts"], 2);
}

/// Where the only training of a project stands by its checkpoint: epoch in progress, steps done.
fn kept(project: &Project) -> Option<(u64, u64)> {
    let work = project.path(".amlp/work");
    let keys = names(&work).into_iter();
    let file = keys
        .map(|key| work.join(key).join("checkpoint.safetensors"))
        .find(|file| file.exists())?;
    let bytes = std::fs::read(file).ok()?;
    let length = u64::from_le_bytes(*bytes.first_chunk()?) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let position = header["__metadata__"]["position"].as_str().unwrap();
    let position: serde_json::Value = serde_json::from_str(position).unwrap();
    Some((
        position["epoch"].as_u64().unwrap(),
        position["step"].as_u64().unwrap(),
    ))
}

/// The last epoch that the log of the only run tells of.
fn told(project: &Project) -> u64 {
    let runs = project.runs();
    let log = project
        .path(".amlp/runs")
        .join(&runs[0])
        .join("events.jsonl");
    let text = std::fs::read_to_string(log).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|entry| entry["event"]["progress"]["epoch"].as_u64())
        .max()
        .unwrap()
}

#[test]
fn a_signal_makes_a_training_keep_where_it_stands() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
        let project = Project::tiny();
        let mut runner = project
            .command(&[
                "run",
                "tiny.toml",
                "--only",
                ONE,
                "--set=finetune.epochs=1000000",
                "--checkpoint-minutes=60",
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The end of the first epoch is always kept.
        while kept(&project).is_none() {
            assert!(runner.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(runner.id() as i32, signal) };
        assert_eq!(runner.wait().unwrap().code(), Some(130));
        let (epoch, _) = kept(&project).unwrap();
        let told = told(&project);
        assert!(epoch >= told && epoch > 1, "kept {epoch}, told {told}");
    }
}
