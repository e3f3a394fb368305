//! Our side of `training.py`: one kind of step, on a device, timed. Prints one line of JSON.

use std::ops::ControlFlow;
use std::time::Instant;

use amlp_run::data::images::InMemory;
use amlp_run::nn::backbone::{UNet, UNet3d};
use amlp_run::nn::device::{DeviceChoice, open};
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::layer::to_slices;
use amlp_run::options::{
    AmlpOptions, BackboneOptions, CclMode, ComputePrecision, FinetuneOptions, OptimiserOptions,
    PretrainOptions, RrlMode,
};
use amlp_run::pretext::amlp::Amlp;
use amlp_run::random::{Purpose, Stream};
use amlp_run::train::{
    FinetuneJob, Optimiser, PretrainJob, Progress, bce, finetune, pretrain, soft_dice,
};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

/// What is timed.
struct Case {
    task: String,
    device: String,
    width: usize,
    batch: usize,
    size: usize,
    channels: usize,
    /// Steps per measurement.
    steps: usize,
    /// Measurements, one more than are reported.
    rounds: usize,
    precision: ComputePrecision,
}

fn arguments() -> Case {
    let all: Vec<String> = std::env::args().collect();
    let text = |name: &str, default: &str| {
        let at = all.iter().position(|a| *a == format!("--{name}"));
        at.and_then(|i| all.get(i + 1))
            .map_or_else(|| default.to_owned(), Clone::clone)
    };
    let number =
        |name: &str, default: usize| text(name, &default.to_string()).parse().expect("a number");
    Case {
        task: text("task", "finetune"),
        device: text("device", "cpu"),
        width: number("width", 16),
        batch: number("batch", 8),
        size: number("size", 160),
        channels: number("channels", 1),
        steps: number("steps", 3),
        rounds: number("rounds", 4),
        precision: match text("precision", "f32").as_str() {
            "bf16" => ComputePrecision::Bf16,
            _ => ComputePrecision::F32,
        },
    }
}

/// As many random images as one round of steps sees; none for steps on volumes.
fn images(case: &Case) -> InMemory {
    let count = if case.task.ends_with("3d") {
        0
    } else {
        case.batch * case.steps
    };
    let area = case.size * case.size;
    let mut stream = Stream::new(Purpose::Phantom, &[1]);
    let mut block = |n: usize, binary: bool| -> Vec<Vec<f32>> {
        (0..count)
            .map(|_| {
                (0..n * area)
                    .map(|_| stream.normal() as f32)
                    .map(|v| if binary { f32::from(v > 1.0) } else { v })
                    .collect()
            })
            .collect()
    };
    InMemory {
        shape: [case.channels, case.size, case.size],
        regions: 3,
        images: block(case.channels, false),
        masks: block(3, true),
        ids: (0..count as u64).collect(),
    }
}

/// Bytes of memory that the process holds now, or held at most.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field));
    line.and_then(|l| l.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// A moment on the wall and in the life of the process, in seconds.
type Moment = [f64; 2];

fn now(start: Instant) -> Moment {
    let tick = |field: usize| {
        // utime and stime of /proc/self/stat, in hundredths of a second.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        after
            .split_whitespace()
            .nth(field)
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    [start.elapsed().as_secs_f64(), (tick(11) + tick(12)) / 100.0]
}

/// Seconds per step of each round on the wall and of processor time, from the moments when rounds
/// ended.
fn per_step(ends: &[Moment], steps: usize) -> Vec<[f64; 2]> {
    ends.windows(2)
        .map(|w| [0, 1].map(|k| (w[1][k] - w[0][k]) / steps as f64))
        .collect()
}

fn train(
    case: &Case,
    images: &InMemory,
    backbone: &BackboneOptions,
    device: &Device,
) -> Vec<[f64; 2]> {
    let start = Instant::now();
    let mut ends = Vec::new();
    let mut observer = |p: Progress| {
        // The last news of an epoch waits for the device.
        if p.step == p.steps {
            ends.push(now(start));
        }
        ControlFlow::Continue(())
    };
    if case.task == "finetune" {
        let options = FinetuneOptions {
            epochs: case.rounds,
            batch: case.batch,
            precision: case.precision,
            ..FinetuneOptions::default()
        };
        let job = FinetuneJob {
            images,
            validation: None,
            encoder: None,
            init: None,
            backbone,
            options: &options,
            pass: case.batch,
            seed: 1,
            device,
            checkpoints: None,
        };
        finetune(&job, &mut observer).expect("training");
    } else {
        // The masked reconstruction that all masked methods share.
        let mut amlp = AmlpOptions::default();
        amlp.mps.enabled = false;
        amlp.amr.enabled = false;
        amlp.rrl.mode = RrlMode::Off;
        amlp.ccl.mode = CclMode::Off;
        let options = PretrainOptions {
            epochs: case.rounds,
            batch: case.batch,
            precision: case.precision,
            ..PretrainOptions::default()
        };
        let job = PretrainJob {
            images,
            labels: None,
            codes: None,
            teacher: None,
            backbone,
            options: &options,
            pass: case.batch,
            seed: 1,
            device,
            checkpoints: None,
        };
        pretrain::<Amlp>(&job, &amlp, &mut observer).expect("training");
    }
    per_step(&ends, case.steps)
}

fn predict(
    case: &Case,
    images: &InMemory,
    backbone: &BackboneOptions,
    device: &Device,
) -> Vec<[f64; 2]> {
    let mut init = Initialiser::new(1, device);
    let model = UNet::init(backbone, case.channels, 3, &mut init).expect("network");
    let model = model.valid();
    let start = Instant::now();
    let mut ends = vec![now(start)];
    for _ in 0..case.rounds {
        for step in 0..case.steps {
            let pixels = images.images[step * case.batch..(step + 1) * case.batch].concat();
            let shape = [case.batch, case.channels, case.size, case.size];
            let input = Tensor::<4>::from_data(TensorData::new(pixels, shape), device);
            let output = model.forward(input).into_data();
            assert!(output.num_elements() > 0);
        }
        ends.push(now(start));
    }
    per_step(&ends, case.steps).split_off(1)
}

/// Steps of the 3D U-Net on random volumes: training with Dice and cross-entropy, or inference.
fn volumes(case: &Case, device: &Device) -> Vec<[f64; 2]> {
    let trains = case.task == "finetune3d";
    let device = if trains {
        device.clone().autodiff()
    } else {
        device.clone()
    };
    let mut init = Initialiser::new(1, &device);
    let mut model = UNet3d::init(&mut init, [case.channels, 3], case.width, 4);
    let mut stream = Stream::new(Purpose::Phantom, &[1]);
    let side = case.size;
    let mut block = |channels: usize| -> Vec<Vec<f32>> {
        let count = case.batch * channels * side * side * side;
        let draw = |_| (0..count).map(|_| stream.normal() as f32).collect();
        (0..case.steps).map(draw).collect()
    };
    let images = block(case.channels);
    let masks = block(3);
    let mut optimiser = Optimiser::new(&OptimiserOptions::pretraining());
    let start = Instant::now();
    let mut ends = vec![now(start)];
    for _ in 0..case.rounds {
        for (image, mask) in images.iter().zip(&masks) {
            let shape = |channels| [case.batch, channels, side, side, side];
            let image = TensorData::new(image.clone(), shape(case.channels));
            let output = model.forward(Tensor::<5>::from_data(image, &device));
            if !trains {
                assert!(output.into_data().num_elements() > 0);
                continue;
            }
            let mask = mask.iter().map(|v| f32::from(*v > 1.0)).collect();
            let mask = Tensor::<5>::from_data(TensorData::new(mask, shape(3)), &device);
            let (logits, mask) = (to_slices(output), to_slices(mask));
            let loss = soft_dice(logits.clone(), mask.clone()) + bce(logits, mask);
            let value = loss.clone().inner();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimiser.step(1e-4, model, gradients);
            assert!(value.into_scalar::<f32>().is_finite());
        }
        ends.push(now(start));
    }
    per_step(&ends, case.steps).split_off(1)
}

fn main() {
    amlp_run::nn::memory::keep_freed();
    let case = arguments();
    let choice: DeviceChoice = case.device.parse().expect("a device");
    let device = open(choice).expect("the device");
    let in_space = case.task.ends_with("3d");
    let images = images(&case);
    let backbone = BackboneOptions {
        width: case.width,
        ..BackboneOptions::default()
    };
    let before = memory("VmRSS");
    let seconds = if in_space {
        volumes(&case, &device)
    } else if case.task == "predict" {
        predict(&case, &images, &backbone, &device)
    } else {
        train(&case, &images, &backbone, &device)
    };
    let bytes = memory("VmHWM").saturating_sub(before);
    let [wall, cpu] = [0, 1].map(|k| seconds.iter().map(|s| s[k]).collect::<Vec<f64>>());
    println!(
        "{}",
        serde_json::json!({ "seconds": wall, "cpu": cpu, "bytes": bytes })
    );
}
