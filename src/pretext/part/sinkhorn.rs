//! Balanced assignment (`methods/contrastive.md` section 5).

use burn::tensor::Tensor;

use super::info_nce::log_sum_exp;

/// Codes of samples by their scores `[b, k]`: soft assignments whose rows sum to 1 and whose columns
/// approach `b / k`. In logarithms, so that no exponential overflows.
#[must_use]
pub fn sinkhorn(scores: Tensor<2>, epsilon: f64, iterations: usize) -> Tensor<2> {
    let mut log = scores.detach().div_scalar(epsilon);
    for _ in 0..iterations {
        let columns = log_sum_exp(log.clone().transpose()).transpose();
        log = log - columns;
        log = log.clone() - log_sum_exp(log);
    }
    log.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    fn scores() -> Tensor<2> {
        let s = [
            [0.9, 0.2, -0.1],
            [0.8, 0.3, 0.0],
            [0.7, -0.2, 0.4],
            [0.6, 0.5, 0.1],
        ];
        Tensor::from_floats(s, &device().inner())
    }

    fn check(found: Tensor<2>, expected: &[f64]) {
        for (f, e) in host_values(found).iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 1e-5, "{f}, not {e}");
        }
    }

    #[test]
    fn codes_of_the_specification() {
        on_each_device(|| {
            check(
                sinkhorn(scores(), 0.05, 1),
                &[
                    0.997_148, 0.002_799, 0.000_052, 0.864_951, 0.132_578, 0.002_472, 0.015_639,
                    0.000_001, 0.984_360, 0.002_178, 0.995_310, 0.002_511,
                ],
            );
            let three = sinkhorn(scores(), 0.05, 3);
            check(
                three.clone(),
                &[
                    0.992_892, 0.006_930, 0.000_178, 0.718_992, 0.273_981, 0.007_028, 0.004_623,
                    0.000_001, 0.995_376, 0.000_877, 0.995_667, 0.003_456,
                ],
            );
            check(three.clone().sum_dim(0), &[1.717_384, 1.276_579, 1.006_038]);
            check(three.sum_dim(1), &[1.0; 4]);
            let many = sinkhorn(scores(), 0.05, 100);
            check(
                many.clone(),
                &[
                    0.968_989, 0.019_119, 0.011_892, 0.363_989, 0.392_119, 0.243_891, 0.000_068,
                    0.0, 0.999_932, 0.000_287, 0.922_095, 0.077_618,
                ],
            );
            check(many.sum_dim(0), &[1.333_333; 3]);
        });
    }

    #[test]
    fn equal_scores_give_equal_codes() {
        on_each_device(|| {
            let codes = sinkhorn(Tensor::ones([5, 4], &device().inner()), 0.05, 3);
            check(codes, &[0.25; 20]);
        });
    }

    #[test]
    fn a_queue_takes_part_in_the_balance() {
        on_each_device(|| {
            let queue = Tensor::from_floats([[0.1, 0.9, 0.0], [0.0, 0.2, 0.8]], &device().inner());
            let codes = sinkhorn(Tensor::cat(vec![queue, scores()], 0), 0.05, 3);
            check(
                codes.slice([2..6, 0..3]),
                &[
                    0.999_991, 0.000_009, 0.0, 0.999_516, 0.000_472, 0.000_012, 0.790_285, 0.0,
                    0.209_715, 0.414_429, 0.583_556, 0.002_014,
                ],
            );
        });
    }
}
