//! Between four channels of an image and one channel of twice its size.

use super::tasks;

/// Size of the small image; the large one has twice as many rows and columns.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct ShuffleShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ShuffleShape {
    fn area(&self) -> usize {
        self.height * self.width
    }
}

/// `[planes, 2, 2, h, w]` to `[planes, 2h, 2w]`.
pub(in crate::nn::layer) fn shuffle(input: &[f32], shape: &ShuffleShape) -> Vec<f32> {
    let (area, w) = (shape.area(), shape.width);
    let mut output = vec![0.0; input.len()];
    if output.is_empty() {
        return output;
    }
    tasks::for_each_chunk(&mut output, 4 * area, 8 * area, |(), i, output| {
        let input = &input[i * 4 * area..][..4 * area];
        let (upper, lower) = input.split_at(2 * area);
        for (y, rows) in output.chunks_exact_mut(4 * w).enumerate() {
            let (first, second) = rows.split_at_mut(2 * w);
            for (row, planes) in [(first, upper), (second, lower)] {
                let left = &planes[y * w..][..w];
                let right = &planes[area + y * w..][..w];
                for (to, (l, r)) in row
                    .as_chunks_mut::<2>()
                    .0
                    .iter_mut()
                    .zip(left.iter().zip(right))
                {
                    *to = [*l, *r];
                }
            }
        }
    });
    output
}

/// `[planes, 2h, 2w]` to `[planes, 2, 2, h, w]`.
pub(in crate::nn::layer) fn unshuffle(input: &[f32], shape: &ShuffleShape) -> Vec<f32> {
    let (area, w) = (shape.area(), shape.width);
    let mut output = vec![0.0; input.len()];
    if output.is_empty() {
        return output;
    }
    tasks::for_each_chunk(&mut output, 4 * area, 8 * area, |(), i, output| {
        let input = &input[i * 4 * area..][..4 * area];
        let (upper, lower) = output.split_at_mut(2 * area);
        for (y, rows) in input.chunks_exact(4 * w).enumerate() {
            let (first, second) = rows.split_at(2 * w);
            for (row, planes) in [(first, &mut *upper), (second, &mut *lower)] {
                let (left, right) = planes.split_at_mut(area);
                let to = left[y * w..][..w].iter_mut().zip(&mut right[y * w..][..w]);
                for ((l, r), from) in to.zip(row.as_chunks::<2>().0) {
                    [*l, *r] = *from;
                }
            }
        }
    });
    output
}
