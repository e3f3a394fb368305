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
    /// Of images `[n, c, h, w]`.
    pub fn of([batch, channels, height, width]: [usize; 4]) -> Self {
        Self {
            planes: batch * channels,
            height,
            width,
        }
    }

    fn area(&self) -> usize {
        self.height * self.width
    }

    fn half_area(&self) -> usize {
        (self.height / 2) * (self.width / 2)
    }

    /// Pixels that go in.
    pub fn inputs(&self) -> usize {
        self.planes * self.area()
    }

    /// Tiles that come out.
    pub fn tiles(&self) -> usize {
        self.planes * self.half_area()
    }
}

/// Maximum of each tile, into `output`.
pub(in crate::nn::layer) fn forward(input: &[f32], shape: &PoolShape, output: &mut [f32]) {
    let (w, half) = (shape.width, shape.width / 2);
    if output.is_empty() {
        return;
    }
    tasks::for_each_chunk(output, shape.half_area(), shape.area(), |(), i, output| {
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
    });
}

/// The larger of two; not a number wins, as in PyTorch.
fn larger(a: f32, b: f32) -> f32 {
    if after(a, b) { b } else { a }
}

/// Whether the second of two is the larger one.
fn after(a: f32, b: f32) -> bool {
    (b > a) | b.is_nan()
}

/// Which of the four pixels of each tile is its first maximum in row order: all that the gradient
/// needs of the input.
pub(in crate::nn::layer) fn places(input: &[f32], shape: &PoolShape) -> Vec<u8> {
    let (w, half) = (shape.width, shape.width / 2);
    let mut places = vec![0; shape.tiles()];
    if places.is_empty() {
        return places;
    }
    tasks::for_each_chunk(
        &mut places,
        shape.half_area(),
        shape.area(),
        |(), i, places| {
            let input = &input[i * shape.area()..][..shape.area()];
            for (places, rows) in places.chunks_exact_mut(half).zip(input.chunks_exact(2 * w)) {
                let (upper, lower) = rows.split_at(w);
                let tiles = upper
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .zip(lower.as_chunks::<2>().0);
                for (place, (a, b)) in places.iter_mut().zip(tiles) {
                    // Which of the four it is, is random: numbers instead of branches.
                    let below = after(larger(a[0], a[1]), larger(b[0], b[1]));
                    let right = if below {
                        after(b[0], b[1])
                    } else {
                        after(a[0], a[1])
                    };
                    *place = 2 * u8::from(below) + u8::from(right);
                }
            }
        },
    );
    places
}

/// Gradient of the input from `places`, into `output`.
pub(in crate::nn::layer) fn backward(
    places: &[u8],
    grad: &[f32],
    shape: &PoolShape,
    output: &mut [f32],
) {
    let (w, half) = (shape.width, shape.width / 2);
    if grad.is_empty() {
        // No tile holds any of these pixels.
        output.fill(0.0);
        return;
    }
    tasks::for_each_chunk(output, shape.area(), 2 * shape.area(), |(), i, output| {
        let tiles = i * shape.half_area()..(i + 1) * shape.half_area();
        let (places, grad) = (&places[tiles.clone()], &grad[tiles]);
        output.fill(0.0);
        for ((output, places), grad) in output
            .chunks_exact_mut(2 * w)
            .zip(places.chunks_exact(half))
            .zip(grad.chunks_exact(half))
        {
            for (x, (place, grad)) in places.iter().zip(grad).enumerate() {
                let (below, right) = (usize::from(place / 2), usize::from(place % 2));
                output[2 * x + below * w + right] = *grad;
            }
        }
    });
}
