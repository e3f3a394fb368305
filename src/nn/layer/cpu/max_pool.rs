//! Maximum of 2x2 tiles: forward and backward.

use super::tasks;

/// Image planes of `height x width`; halves are rounded down.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct PoolShape {
    /// Images times channels.
    pub planes: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl PoolShape {
    fn area(&self) -> usize {
        self.height * self.width
    }

    fn half_area(&self) -> usize {
        (self.height / 2) * (self.width / 2)
    }
}

/// Maximum of each tile.
pub(in crate::nn::layer) fn forward(input: &[f32], shape: &PoolShape) -> Vec<f32> {
    let (w, half) = (shape.width, shape.width / 2);
    let mut output = vec![0.0; shape.planes * shape.half_area()];
    if output.is_empty() {
        return output;
    }
    tasks::for_each_chunk(
        &mut output,
        shape.half_area(),
        shape.area(),
        |(), i, output| {
            let input = &input[i * shape.area()..][..shape.area()];
            for (output, rows) in output.chunks_exact_mut(half).zip(input.chunks_exact(2 * w)) {
                let (upper, lower) = rows.split_at(w);
                let tiles = upper
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .zip(lower.as_chunks::<2>().0);
                for (y, (a, b)) in output.iter_mut().zip(tiles) {
                    *y = larger(larger(a[0], a[1]), larger(b[0], b[1]));
                }
            }
        },
    );
    output
}

/// The larger of two; not a number wins, as in PyTorch.
fn larger(a: f32, b: f32) -> f32 {
    if after(a, b) { b } else { a }
}

/// Whether the second of two is the larger one.
fn after(a: f32, b: f32) -> bool {
    (b > a) | b.is_nan()
}

/// Gradient of the input: that of a tile goes to its first maximum in row order.
pub(in crate::nn::layer) fn backward(input: &[f32], grad: &[f32], shape: &PoolShape) -> Vec<f32> {
    let (w, half) = (shape.width, shape.width / 2);
    let mut output = vec![0.0; shape.planes * shape.height * w];
    if grad.is_empty() {
        return output;
    }
    tasks::for_each_chunk(
        &mut output,
        shape.area(),
        2 * shape.area(),
        |(), i, output| {
            let input = &input[i * shape.area()..][..shape.area()];
            let grad = &grad[i * shape.half_area()..][..shape.half_area()];
            let rows = output
                .chunks_exact_mut(2 * w)
                .zip(input.chunks_exact(2 * w))
                .zip(grad.chunks_exact(half));
            for ((output, input), grad) in rows {
                let (upper, lower) = input.split_at(w);
                let tiles = upper
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .zip(lower.as_chunks::<2>().0);
                for (x, (grad, (a, b))) in grad.iter().zip(tiles).enumerate() {
                    // Which of the four it is, is random: places instead of branches.
                    let right_a = usize::from(after(a[0], a[1]));
                    let right_b = usize::from(after(b[0], b[1]));
                    let below = usize::from(after(a[right_a], b[right_b]));
                    let place = [right_a, w + right_b][below];
                    output[2 * x + place] = *grad;
                }
            }
        },
    );
    output
}
