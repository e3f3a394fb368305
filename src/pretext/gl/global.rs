//! The loss of the global stage: slices of the same height.

use burn::tensor::activation::softplus;
use burn::tensor::{Tensor, TensorData};

use super::super::part::{indices, log_sum_exp, normalise};
use super::Attraction;

/// What stands in place of a similarity that does not count.
const HIDDEN: f32 = -1e9;

impl Attraction {
    /// Versions of a slice in a batch.
    pub(super) fn copies(self) -> usize {
        match self {
            Self::AcrossVolumes => 2,
            Self::WithinSlice => 3,
        }
    }

    /// Ordered pairs of rows that attract, for rows laid out as [`Batch`] has them.
    fn pairs(self, volumes: usize, parts: usize) -> Vec<(usize, usize)> {
        let copies = self.copies();
        let at = |v: usize, copy: usize, p: usize| (v * copies + copy) * parts + p;
        let mut pairs = Vec::new();
        for v in 0..volumes {
            for p in 0..parts {
                let mut both = |a: usize, b: usize| pairs.extend([(a, b), (b, a)]);
                match self {
                    Self::AcrossVolumes => {
                        let next = (v + 1) % volumes;
                        both(at(v, 0, p), at(v, 1, p));
                        both(at(v, 0, p), at(next, 0, p));
                        both(at(next, 0, p), at(next, 1, p));
                        both(at(v, 1, p), at(next, 1, p));
                    }
                    Self::WithinSlice => {
                        both(at(v, 0, p), at(v, 1, p));
                        both(at(v, 0, p), at(v, 2, p));
                        both(at(v, 1, p), at(v, 2, p));
                    }
                }
            }
        }
        pairs
    }
}

/// The loss of embeddings `[volumes * copies * parts, d]`, laid out as [`Batch`] has them: mean over
/// attracting pairs of the cross-entropy of the partner among itself and all rows of other parts.
#[must_use]
pub fn global_loss(
    z: Tensor<2>,
    attraction: Attraction,
    volumes: usize,
    parts: usize,
    t: f64,
) -> Tensor<1> {
    let device = z.device();
    let rows = volumes * attraction.copies() * parts;
    let z = normalise(z);
    let same_part = |i: usize| {
        if i / rows % parts == i % rows % parts {
            HIDDEN
        } else {
            0.0
        }
    };
    let hidden: Vec<f32> = (0..rows * rows).map(same_part).collect();
    let hidden = Tensor::<2>::from_data(TensorData::new(hidden, [rows, rows]), &device);
    let similarity = z.clone().matmul(z.clone().transpose()).div_scalar(t);
    let negative = log_sum_exp(similarity + hidden);
    let (a, b): (Vec<usize>, Vec<usize>) = attraction.pairs(volumes, parts).into_iter().unzip();
    let (a, b) = (indices(&a, &device), indices(&b, &device));
    let positive = (z.clone().select(0, a.clone()) * z.select(0, b)).sum_dim(1);
    // -ln(e^s / (e^s + e^n)) is the softplus of n - s.
    softplus(negative.select(0, a) - positive.div_scalar(t), 1.0).mean()
}

#[cfg(test)]
mod tests {
    use super::super::super::part::testing::{close, g, number};
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};

    #[test]
    fn fixtures() {
        on_each_device(|| {
            let (across, within) = (Attraction::AcrossVolumes, Attraction::WithinSlice);
            let z = |n| g(n, 3, [0.6, 1.1, 0.2]);
            close(number(global_loss(z(8), across, 2, 2, 0.1)), 10.701_175);
            close(number(global_loss(z(8), across, 2, 2, 0.5)), 2.777_885);
            close(number(global_loss(z(24), across, 6, 2, 0.1)), 10.803_746);
            // The fixture has the first version of all slices, then the second, then the third.
            let order: Vec<usize> = (0..12)
                .map(|row| row / 2 % 3 * 4 + row / 6 * 2 + row % 2)
                .collect();
            let z = z(12);
            let z = z.clone().select(0, indices(&order, &z.device()));
            close(number(global_loss(z, within, 2, 2, 0.1)), 13.739_179);
        });
    }

    #[test]
    fn equal_embeddings_cost_the_logarithm_of_the_negatives() {
        on_each_device(|| {
            for (volumes, parts, expected) in
                [(6, 4, 3.610_918), (9, 4, 4.007_333), (12, 4, 4.290_459)]
            {
                let same = Tensor::ones([2 * volumes * parts, 4], &device());
                let loss = global_loss(same, Attraction::AcrossVolumes, volumes, parts, 0.1);
                close(number(loss), expected);
            }
        });
    }

    #[test]
    fn partners_share_their_part_and_every_image_has_eight_terms() {
        for (attraction, terms) in [
            (Attraction::AcrossVolumes, 8 * 3 * 4),
            (Attraction::WithinSlice, 6 * 3 * 4),
        ] {
            let pairs = attraction.pairs(3, 4);
            assert_eq!(pairs.len(), terms);
            assert!(pairs.iter().all(|(a, b)| a % 4 == b % 4 && a != b));
        }
    }
}
