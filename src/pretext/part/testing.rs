//! Fixtures of the specification's tests (`methods/contrastive.md` section 2.8).

use burn::tensor::{Tensor, TensorData};

use crate::nn::device::testing::device;
use crate::nn::weights::host_values;

/// `sin(a i + b j + c)`.
pub fn g(n: usize, d: usize, [a, b, c]: [f64; 3]) -> Tensor<2> {
    let value = |i: usize, j: usize| (a * i as f64 + b * j as f64 + c).sin() as f32;
    let values: Vec<f32> = (0..n * d).map(|k| value(k / d, k % d)).collect();
    Tensor::from_data(TensorData::new(values, [n, d]), &device())
}

/// A matrix of two columns.
pub fn rows<const N: usize>(values: [[f32; 2]; N]) -> Tensor<2> {
    Tensor::from_floats(values, &device())
}

/// The value of a loss.
pub fn number(x: Tensor<1>) -> f64 {
    f64::from(host_values(x)[0])
}

/// Equal within the tolerance of the specification.
#[track_caller]
pub fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}
