//! Losses of segmentation (`methods/metrics-and-data.md` section 11): one sigmoid per region.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

use crate::options::SegmentationLoss;

/// Added to numerator and denominator of the soft Dice.
const DICE_EPSILON: f64 = 1e-5;

/// The loss that `kind` names, of `logits` and `target` `[n, regions, h, w]` (0 or 1).
#[must_use]
pub fn segmentation_loss(
    kind: SegmentationLoss,
    logits: Tensor<4>,
    target: Tensor<4>,
) -> Tensor<1> {
    match kind {
        SegmentationLoss::DiceBce => {
            soft_dice(logits.clone(), target.clone()) + bce(logits, target)
        }
        SegmentationLoss::Dice => soft_dice(logits, target),
        SegmentationLoss::Bce => bce(logits, target),
    }
}

/// One minus the soft Dice: sums over the batch per region, mean over regions.
#[must_use]
pub fn soft_dice(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    let probability = sigmoid(logits);
    let overlap = per_region(probability.clone() * target.clone());
    let total = per_region(probability + target);
    let dice = overlap.mul_scalar(2.0).add_scalar(DICE_EPSILON) / total.add_scalar(DICE_EPSILON);
    dice.mean().neg().add_scalar(1.0)
}

/// Mean binary cross-entropy of logits, in the form that does not overflow.
#[must_use]
pub fn bce(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    let softplus = logits.clone().abs().neg().exp().log1p();
    (relu(logits.clone()) - logits * target + softplus).mean()
}

/// Sums of `[n, regions, h, w]` per region, `[regions]`.
fn per_region(values: Tensor<4>) -> Tensor<1> {
    let [n, regions, h, w] = values.dims();
    values
        .reshape([n, regions, h * w])
        .sum_dim(2)
        .sum_dim(0)
        .reshape([regions])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        // Two images, two regions, two pixels.
        let x = vec![0.0, 2.0, -1.0, 0.5, 3.0, -2.0, 0.0, 1.0];
        let t = vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let shape = [2, 2, 1, 2];
        let p: Vec<f64> = x
            .iter()
            .map(|&x| 1.0 / (1.0 + (-f64::from(x)).exp()))
            .collect();
        let dice = |at: [usize; 4]| {
            let (mut overlap, mut total) = (0.0, 0.0);
            for i in at {
                overlap += p[i] * f64::from(t[i]);
                total += p[i] + f64::from(t[i]);
            }
            (2.0 * overlap + 1e-5) / (total + 1e-5)
        };
        let expected_dice = 1.0 - (dice([0, 1, 4, 5]) + dice([2, 3, 6, 7])) / 2.0;
        let expected_bce = -p
            .iter()
            .zip(&t)
            .map(|(p, &t)| if t == 1.0 { p.ln() } else { (1.0 - p).ln() })
            .sum::<f64>()
            / 8.0;
        let run = |kind| {
            let loss = segmentation_loss(kind, tensor(x.clone(), shape), tensor(t.clone(), shape));
            f64::from(loss.into_scalar::<f32>())
        };
        assert!((run(SegmentationLoss::Dice) - expected_dice).abs() < 1e-6);
        assert!((run(SegmentationLoss::Bce) - expected_bce).abs() < 1e-6);
        let both = run(SegmentationLoss::DiceBce);
        assert!((both - expected_dice - expected_bce).abs() < 1e-6);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let x = tensor(vec![1e4, -1e4], [1, 1, 1, 2]);
        let t = tensor(vec![0.0, 1.0], [1, 1, 1, 2]);
        let loss = bce(x, t).into_scalar::<f32>();
        assert_eq!(loss, 1e4);
    }

    #[test]
    fn empty_regions_with_nothing_predicted_cost_little() {
        let x = tensor(vec![-40.0; 4], [1, 1, 2, 2]);
        let t = tensor(vec![0.0; 4], [1, 1, 2, 2]);
        assert!(soft_dice(x, t).into_scalar::<f32>() < 1e-6);
    }
}
