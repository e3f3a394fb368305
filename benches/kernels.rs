//! What a training step and an evaluation are made of: `cargo bench --bench kernels`.
//!
//! Layers run forward and backward on the CPU device, and on libtorch where the build has it.

use std::hint::black_box;
use std::time::Duration;

use amlp_run::metric::{Grid, Mask, Overlap, surface_distances};
use amlp_run::nn::backbone::DoubleConv;
use amlp_run::nn::device::{DeviceChoice, open};
use amlp_run::nn::init::Initialiser;
use amlp_run::nn::layer::{MaxPool2x2, UpConv2x2};
use amlp_run::nn::update::{Adamw, adamw};
use amlp_run::options::Norm;
use amlp_run::random::{Purpose, Stream};
use burn::tensor::{Device, Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};

fn noise<const D: usize>(device: &Device, shape: [usize; D]) -> Tensor<D> {
    let mut stream = Stream::new(Purpose::Weights, &[1]);
    let values = (0..shape.iter().product())
        .map(|_| stream.normal() as f32)
        .collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, shape), device)
}

/// Name and device of each kind that the build has.
fn devices() -> Vec<(String, Device)> {
    [DeviceChoice::Cpu, DeviceChoice::Libtorch]
        .into_iter()
        .filter_map(|choice| Some((choice.to_string(), open(choice).ok()?)))
        .collect()
}

/// Forward and backward of `layer` on `input`.
fn there_and_back(layer: impl Fn(Tensor<4>) -> Tensor<4>, input: &Tensor<4>) {
    let output = layer(input.clone().require_grad());
    black_box(output.sum().backward());
}

fn layers(c: &mut Criterion) {
    for (name, device) in devices() {
        let device = device.autodiff();
        let mut init = Initialiser::new(1, &device);
        for (width, side) in [(16, 160), (64, 80)] {
            let input = noise(&device, [4, width, side, side]);
            let block = DoubleConv::init(&mut init, Norm::Batch, width, width);
            let what = format!("{name}/block {width} x {side}");
            c.bench_function(&what, |b| {
                b.iter(|| there_and_back(|x| block.forward(x), &input));
            });
            let up = UpConv2x2::init(&mut init, width, width / 2);
            c.bench_function(&format!("{name}/up {width} x {side}"), |b| {
                b.iter(|| there_and_back(|x| up.forward(x), &input));
            });
            c.bench_function(&format!("{name}/pool {width} x {side}"), |b| {
                b.iter(|| there_and_back(|x| MaxPool2x2.forward(x), &input));
            });
        }
    }
}

fn updates(c: &mut Criterion) {
    for (name, device) in devices() {
        let shape = [1024, 1024];
        let rule = Adamw {
            lr: 1e-4,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.05,
            step: 3,
        };
        let [parameter, gradient] = [noise::<2>(&device, shape), noise(&device, shape)];
        let moments = [noise::<2>(&device, shape), noise::<2>(&device, shape).abs()];
        c.bench_function(&format!("{name}/adamw 1024 x 1024"), |b| {
            b.iter(|| {
                let moments = Some(moments.clone());
                black_box(adamw(parameter.clone(), gradient.clone(), moments, rule))
            });
        });
    }
}

/// Two balls in a volume of the size of BraTS.
fn metrics(c: &mut Criterion) {
    let shape = [155, 240, 240];
    let ball = |centre: [f64; 3], radius: f64| -> Vec<bool> {
        let voxels = (0..shape[0] * shape[1] * shape[2]).map(|i| {
            let at = [
                i / (shape[1] * shape[2]),
                i / shape[2] % shape[1],
                i % shape[2],
            ];
            let squares = at.iter().zip(centre).map(|(&x, c)| (x as f64 - c).powi(2));
            squares.sum::<f64>() < radius * radius
        });
        voxels.collect()
    };
    let (one, two) = (
        ball([77.0, 120.0, 120.0], 30.0),
        ball([80.0, 122.0, 117.0], 27.0),
    );
    let grid = Grid::volume(shape, [1.0; 3]).expect("a grid");
    let mask = |data| Mask::new(data, grid).expect("a mask");
    let (one, two) = (mask(&one), mask(&two));
    c.bench_function("dice of 155 x 240 x 240", |b| {
        b.iter(|| black_box(Overlap::of(&one, &two).expect("an overlap").dice(0.0)));
    });
    c.bench_function("surface distances of 155 x 240 x 240", |b| {
        b.iter(|| black_box(surface_distances(&one, &two).expect("distances")));
    });
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = layers, updates, metrics
}
criterion_main!(kernels);
