//! Our side of `training.py`: one kind of step, on a device, timed. Prints one line of JSON.

#[path = "../../tests/methods/volumes.rs"]
mod volumes;

use std::ops::ControlFlow;
use std::time::Instant;

use amlp_run::data::images::{Images, InMemory};
use amlp_run::nn::backbone::{UNet, UNet3d};
use amlp_run::nn::device::{DeviceChoice, open};
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::layer::to_slices;
use amlp_run::nn::weights::Weights;
use amlp_run::options::{
    AmlpOptions, BackboneOptions, CclMode, ComputePrecision, FinetuneOptions, OptimiserOptions,
    PretrainOptions, RrlMode, TokenizerOptions,
};
use amlp_run::pretext::amlp::Amlp;
use amlp_run::pretext::find;
use amlp_run::random::{Purpose, Stream};
use amlp_run::train::{
    FinetuneJob, NETWORK, Optimiser, PretrainJob, Progress, bce, finetune, pretrain, soft_dice,
};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use volumes::Volumes;

/// What is timed.
struct Case {
    task: String,
    /// Method to pre-train with; empty for the masked reconstruction that all masked ones share.
    method: String,
    /// Its options as JSON, where they are not its defaults.
    options: Value,
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
        method: text("method", ""),
        options: serde_json::from_str(&text("options", "{}")).expect("options as JSON"),
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
        // No method looks at masks.
        let count = if binary && case.task == "pretrain" {
            0
        } else {
            count
        };
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

/// Slices of a volume, for methods that know volumes.
const SLICES: usize = 4;

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

/// What is measured of a training.
#[derive(Default)]
struct Measured {
    /// Seconds per step of each round but the first, on the wall and of processor time.
    seconds: Vec<[f64; 2]>,
    /// Greatest memory at the end of the last round.
    peak: u64,
    /// Mean loss of each round.
    losses: Vec<f64>,
    /// Trained parameters, where they are counted.
    parameters: Option<usize>,
}

/// What hears of a training, and what it heard.
struct Ear {
    start: Instant,
    ends: Vec<Moment>,
    heard: Measured,
}

impl Ear {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            ends: Vec::new(),
            heard: Measured::default(),
        }
    }

    fn hear(&mut self, progress: &Progress) -> ControlFlow<()> {
        // The last news of an epoch waits for the device.
        if progress.step == progress.steps {
            self.ends.push(now(self.start));
            self.heard.losses.push(progress.loss);
            self.heard.peak = memory("VmHWM");
        }
        ControlFlow::Continue(())
    }

    fn measured(self, steps: usize) -> Measured {
        Measured {
            seconds: per_step(&self.ends, steps),
            ..self.heard
        }
    }
}

fn fine_tuning(
    case: &Case,
    images: &InMemory,
    backbone: &BackboneOptions,
    device: &Device,
) -> Measured {
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
    let mut ear = Ear::new();
    finetune(&job, &mut |p| ear.hear(&p)).expect("training");
    ear.measured(case.steps)
}

/// A pre-training by the method of the case. What it needs beside images is drawn.
fn pre_training(
    case: &Case,
    images: InMemory,
    backbone: &BackboneOptions,
    device: &Device,
) -> Measured {
    let mut stream = Stream::new(Purpose::Phantom, &[2]);
    let stride = 1 << backbone.depth;
    let patches = images.len() * (case.size / stride).pow(2);
    let labels: Vec<u8> = (0..patches).map(|_| stream.below(2) as u8).collect();
    let book = TokenizerOptions::default().codebook;
    let codes: Vec<u16> = (0..patches).map(|_| stream.below(book) as u16).collect();
    let images = Volumes {
        images,
        slices: SLICES,
    };
    let options = PretrainOptions {
        epochs: case.rounds,
        batch: case.batch,
        precision: case.precision,
        // Its parameters are counted.
        keep_network: true,
        ..PretrainOptions::default()
    };
    let job = PretrainJob {
        images: &images,
        labels: Some(&labels),
        codes: Some(&codes),
        teacher: None,
        backbone,
        options: &options,
        pass: case.batch,
        seed: 1,
        device,
        checkpoints: None,
    };
    let mut ear = Ear::new();
    let mut observer = |p: Progress| ear.hear(&p);
    let output = if case.method.is_empty() {
        let mut amlp = AmlpOptions::default();
        amlp.mps.enabled = false;
        amlp.amr.enabled = false;
        amlp.rrl.mode = RrlMode::Off;
        amlp.ccl.mode = CclMode::Off;
        pretrain::<Amlp>(&job, &amlp, &mut observer)
    } else {
        let entry = find(&case.method).expect("a method");
        let train = entry.train.expect("a method that trains");
        train(&job, &case.options, &mut observer)
    };
    let network = &output.expect("training").remains[NETWORK];
    let network = Weights::from_bytes(network, NETWORK.as_ref()).expect("the network");
    let trained = network.0.iter().filter(|(name, _)| is_trained(name));
    Measured {
        parameters: Some(trained.map(|(_, array)| array.values.len()).sum()),
        ..ear.measured(case.steps)
    }
}

/// Statistics are not, nor is the shift of a normalisation that ends a projection.
fn is_trained(name: &str) -> bool {
    !name.contains("running_") && !name.ends_with("last_norm.bias")
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
    let steps = |seconds| Measured {
        seconds,
        peak: memory("VmHWM"),
        ..Measured::default()
    };
    let found = if in_space {
        steps(volumes(&case, &device))
    } else if case.task == "predict" {
        steps(predict(&case, &images, &backbone, &device))
    } else if case.task == "pretrain" {
        pre_training(&case, images, &backbone, &device)
    } else {
        fine_tuning(&case, &images, &backbone, &device)
    };
    let [wall, cpu] = [0, 1].map(|k| found.seconds.iter().map(|s| s[k]).collect::<Vec<f64>>());
    println!(
        "{}",
        serde_json::json!({
            "seconds": wall,
            "cpu": cpu,
            "bytes": found.peak.saturating_sub(before),
            "losses": found.losses,
            "parameters": found.parameters,
        })
    );
}
