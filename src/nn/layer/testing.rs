//! What the tests of the layers share.

use burn::tensor::{Device, Tensor, TensorData};

pub(super) use crate::nn::device::testing::devices;
use crate::random::{Purpose, Stream};

/// Standard normal numbers.
pub(super) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = Stream::new(Purpose::Weights, &[seed]);
    (0..count).map(|_| stream.normal() as f32).collect()
}

/// The numbers of a tensor.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec_as().unwrap()
}

/// Largest difference relative to the largest number of `expected`.
pub(super) fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (a - e).abs() <= tolerance * scale,
            "{what}: {a} instead of {e} at {i}, scale {scale}"
        );
    }
}

/// Runs `f` in a pool of its own.
pub(super) fn with_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(f)
}

/// Least seconds of processor time of this process for one call of `f`; other programs on the
/// machine disturb it less than the time on the wall.
pub(super) fn cpu_seconds(f: impl Fn()) -> f64 {
    let now = || {
        // SAFETY: all zeros is a valid time.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live time, which the call fills.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    f();
    let mut least = f64::INFINITY;
    let mut total = 0.0;
    let mut calls = 0;
    while total < 0.3 && calls < 200 || calls < 3 {
        let start = now();
        f();
        let time = now() - start;
        least = least.min(time);
        total += time;
        calls += 1;
    }
    least
}

/// Standard normal numbers on the pure-Rust device with gradients.
pub(super) fn leaf<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    leaf_on(&Device::flex(), seed, shape)
}

/// Standard normal numbers on the pure-Rust device, in the graph of gradients but without one.
pub(super) fn constant<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    constant_on(&Device::flex(), seed, shape)
}

/// Standard normal numbers on a device with gradients.
pub(super) fn leaf_on<const D: usize>(device: &Device, seed: u64, shape: [usize; D]) -> Tensor<D> {
    constant_on(device, seed, shape).require_grad()
}

/// Standard normal numbers on a device, in the graph of gradients but without one.
pub(super) fn constant_on<const D: usize>(
    device: &Device,
    seed: u64,
    shape: [usize; D],
) -> Tensor<D> {
    let data = TensorData::new(noise(seed, shape.iter().product()), shape);
    Tensor::from_data(data, &device.clone().autodiff())
}

/// Checks the gradients that `f` passes to parameters of some `sizes` against finite differences, on
/// every CPU device: those of squares of its output, which are exact enough.
pub(super) fn assert_slopes<const D: usize>(
    sizes: &[usize],
    tolerance: f64,
    f: impl Fn(&[Tensor<1>]) -> Tensor<D>,
) {
    let parameters: Vec<Vec<f32>> = (1..).zip(sizes).map(|(i, n)| noise(i, *n)).collect();
    for device in devices() {
        let leaves = |parameters: &[Vec<f32>]| -> Vec<Tensor<1>> {
            let leaf = |values: &Vec<f32>| {
                let data = TensorData::new(values.clone(), [values.len()]);
                Tensor::from_data(data, &device.clone().autodiff()).require_grad()
            };
            parameters.iter().map(leaf).collect()
        };
        let loss = |leaves: &[Tensor<1>]| {
            let y = f(leaves);
            let pull = constant_on(&device, 9, y.dims());
            (y.powf_scalar(2.0) * pull).sum()
        };
        let at = leaves(&parameters);
        let mut grads = loss(&at).backward();
        let gradients: Vec<_> = at
            .iter()
            .map(|t| numbers(t.grad_remove(&mut grads).unwrap()))
            .collect();
        let value = |p: &[Vec<f32>]| f64::from(numbers(loss(&leaves(p)))[0]);
        assert_gradients(&parameters, &gradients, value, tolerance);
    }
}

/// Checks gradients of `f`, which takes flat parameters, against central differences.
fn assert_gradients(
    parameters: &[Vec<f32>],
    gradients: &[Vec<f32>],
    f: impl Fn(&[Vec<f32>]) -> f64,
    tolerance: f64,
) {
    const STEP: f32 = 1e-2;
    for (k, gradient) in gradients.iter().enumerate() {
        let scale = gradient
            .iter()
            .fold(1e-2f64, |m, v| m.max(f64::from(v.abs())));
        // About twenty of each parameter.
        for i in (0..gradient.len()).step_by(gradient.len().div_ceil(20)) {
            let at = |value: f32| {
                let mut moved = parameters.to_vec();
                moved[k][i] = value;
                f(&moved)
            };
            let x = parameters[k][i];
            let slope = (at(x + STEP) - at(x - STEP)) / f64::from((x + STEP) - (x - STEP));
            let given = f64::from(gradient[i]);
            assert!(
                (slope - given).abs() <= tolerance * scale,
                "parameter {k}, number {i}: {given} instead of {slope}, scale {scale}"
            );
        }
    }
}
