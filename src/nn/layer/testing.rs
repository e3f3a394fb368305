//! What the tests of the layers share.

use burn::tensor::Tensor;

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
