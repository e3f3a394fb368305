//! Rows of embeddings (`methods/contrastive.md` sections 2.1 and 2.7).

use burn::tensor::Tensor;

/// Squared length below which a row counts as this long.
const LEAST: f64 = 1e-24;

/// Rows of `[n, d]` at length 1; a row of zeros stays.
#[must_use]
pub fn normalise(rows: Tensor<2>) -> Tensor<2> {
    let length = rows.clone().square().sum_dim(1).clamp_min(LEAST).sqrt();
    rows / length
}

/// How far embeddings `[n, d]` are spread, a tensor of one value: the standard deviation over the
/// batch of their directions, averaged over dimensions. `1 / sqrt(d)` where they point everywhere,
/// 0 where all are one.
#[must_use]
pub fn spread(rows: Tensor<2>) -> Tensor<1> {
    let rows = normalise(rows.detach().inner());
    let centred = rows.clone() - rows.mean_dim(0);
    centred.square().mean_dim(0).sqrt().mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn lengths_and_spread_by_hand() {
        on_each_device(|| {
            let device = device().inner();
            let rows = Tensor::<2>::from_floats([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]], &device);
            let unit = host_values(normalise(rows));
            assert_eq!(unit, [0.6, 0.8, 0.0, -1.0, 0.0, 0.0]);
            let apart = Tensor::<2>::from_floats([[5.0, 0.0], [0.0, 1.0]], &device);
            assert!((host_values(spread(apart))[0] - 0.5).abs() < 1e-6);
            let same = Tensor::<2>::from_floats([[5.0, 1.0], [10.0, 2.0]], &device);
            assert!(host_values(spread(same))[0] < 1e-6);
        });
    }
}
