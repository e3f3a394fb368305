//! The losses of AMLP on per-patch losses `l` `[images, patches]` with a 0/1 mask of the same shape
//! and `n_m` masked patches in every image (sections 2.6 and 2.7).

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use crate::options::{RrlMode, RrlScope};

/// Least mean loss that is divided by.
const LEAST_MEAN: f64 = 1e-8;

/// Mean over channels and over the pixels of each patch: `[n, c, h, w]` to `[n, patches]`.
#[must_use]
pub fn patch_means(values: Tensor<4>, side: usize) -> Tensor<2> {
    let [n, c, h, w] = values.dims();
    let (rows, cols) = (h / side, w / side);
    let per_row = values
        .reshape([n, c, h, cols, side])
        .sum_dim(4)
        .reshape([n, c, rows, side, cols]);
    // The channel comes last, where it is a short sum over what is left.
    let sums = per_row.sum_dim(3).reshape([n, c, rows * cols]).sum_dim(1);
    sums.reshape([n, rows * cols])
        .div_scalar((c * side * side) as f64)
}

/// Squared error per patch on raw intensities (no per-patch normalisation: it would make air the
/// hardest tissue): `[n, c, h, w]` to `[n, patches]`.
#[must_use]
pub fn patch_losses(output: Tensor<4>, target: Tensor<4>, side: usize) -> Tensor<2> {
    patch_means((output - target).square(), side)
}

/// Mean over the masked patches of all images: `L_pred` of the per-patch losses.
#[must_use]
pub fn masked_mean(values: Tensor<2>, mask: Tensor<2>, n_m: usize) -> Tensor<1> {
    let [n, _] = values.dims();
    (values * mask).sum().div_scalar((n * n_m).max(1) as f64)
}

/// `r_i = l_i / max(L_mean, 1e-8)` of the masked patches, 0 elsewhere, and `max(L_mean, 1e-8)`
/// `[n, 1]`. The mean takes part in gradients where `l` does.
#[must_use]
pub fn relative_weights(
    l: Tensor<2>,
    mask: Tensor<2>,
    n_m: usize,
    scope: RrlScope,
) -> (Tensor<2>, Tensor<2>) {
    let masked = l * mask;
    let [n, patches] = masked.dims();
    let sums = masked.clone().sum_dim(1);
    let mean = match scope {
        RrlScope::Image => sums.div_scalar(n_m.max(1) as f64),
        RrlScope::Batch => sums
            .sum_dim(0)
            .div_scalar((n * n_m).max(1) as f64)
            .expand([n, 1]),
    };
    let mean = mean.clamp_min(LEAST_MEAN);
    (masked / mean.clone().expand([n, patches]), mean)
}

/// Relative reconstruction loss, equations 1 and 2 in the reading of `mode`; `None` when off.
/// Images with a mean loss below 1e-8 (blank ones) take no part: what is relative to nothing would
/// have a gradient without bound.
///
/// As printed the loss is the constant 1 and its gradient is exactly 0, so `literal` is computed
/// outside of the graph: rounding cannot turn it into a gradient.
#[must_use]
pub fn relative(
    l: Tensor<2>,
    mask: Tensor<2>,
    n_m: usize,
    mode: RrlMode,
    scope: RrlScope,
) -> Option<Tensor<1>> {
    let (r, mean) = relative_weights(l.clone().detach(), mask.clone(), n_m, scope);
    let [n, patches] = l.dims();
    let usable = mean.clone().greater_scalar(LEAST_MEAN).float();
    let mask = mask * usable.expand([n, patches]);
    let scaled = |weights: Tensor<2>| weights / mean.clone().expand([n, patches]);
    Some(match mode {
        RrlMode::Off => return None,
        RrlMode::Literal => masked_mean(r, mask, n_m),
        RrlMode::DetachedMean => masked_mean(scaled(l), mask, n_m),
        RrlMode::Weight => masked_mean(r * l, mask, n_m),
        RrlMode::WeightScaled => masked_mean(scaled(r) * l, mask, n_m),
        RrlMode::Square => {
            let (r, _) = relative_weights(l, mask.clone(), n_m, scope);
            masked_mean(r.square(), mask, n_m)
        }
    })
}

/// Category consistency loss of soft labels `q` against the new labels, equation 3:
/// `-[new ln(q + xi) + (1 - new) ln(1 - q + xi)]`, summed where `applied` is 1, over `n_m`, mean
/// over images.
#[must_use]
pub fn consistency(
    q: Tensor<2>,
    new: Tensor<2>,
    applied: Tensor<2>,
    n_m: usize,
    xi: f64,
) -> Tensor<1> {
    let foreground = q.clone().add_scalar(xi).log();
    let background = q.neg().add_scalar(1.0 + xi).log();
    let terms = (new.clone() * (foreground - background.clone()) + background).neg();
    masked_mean(terms, applied, n_m)
}

/// Equation 3 as printed, one term: hard labels, a constant.
#[must_use]
pub fn literal_consistency(new: u8, original: u8, xi: f64) -> f64 {
    let (new, original) = (f64::from(new), f64::from(original));
    -(new * (original + xi).ln() + (1.0 - new) * (1.0 - original + xi).ln())
}

/// Soft label from the relative loss: `sigmoid((r - 1) / T)`, the mean detached.
#[must_use]
pub fn soft_relative(l: Tensor<2>, mask: Tensor<2>, n_m: usize, temperature: f64) -> Tensor<2> {
    let (_, mean) = relative_weights(l.clone().detach(), mask, n_m, RrlScope::Image);
    let [n, patches] = l.dims();
    let r = l / mean.expand([n, patches]);
    sigmoid(r.sub_scalar(1.0).div_scalar(temperature))
}

/// Soft label from the distances of the reconstruction to the two centroids,
/// `sigmoid((D0 - D1) / T)` with `D` the mean squared distance.
///
/// `D0 - D1 = mean(2 x (c1 - c0)) + mean(c0^2 - c1^2)` is linear in the reconstruction, so one
/// product replaces two squared distances. `direction` `[n, c, h, w]` is `2 (c1 - c0)` in every
/// patch, `offset` `[n, 1]` is `mean(c0^2 - c1^2)`.
#[must_use]
pub fn centroid_soft(
    output: Tensor<4>,
    direction: Tensor<4>,
    offset: Tensor<2>,
    side: usize,
    temperature: f64,
) -> Tensor<2> {
    let difference = patch_means(output * direction, side);
    let [n, patches] = difference.dims();
    sigmoid((difference + offset.expand([n, patches])).div_scalar(temperature))
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    /// Four patches of two values each (two channels, patches of one pixel) on a 2x2 image.
    const SHAPE: [usize; 4] = [1, 2, 2, 2];
    const L: [f32; 4] = [0.05, 0.01, 0.09, 0.02];
    const N: usize = 4;

    fn image(values: Vec<f32>) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, SHAPE), &device())
    }

    fn row(values: &[f32]) -> Tensor<2> {
        let shape = [values.len() / N, N];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
    }

    fn close(found: &[f32], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!(
                (f64::from(*f) - e).abs() < tolerance,
                "{found:?} {expected:?}"
            );
        }
    }

    /// Two errors `(a, -a)` per patch with `a = sqrt(l)`; returns loss value and the gradient for
    /// the first error of each patch.
    fn through_pixels(loss: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>) -> (f32, Vec<f32>) {
        let a = L.map(f32::sqrt);
        let output: Vec<f32> = a.iter().copied().chain(a.iter().map(|v| -v)).collect();
        let output = image(output).require_grad();
        let l = patch_losses(output.clone(), image(vec![0.0; 8]), 1);
        close(&host_values(l.clone()), &L.map(f64::from), 1e-7);
        let value = loss(l.clone(), row(&[1.0; 4]));
        // A literal loss is a constant: the graph needs one real node to be walked.
        let total = value.clone() + l.sum().mul_scalar(0.0);
        let gradient = output.grad(&total.backward()).unwrap();
        (value.into_scalar(), host_values(gradient)[..4].to_vec())
    }

    fn rrl(mode: RrlMode) -> (f32, Vec<f32>) {
        through_pixels(|l, mask| relative(l, mask, N, mode, RrlScope::Image).unwrap())
    }

    #[test]
    fn spec_vectors_n2() {
        on_each_device(|| {
            let (r, mean) = relative_weights(row(&L), row(&[1.0; 4]), N, RrlScope::Image);
            close(&host_values(mean), &[0.0425], 1e-8);
            let expected = [1.176471, 0.235294, 2.117647, 0.470588];
            close(&host_values(r.clone()), &expected, 1e-6);
            close(&host_values(r.clone().mean()), &[1.0], 1e-6);

            let (_, prediction) = through_pixels(|l, mask| masked_mean(l, mask, N));
            close(&prediction, &[0.055902, 0.025, 0.075, 0.035355], 1e-6);
            let cases: [(RrlMode, f64, [f64; 4]); 4] = [
                (RrlMode::Literal, 1.0, [0.0; 4]),
                (
                    RrlMode::DetachedMean,
                    1.0,
                    [1.315334, 0.588235, 1.764706, 0.831890],
                ),
                (
                    RrlMode::Weight,
                    0.065294,
                    [0.065767, 0.005882, 0.158824, 0.016638],
                ),
                (
                    RrlMode::WeightScaled,
                    1.536332,
                    // r_i / L_mean times the gradient of l_i / n_m.
                    [1.547452, 0.138408, 3.737024, 0.391478],
                ),
            ];
            for (mode, value, gradient) in cases {
                let (found, slopes) = rrl(mode);
                close(&[found], &[value], 1e-6);
                close(&slopes, &gradient, 2e-6);
            }
            let (square, _) = rrl(RrlMode::Square);
            close(&[square], &[1.536332], 1e-6);
            // As printed the gradient is not small but exactly nothing.
            assert_eq!(rrl(RrlMode::Literal).1, [0.0; 4]);

            let (_, total) = through_pixels(|l, mask| {
                let extra = relative(l.clone(), mask.clone(), N, RrlMode::Weight, RrlScope::Image);
                masked_mean(l, mask, N) + extra.unwrap()
            });
            close(&total, &[0.121668, 0.030882, 0.233824, 0.051993], 1e-6);
            let weights: Vec<f32> = host_values(r).iter().map(|r| (1.0 + r) / 4.0).collect();
            close(&weights, &[0.544118, 0.308824, 0.779412, 0.367647], 1e-6);

            let two: Vec<f32> = L.iter().copied().chain(L.map(|l| 10.0 * l)).collect();
            for (scope, expected) in [(RrlScope::Image, 0.359118), (RrlScope::Batch, 0.599519)] {
                let loss = relative(row(&two), row(&[1.0; 8]), N, RrlMode::Weight, scope).unwrap();
                close(&host_values(loss), &[expected], 1e-6);
            }
        });
    }

    #[test]
    fn the_square_raises_the_error_of_easy_patches() {
        on_each_device(|| {
            let (_, slopes) = rrl(RrlMode::Square);
            assert!(slopes[1] < 0.0 && slopes[2] > 0.0, "{slopes:?}");
        });
    }

    #[test]
    fn an_undetached_mean_has_no_gradient_either() {
        on_each_device(|| {
            let (value, slopes) = through_pixels(|l, mask| {
                let (r, _) = relative_weights(l, mask.clone(), N, RrlScope::Image);
                masked_mean(r, mask, N)
            });
            close(&[value], &[1.0], 1e-6);
            close(&slopes, &[0.0; 4], 1e-6);
        });
    }

    #[test]
    fn unmasked_patches_count_for_nothing() {
        on_each_device(|| {
            let mask = row(&[1.0, 0.0, 1.0, 0.0]);
            close(
                &host_values(masked_mean(row(&L), mask.clone(), 2)),
                &[0.07],
                1e-7,
            );
            let (r, mean) = relative_weights(row(&L), mask.clone(), 2, RrlScope::Image);
            close(&host_values(mean), &[0.07], 1e-7);
            close(&host_values(r), &[0.714286, 0.0, 1.285714, 0.0], 1e-6);
        });
    }

    #[test]
    fn blank_images_stay_finite() {
        on_each_device(|| {
            for mode in [
                RrlMode::DetachedMean,
                RrlMode::Weight,
                RrlMode::WeightScaled,
                RrlMode::Square,
            ] {
                let l = row(&[1e-10; 4]).require_grad();
                let loss = relative(l.clone(), row(&[1.0; 4]), N, mode, RrlScope::Image).unwrap();
                let slopes = l
                    .grad(&loss.backward())
                    .map(host_values)
                    .unwrap_or_default();
                assert!(slopes.iter().all(|&s| s == 0.0), "{mode:?} {slopes:?}");
                assert_eq!(loss.into_scalar::<f32>(), 0.0);
            }
        });
    }

    #[test]
    fn spec_vectors_n3_literal() {
        for (new, original, expected) in [
            (1, 1, -0.095310),
            (0, 0, -0.095310),
            (1, 0, std::f64::consts::LN_10),
            (0, 1, std::f64::consts::LN_10),
        ] {
            assert!((literal_consistency(new, original, 0.1) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn spec_vectors_n3_soft_relative() {
        on_each_device(|| {
            let l = row(&L).require_grad();
            let q = soft_relative(l.clone(), row(&[1.0; 4]), N, 1.0);
            close(
                &host_values(q.clone()),
                &[0.544004, 0.317625, 0.753552, 0.370654],
                1e-6,
            );
            let target = row(&[1.0, 0.0, 1.0, 0.0]);
            for (at, term) in [0.440051, 0.245422, 0.158349, 0.315607]
                .into_iter()
                .enumerate()
            {
                let mut only = [0.0; 4];
                only[at] = 1.0;
                let loss = consistency(q.clone(), target.clone(), row(&only), 1, 0.1);
                close(&host_values(loss), &[term], 1e-6);
            }
            let loss = consistency(q, target, row(&[1.0; 4]), N, 0.1);
            close(&host_values(loss.clone()), &[0.289857], 1e-6);
            let gradient = l.grad(&loss.backward()).unwrap();
            let expected = [-2.265823, 1.629575, -1.279852, 1.881377];
            close(&host_values(gradient), &expected, 5e-6);
        });
    }

    #[test]
    fn spec_vectors_n3_centroid_soft() {
        on_each_device(|| {
            // Channel by channel: first values of the four patches, then second values.
            let output = image(vec![0.9, 0.2, 0.4, 0.6, 0.7, 0.1, 0.3, 0.8]).require_grad();
            // c1 = (1, 1), c0 = (0, 0).
            let direction = image(vec![2.0; 8]);
            let offset = Tensor::<2>::from_data(TensorData::new(vec![-1.0f32], [1, 1]), &device());
            let q = centroid_soft(output.clone(), direction, offset, 1, 0.5);
            close(
                &host_values(q.clone()),
                &[0.768525, 0.197816, 0.354344, 0.689974],
                1e-6,
            );
            let target = row(&[1.0, 0.0, 1.0, 0.0]);
            let changed = consistency(
                q.clone(),
                target.clone(),
                row(&[0.0, 0.0, 1.0, 1.0]),
                N,
                0.1,
            );
            close(&host_values(changed), &[0.420109], 1e-6);
            let all = consistency(q, target, row(&[1.0; 4]), N, 0.1);
            close(&host_values(all.clone()), &[0.481083], 1e-6);
            let gradient = host_values(output.grad(&all.backward()).unwrap());
            let expected = [-0.102412, 0.087945, -0.251774, 0.260849];
            close(&gradient[..4], &expected, 1e-6);
            close(&gradient[4..], &expected, 1e-6);
        });
    }

    #[test]
    fn patch_losses_average_channels_and_pixels_in_patch_order() {
        on_each_device(|| {
            // 2 channels, 4 x 6, patches of 2: the error of a pixel is its patch number.
            let (h, w, side) = (4, 6, 2);
            let patch = |y: usize, x: usize| (y / side * (w / side) + x / side) as f32;
            let plane: Vec<f32> = (0..h * w).map(|i| patch(i / w, i % w)).collect();
            let values = [plane.clone(), plane.iter().map(|v| 2.0 * v).collect()].concat();
            let output = Tensor::<4>::from_data(TensorData::new(values, [1, 2, h, w]), &device());
            let l = patch_losses(output.clone(), output.zeros_like(), side);
            assert_eq!(l.dims(), [1, 6]);
            let expected: Vec<f64> = (0..6).map(|p| 2.5 * f64::from(p * p)).collect();
            close(&host_values(l), &expected, 1e-5);
        });
    }
}
