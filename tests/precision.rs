//! Mixed precision against single precision: one step, and short trainings.

use std::ops::ControlFlow;

use amlp_run::data::images::InMemory;
use amlp_run::nn::backbone::UNet;
use amlp_run::nn::device::open;
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::precision::set_precision;
use amlp_run::nn::weights::Weights;
use amlp_run::options::{
    AmlpOptions, BackboneOptions, CclMode, ComputePrecision, FinetuneOptions, Norm,
    OptimiserOptions, PretrainOptions, SegmentationLoss,
};
use amlp_run::pretext::amlp::Amlp;
use amlp_run::random::{Purpose, Stream};
use amlp_run::train::{FinetuneJob, PretrainJob, finetune, pretrain, segmentation_loss};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};

const SIDE: usize = 16;
const BOTH: [ComputePrecision; 2] = [ComputePrecision::F32, ComputePrecision::Bf16];

fn device() -> Device {
    let name = std::env::var("AMLP_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    open(name.parse().unwrap()).unwrap()
}

/// Bright discs in noise.
fn images(n: usize) -> InMemory {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for i in 0..n {
        let mut stream = Stream::new(Purpose::Phantom, &[i as u64]);
        let centre = [stream.range(5.0, 11.0), stream.range(5.0, 11.0)];
        let (mut image, mut mask) = (Vec::new(), Vec::new());
        for p in 0..SIDE * SIDE {
            let (y, x) = ((p / SIDE) as f64, (p % SIDE) as f64);
            let inside = (y - centre[0]).powi(2) + (x - centre[1]).powi(2) < 9.0;
            let value = f64::from(u8::from(inside)) * 1.5 + 0.5 * stream.normal();
            image.push(value as f32);
            mask.push(f32::from(u8::from(inside)));
        }
        images.push(image);
        masks.push(mask);
    }
    InMemory {
        shape: [1, SIDE, SIDE],
        regions: 1,
        images,
        masks,
        ids: (0..n as u64).collect(),
    }
}

fn backbone(norm: Norm) -> BackboneOptions {
    BackboneOptions {
        width: 4,
        depth: 2,
        norm,
        ..BackboneOptions::default()
    }
}

/// Gradients of all parameters, one after the other; all are in single precision.
struct Collect<'a> {
    gradients: &'a GradientsParams,
    all: Vec<Vec<f64>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            assert_eq!(gradient.dtype(), DType::F32);
            let values: Vec<f32> = gradient.into_data().try_to_vec_as().unwrap();
            self.all.push(values.into_iter().map(f64::from).collect());
        }
    }
}

/// Loss, gradients, and weights with running statistics after the forward pass.
fn step(norm: Norm, precision: ComputePrecision) -> (f64, Vec<Vec<f64>>, Weights) {
    let device = device().autodiff();
    let net = UNet::init(&backbone(norm), 1, 1, &mut Initialiser::new(3, &device)).unwrap();
    let net = set_precision(net, precision);
    let data = images(4);
    let tensor = |values: &[Vec<f32>]| {
        let values = TensorData::new(values.concat(), [4, 1, SIDE, SIDE]);
        Tensor::<4>::from_data(values, &device)
    };
    let logits = net.forward(tensor(&data.images));
    assert_eq!(logits.dtype(), DType::F32);
    for features in net.encode(tensor(&data.images)) {
        assert_eq!(features.dtype(), DType::F32);
    }
    let loss = segmentation_loss(SegmentationLoss::DiceBce, logits, tensor(&data.masks));
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = GradientsParams::from_grads(loss.backward(), &net);
    let mut collect = Collect {
        gradients: &gradients,
        all: Vec::new(),
    };
    net.visit(&mut collect);
    (value, collect.all, Weights::of(&net))
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn one_step_is_close_to_single_precision() {
    for norm in [Norm::Batch, Norm::Group] {
        let [
            (loss, gradients, state),
            (half_loss, half_gradients, half_state),
        ] = BOTH.map(|precision| step(norm, precision));
        assert_ne!(loss, half_loss, "{norm:?}: bf16 is on");
        assert!((loss - half_loss).abs() < 0.01 * loss, "{loss} {half_loss}");
        assert_eq!(gradients.len(), half_gradients.len());
        let (all, half_all) = (gradients.concat(), half_gradients.concat());
        let alike = cosine(&all, &half_all);
        println!("{norm:?}: loss {loss} and {half_loss}, gradients {alike}");
        // PyTorch's own autocast gives 0.980 to 0.987 for networks of this size.
        assert!(alike > 0.98, "{norm:?}: {alike}");
        for (a, b) in gradients.iter().zip(&half_gradients) {
            assert!(b.iter().all(|g| g.is_finite()));
            let norm = |v: &[f64]| v.iter().map(|g| g * g).sum::<f64>().sqrt();
            // A parameter that hardly matters may differ more.
            if norm(a) > 0.1 * norm(&all) {
                assert!((norm(a) - norm(b)).abs() < 0.2 * norm(a));
                assert!(cosine(a, b) > 0.93, "{}", cosine(a, b));
            }
        }
        // Weights are as they were; running statistics follow what was computed.
        for (name, array) in &state.0 {
            let half = &half_state.0[name];
            if name.contains(".running_") {
                for (a, b) in array.values.iter().zip(&half.values) {
                    assert!((a - b).abs() < 0.02 * a.abs().max(0.5), "{name}: {a} {b}");
                }
            } else {
                assert_eq!(array, half, "{name}");
            }
        }
    }
}

#[test]
fn a_network_that_does_not_train_computes_in_single_precision() {
    let device = device().autodiff();
    let make = |precision| {
        let options = backbone(Norm::Batch);
        let net = UNet::init(&options, 1, 1, &mut Initialiser::new(3, &device)).unwrap();
        let x = TensorData::new(images(2).images.concat(), [2, 1, SIDE, SIDE]);
        let x = Tensor::<4>::from_data(x, &device.clone().inner());
        let y = set_precision(net, precision).valid().forward(x);
        y.into_data().try_to_vec_as::<f32>().unwrap()
    };
    let [single, half] = BOTH.map(make);
    assert_eq!(single, half);
}

#[test]
fn fine_tuning_reaches_a_close_loss() {
    let data = images(12);
    let device = device();
    let run = |precision| {
        let options = FinetuneOptions {
            epochs: 12,
            batch: 4,
            precision,
            optimiser: OptimiserOptions {
                lr: 5e-3,
                ..OptimiserOptions::finetuning()
            },
            ..FinetuneOptions::default()
        };
        let job = FinetuneJob {
            images: &data,
            validation: None,
            encoder: None,
            init: None,
            backbone: &backbone(Norm::Batch),
            options: &options,
            pass: options.pass(),
            seed: 1,
            device: &device,
            checkpoints: None,
        };
        finetune(&job, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let [single, half] = BOTH.map(run);
    assert_ne!(single.weights, half.weights);
    let ends = |curve: &[amlp_run::train::EpochLog]| (curve[0].loss, curve[11].loss);
    let ((start, end), (half_start, half_end)) = (ends(&single.curve), ends(&half.curve));
    println!("{start} to {end}, {half_start} to {half_end}");
    assert!(end < 0.7 * start);
    assert!((end - half_end).abs() < 0.1 * end, "{end} {half_end}");
}

#[test]
fn every_loss_of_pre_training_stays_close() {
    let data = images(8);
    let device = device();
    let labels = vec![0, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0].repeat(8);
    for mode in [CclMode::CentroidSoft, CclMode::Head] {
        let mut task = AmlpOptions {
            patch: 4,
            ..AmlpOptions::default()
        };
        task.ccl.mode = mode;
        let run = |precision| {
            let options = PretrainOptions {
                epochs: 6,
                batch: 4,
                precision,
                optimiser: OptimiserOptions {
                    lr: 2e-3,
                    warmup_epochs: 1.0,
                    ..OptimiserOptions::pretraining()
                },
                ..PretrainOptions::default()
            };
            let job = PretrainJob {
                images: &data,
                labels: Some(&labels),
                codes: None,
                teacher: None,
                backbone: &backbone(Norm::Batch),
                options: &options,
                pass: options.pass(),
                seed: 1,
                device: &device,
                checkpoints: None,
            };
            pretrain::<Amlp>(&job, &task, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let [single, half] = BOTH.map(run);
        assert_ne!(single.encoder, half.encoder);
        let (a, b) = (single.curve[5].loss, half.curve[5].loss);
        println!("{mode:?}: {a} and {b}");
        assert!((a - b).abs() < 0.1 * a, "{mode:?}: {a} {b}");
    }
}
