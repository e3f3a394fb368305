//! Networks from and for PyTorch: `weights`, and fine-tuning that starts from a file.

use std::path::Path;
use std::process::Command;

use amlp_run::nn::device::{DeviceChoice, open};
use amlp_run::nn::foreign::WeightsFile;
use amlp_run::nn::weights::{Array, Weights};
use amlp_run::options::BackboneOptions;
use amlp_run::train::Predictor;

use super::project::{Project, SUP, TINY, count, counts, names, tiny};

/// Weights of the network or encoder that a training made.
fn made(project: &Project, kind: &str, row: &str, file: &str) -> (String, Weights) {
    let plan = project.plan(&["tiny.toml"]);
    let stage = plan
        .iter()
        .find(|s| s.kind == kind && s.label.contains(row))
        .unwrap();
    let weights = Weights::load(&project.artifact(stage).join(file)).unwrap();
    (stage.key.clone(), weights)
}

#[test]
fn trained_networks_become_files_of_their_own() {
    let project = Project::done();
    let (key, network) = made(&project, "finetune", "Sup", "model.safetensors");
    let out = project.path("out/net.safetensors");
    project
        .run(&["weights", "export", &key[..8], "-o", "out/net.safetensors"])
        .expect(0)
        .shows(&["out/net.safetensors"]);
    assert_eq!(Weights::load(&out).unwrap(), network);
    project
        .run(&["weights", "show", "out/net.safetensors"])
        .expect(0)
        .shows(&["enc.0.bn1.running_mean", "F32   [2, 1, 3, 3]", "tensors, "]);
    let shown = project.json(&["weights", "show", "out/net.safetensors", "--format", "json"]);
    assert_eq!(shown["tensors"].as_array().unwrap().len(), network.0.len());
    let text = String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
    assert!(text.contains(&key) && text.contains("regions"));
    assert!(!text.contains("labelled"), "no names of patients");

    let (key, encoder) = made(&project, "pretrain", "AMLP", "encoder.safetensors");
    project
        .run(&["weights", "export", &key, "-o", "enc.safetensors"])
        .expect(0);
    assert_eq!(
        Weights::load(&project.path("enc.safetensors")).unwrap(),
        encoder
    );

    project
        .run(&["weights", "export", "0000", "-o", "x"])
        .expect(4)
        .says(&["no training '0000'", "cache ls"]);
    project.write("x.pth", "no weights");
    project
        .run(&["weights", "show", "x.pth"])
        .expect(4)
        .says(&["x.pth: neither a safetensors file nor a checkpoint"]);
}

#[test]
fn fine_tuning_starts_from_a_file() {
    let project = Project::done();
    let (key, network) = made(&project, "finetune", "Sup", "model.safetensors");
    project
        .run(&["weights", "export", &key, "-o", "w/net.safetensors"])
        .expect(0);
    // As a wrapper of PyTorch would have it.
    let wrapped: Weights = Weights(
        network
            .0
            .iter()
            .map(|(name, array)| (format!("module.{name}"), array.clone()))
            .collect(),
    );
    wrapped
        .save(&project.path("w/wrapped.safetensors"))
        .unwrap();
    let one_region = TINY.replace(", \"brats2018/T2\"", "");
    let manifest = |init: &str| format!("{one_region}{SUP}finetune.init = {init}\n");
    // So few and small steps that the start is still there at the end.
    let slow = "finetune.optimiser.lr=1e-6";
    let run = |init: &str| {
        project.write("tiny.toml", &manifest(init));
        project
            .run(&["run", "tiny.toml", "--quiet", "--set", slow])
            .expect(0);
        let plan = project.plan(&["tiny.toml", "--set", slow]);
        let stage = plan
            .iter()
            .find(|s| s.kind == "finetune" && s.label.contains("hecktor/CT 50"))
            .unwrap();
        let end = Weights::load(&project.artifact(stage).join("model.safetensors")).unwrap();
        (stage.key.clone(), end)
    };
    let apart = |a: &Array, b: &Array| {
        let differences = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs());
        differences.fold(0.0f32, f32::max)
    };
    let (whole_key, whole) = run(r#"{ file = "w/net.safetensors", part = "network" }"#);
    assert!(apart(&whole.0["out.weight"], &network.0["out.weight"]) < 1e-3);
    let (part_key, part) = run(r#"{ file = "w/wrapped.safetensors" }"#);
    let of_encoder = "enc.1.conv1.weight";
    assert!(apart(&part.0[of_encoder], &network.0[of_encoder]) < 1e-3);
    assert!(apart(&part.0["out.weight"], &network.0["out.weight"]) > 1e-2);
    assert_ne!(whole_key, part_key);

    // The content is what counts, not the name.
    std::fs::copy(
        project.path("w/net.safetensors"),
        project.path("other name"),
    )
    .unwrap();
    let text = manifest(r#"{ file = "other name", part = "network" }"#);
    project.write("tiny.toml", &text);
    let plan = project.plan(&["tiny.toml", "--set", slow]);
    assert_eq!(count(&plan, "missing"), counts(&[]));
    wrapped.save(&project.path("other name")).unwrap();
    let plan = project.plan(&["tiny.toml", "--set", slow]);
    assert_eq!(
        count(&plan, "missing"),
        counts(&[("finetune", 2), ("evaluate", 2), ("tabulate", 1)])
    );

    // Files that are not there or of another network are named.
    project
        .run(&[
            "run",
            "tiny.toml",
            "--set",
            "finetune.init.file=\"none.pth\"",
        ])
        .expect(4)
        .says(&["finetune.init.file", "none.pth", "folder of the project"]);
    project
        .run(&["run", "tiny.toml", "--quiet", "--set", "backbone.width=3"])
        .expect(3)
        .says(&["other name", "has shape [4], the network needs [6]"]);
    assert!(!names(&project.path("w")).is_empty());
}

#[test]
fn checkpoints_of_pytorch_start_a_study() {
    let project = Project::empty();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch/wrapped.pth");
    std::fs::copy(golden, project.path("net.pth")).unwrap();
    let text = format!("{TINY}{SUP}finetune.init.file = \"net.pth\"\nbackbone.depth = 1\n");
    project.write("tiny.toml", &text);
    project
        .run(&["run", "tiny.toml", "--quiet", "--only", "data=hecktor/CT"])
        .expect(0);
}

/// With `AMLP_TORCH_PYTHON` a python that has torch: a trained network that was exported gives
/// the same numbers there.
#[test]
fn pytorch_computes_what_the_exported_network_computes() {
    let Ok(python) = std::env::var("AMLP_TORCH_PYTHON") else {
        println!("skipped: AMLP_TORCH_PYTHON names no python with torch");
        return;
    };
    let project = Project::empty();
    project.write("tiny.toml", &tiny());
    project
        .run(&[
            "run",
            "tiny.toml",
            "--quiet",
            "--only",
            "method=AMLP,label=100",
        ])
        .expect(0);
    let (key, network) = made(
        &project,
        "finetune",
        "AMLP phantom-hecktor/CT 100",
        "model.safetensors",
    );
    project
        .run(&["weights", "export", &key, "-o", "net.safetensors"])
        .expect(0);
    let pixels: Vec<f32> = (0..2 * 32 * 32)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
        .collect();
    let images = Array {
        shape: vec![2, 1, 32, 32],
        values: pixels.clone(),
    };
    let file = |name: &str| project.path(name).display().to_string();
    Weights([("images".to_owned(), images)].into())
        .save(&project.path("images.safetensors"))
        .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch/make.py");
    let ran = Command::new(python)
        .arg(script)
        .args(["--predict", &file("net.safetensors")])
        .args(["--images", &file("images.safetensors")])
        .args(["--out", &file("out.safetensors")])
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let theirs = Weights::load(&project.path("out.safetensors")).unwrap();
    let backbone = BackboneOptions {
        width: 2,
        depth: 2,
        ..BackboneOptions::default()
    };
    let device = open(DeviceChoice::Cpu).unwrap();
    let ours = Predictor::new(&network, &backbone, [1, 32, 32], 1, &device)
        .unwrap()
        .probabilities(pixels)
        .unwrap();
    let theirs = theirs.0["logits"]
        .values
        .iter()
        .map(|x| 1.0 / (1.0 + (-x).exp()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0f32, f32::max);
    println!("off by {worst:e}");
    assert!(worst < 1e-5, "{worst}");
    // What was exported opens as a file to start from, too.
    let opened = WeightsFile::open(&project.path("net.safetensors")).unwrap();
    assert_eq!(opened.entries().len(), network.0.len());
}
