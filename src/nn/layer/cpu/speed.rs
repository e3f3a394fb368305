//! Speed of the kernels, in a test that is run on demand:
//! `cargo test --release speed -- --ignored --nocapture`.

use super::batch_norm::{Norm, Planes, statistics};
use super::conv::{ConvShape, forward, input_grad, weight_grad};
use super::input::{Images, Input};
use super::max_pool::{self, PoolShape};
use crate::nn::layer::testing::{cpu_seconds, noise};

/// Levels of a U-Net of width 4 on 48x48, one of width 16 on 160x160, and wide ones: batch,
/// channels, side.
const LEVELS: [(usize, usize, usize); 12] = [
    (16, 4, 48),
    (16, 8, 24),
    (16, 16, 12),
    (16, 32, 6),
    (16, 64, 3),
    (8, 16, 160),
    (8, 64, 40),
    (8, 256, 10),
    (16, 16, 64),
    (2, 64, 160),
    (2, 512, 20),
    (4, 1024, 10),
];

#[test]
#[ignore = "a measurement"]
fn speed_of_convolutions() {
    for (batch, channels, side) in LEVELS {
        let shape = ConvShape {
            batch,
            inputs: channels,
            outputs: channels,
            height: side,
            width: side,
            kernel: 3,
        };
        let x = noise(1, batch * channels * side * side);
        let input = Input::of(Images::new(&x, channels));
        let w = noise(2, channels * channels * 9);
        let flops = 2 * batch * channels * channels * side * side * 9;
        let rate = |f: &dyn Fn() -> Vec<f32>| flops as f64 * 1e-9 / cpu_seconds(|| drop(f()));
        println!(
            "{batch} x {channels} x {side}: forward {:.0}, input {:.0}, weight {:.0} GFLOP/s",
            rate(&|| forward(&input, &w, None, &shape)),
            rate(&|| input_grad(&x, &w, &shape)),
            rate(&|| weight_grad(&input, &x, &shape)),
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn speed_of_passes() {
    for (batch, channels, side) in LEVELS {
        let planes = Planes::of([batch, channels, side, side]);
        let pool = PoolShape::of([batch, channels, side, side]);
        let x = noise(1, batch * channels * side * side);
        let parameter = noise(2, channels);
        let norm = Norm {
            gamma: &parameter,
            beta: &parameter,
            epsilon: 1e-5,
            relu: true,
        };
        let found = statistics(&x, &planes);
        let pooled = noise(3, pool.tiles());
        let places = max_pool::places(&x, &pool);
        let rate = |f: &dyn Fn()| x.len() as f64 * 1e-9 / cpu_seconds(f);
        println!(
            "{batch} x {channels} x {side}: statistics {:.2}, norm {:.2}, gradient {:.2}, \
             pool {:.2}, gradient {:.2} numbers/ns",
            rate(&|| drop(statistics(&x, &planes))),
            rate(&|| norm.forward(&x, &found, &planes, &mut vec![0.0; planes.len()])),
            rate(&|| drop(norm.backward(&x, &mut x.clone(), &found, &planes))),
            rate(&|| max_pool::forward(&x, &pool, &mut vec![0.0; pool.tiles()])),
            rate(&|| max_pool::backward(&places, &pooled, &pool, &mut vec![0.0; pool.inputs()])),
        );
    }
}
