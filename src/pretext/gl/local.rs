//! The loss of the local stage: regions of decoder features.

use burn::tensor::activation::softplus;
use burn::tensor::{Tensor, TensorData};

use super::super::part::{indices, log_sum_exp, normalise};

/// Side of a region.
pub(super) const REGION: usize = 3;
/// Least side of a map, so that no two of its five places coincide.
pub(super) const LEAST: usize = 8;
/// What stands in place of a similarity that does not count.
const HIDDEN: f32 = -1e9;

/// Places along a side of `n` pixels where a region may begin: the edge, a quarter, the middle,
/// three quarters, the other edge.
const O: usize = 0;
const Q: usize = 1;
const H: usize = 2;
const T: usize = 3;
const M: usize = 4;
/// Places along a side.
const PLACES: usize = 5;

/// Row and column of a region, as places.
type Corner = (usize, usize);

/// Anchors, and the regions that each is told from: the published table.
const ANCHORS: [(Corner, [Corner; 5]); 13] = [
    ((O, O), [(O, H), (Q, Q), (Q, H), (H, O), (H, Q)]),
    ((O, H), [(O, O), (O, M), (Q, Q), (Q, T), (H, H)]),
    ((O, M), [(O, H), (Q, H), (Q, T), (H, T), (H, M)]),
    ((H, O), [(O, O), (Q, Q), (H, H), (M, O), (T, Q)]),
    ((H, H), [(Q, Q), (Q, T), (T, Q), (T, T), (H, O)]),
    ((H, M), [(O, M), (H, H), (M, M), (Q, T), (T, T)]),
    ((M, O), [(H, O), (H, Q), (M, H), (T, Q), (T, H)]),
    ((M, H), [(H, H), (M, O), (M, M), (T, Q), (T, T)]),
    ((M, M), [(H, T), (H, M), (M, H), (T, T), (T, H)]),
    ((Q, Q), [(O, O), (O, H), (H, O), (H, H), (Q, T)]),
    ((Q, T), [(O, H), (O, M), (Q, Q), (H, H), (H, M)]),
    ((T, Q), [(H, O), (H, H), (M, O), (M, H), (T, T)]),
    ((T, T), [(H, H), (H, M), (M, H), (M, M), (T, Q)]),
];

/// First pixels of the places along a side of `n`.
fn places(n: usize) -> [usize; PLACES] {
    let m = n.saturating_sub(4);
    [0, m / 4, m / 2, 3 * m / 4, m]
}

/// All regions of a map `[n, c, h, w]` of at least 8 x 8: `[n, 25, 9 c]`, row by row of places, each
/// its pixels row by row with all channels of one after the other.
#[must_use]
pub fn regions(map: Tensor<4>) -> Tensor<3> {
    let [n, c, h, w] = map.dims();
    let (rows, cols) = (places(h), places(w));
    let mut pixels = Vec::with_capacity(n * PLACES * PLACES * REGION * REGION);
    for image in 0..n {
        for (top, left) in rows.iter().flat_map(|r| cols.map(|c| (r, c))) {
            for r in *top..top + REGION {
                pixels.extend((left..left + REGION).map(|k| (image * h + r) * w + k));
            }
        }
    }
    let device = map.device();
    let flat = map.permute([0, 2, 3, 1]).reshape([n * h * w, c]);
    let picked = flat.select(0, indices(&pixels, &device));
    picked.reshape([n, PLACES * PLACES, REGION * REGION * c])
}

/// The loss of the vectors `[n, 25, d]` of the regions of two copies of the same images: mean over
/// images, anchors and copies of the cross-entropy of the same region of the other copy among itself
/// and the regions, of both copies, that the anchor is told from; at temperature `t`.
#[must_use]
pub fn local_loss(a: Tensor<3>, b: Tensor<3>, t: f64) -> Tensor<1> {
    let [n, places, d] = a.dims();
    let device = a.device();
    let unit = |x: Tensor<3>| normalise(x.reshape([n * places, d])).reshape([n, places, d]);
    let (a, b) = (unit(a), unit(b));
    let at = |(row, col): Corner| row * PLACES + col;
    let anchors = ANCHORS.map(|(anchor, _)| at(anchor));
    let count = anchors.len();
    let mut hidden = vec![HIDDEN; count * places];
    for (i, (_, negatives)) in ANCHORS.into_iter().enumerate() {
        for negative in negatives {
            hidden[i * places + at(negative)] = 0.0;
        }
    }
    let hidden = Tensor::<3>::from_data(TensorData::new(hidden, [1, count, places]), &device);
    let anchors = indices(&anchors, &device);
    let one = |own: &Tensor<3>, other: &Tensor<3>| {
        let anchor = own.clone().select(1, anchors.clone());
        let partner = other.clone().select(1, anchors.clone());
        let among = |x: &Tensor<3>| {
            let similarity = anchor.clone().matmul(x.clone().swap_dims(1, 2));
            similarity.div_scalar(t) + hidden.clone()
        };
        let negative = Tensor::cat(vec![among(own), among(other)], 2);
        let negative = log_sum_exp(negative.reshape([n * count, 2 * places]));
        let positive = (anchor.clone() * partner).sum_dim(2).div_scalar(t);
        // -ln(e^s / (e^s + e^n)) is the softplus of n - s.
        softplus(negative - positive.reshape([n * count, 1]), 1.0).mean()
    };
    (one(&a, &b) + one(&b, &a)).div_scalar(2.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::part::testing::{close, number};
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    /// The map of the fixture, `[1, 2, n, n]`.
    fn map(n: usize, phase: f64) -> Tensor<4> {
        let mut values = Vec::new();
        for channel in 0..2 {
            for r in 0..n {
                values.extend((0..n).map(|c| {
                    (0.5 * r as f64 + 0.8 * c as f64 + 1.1 * f64::from(channel) + phase).sin()
                        as f32
                }));
            }
        }
        let data = TensorData::new(values, [1, 2, n, n]);
        Tensor::from_data(data, &device())
    }

    #[test]
    fn fixtures() {
        on_each_device(|| {
            for (n, t, expected) in [
                (8, 0.1, 1.066_413),
                (8, 0.5, 1.637_122),
                (12, 0.1, 0.554_933),
                (12, 0.5, 1.133_083),
            ] {
                let (a, b) = (regions(map(n, 0.0)), regions(map(n, 0.2)));
                close(number(local_loss(a, b, t)), expected);
            }
        });
    }

    #[test]
    fn equal_regions_cost_the_logarithm_of_the_candidates() {
        on_each_device(|| {
            let same = Tensor::<3>::ones([3, 25, 4], &device());
            close(number(local_loss(same.clone(), same, 0.1)), 2.397_895);
        });
    }

    #[test]
    fn places_of_the_specification() {
        assert_eq!(places(36), [0, 8, 16, 24, 32]);
        assert_eq!(places(40), [0, 9, 18, 27, 36]);
        assert_eq!(places(LEAST), [0, 1, 2, 3, 4]);
        for (anchor, negatives) in ANCHORS {
            let all: BTreeSet<Corner> = negatives.into_iter().chain([anchor]).collect();
            assert_eq!(all.len(), 6, "{anchor:?}");
        }
    }

    #[test]
    fn regions_hold_their_pixels_row_by_row() {
        on_each_device(|| {
            let device = device().inner();
            let values: Vec<f32> = (0..2 * 8 * 12).map(|i| i as f32).collect();
            let map = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 8, 12]), &device);
            let all = regions(map);
            assert_eq!(all.dims(), [1, 25, 18]);
            // Third place of the rows (2), second of the columns (2): pixel (2, 2) and on.
            let one = host_values(all.slice([0..1, 11..12, 0..18]));
            let pixel = |r: usize, c: usize, channel: usize| (channel * 96 + r * 12 + c) as f32;
            assert_eq!(
                one[..4],
                [
                    pixel(2, 2, 0),
                    pixel(2, 2, 1),
                    pixel(2, 3, 0),
                    pixel(2, 3, 1)
                ]
            );
            assert_eq!(one[17], pixel(4, 4, 1));
        });
    }
}
