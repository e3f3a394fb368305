//! Contrastive losses on embeddings (`methods/contrastive.md` sections 3 and 6).

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::{indices, normalise};

/// What is added to a similarity that does not count.
const HIDDEN: f64 = -1e9;

/// Rounding by which the similarity of partners may differ between its two computations.
const ROUNDING: f64 = 1e-4;

/// A loss, and how often the own partner was the most similar one.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// A tensor of one value.
    pub loss: Tensor<1>,
    /// Share of anchors, a tensor of one value without gradient.
    pub retrieved: Tensor<1>,
}

/// NT-Xent of two views of the same images, `[n, d]` each, at temperature `t`: per anchor the
/// log-sum-exp of its similarities to all others, less the one to its partner; mean over `2n`.
#[must_use]
pub fn nt_xent(a: Tensor<2>, b: Tensor<2>, t: f64) -> Contrast {
    let (a, b) = (normalise(a), normalise(b));
    let positive = (a.clone() * b.clone()).sum_dim(1).div_scalar(t);
    let positive = Tensor::cat(vec![positive.clone(), positive], 0);
    let all = Tensor::cat(vec![a, b], 0);
    let logits = all.clone().matmul(all.transpose()).div_scalar(t);
    contrast(positive, without_itself(logits), false)
}

/// Similarities `[n, n]` with those of rows to themselves hidden. A mask would be as large as they
/// are, forth and back.
fn without_itself(logits: Tensor<2>) -> Tensor<2> {
    let [n, _] = logits.dims();
    let device = logits.device();
    let places: Vec<usize> = (0..n).collect();
    let places: Tensor<2, Int> = indices(&places, &device).reshape([n, 1]);
    let hidden = Tensor::full([n, 1], HIDDEN, &device);
    logits.scatter(1, places, hidden, IndexingUpdateOp::Add)
}

/// InfoNCE of queries `[n, d]` against their keys `[n, d]` and the keys `[k, d]` of a queue, which
/// are at length 1. Keys take no gradient.
#[must_use]
pub fn against_queue(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, t: f64) -> Contrast {
    let query = normalise(query);
    let key = normalise(key.detach());
    let positive = (query.clone() * key).sum_dim(1).div_scalar(t);
    let negative = query.matmul(queue.transpose()).div_scalar(t);
    contrast(positive, negative, true)
}

/// Cross-entropy of `positive` `[n, 1]` among the logits `[n, k]`; `apart` where they do not hold
/// it.
fn contrast(positive: Tensor<2>, logits: Tensor<2>, apart: bool) -> Contrast {
    let [n, _] = logits.dims();
    let best = logits.clone().detach().max_dim(1);
    let own = positive.clone().detach();
    let hits = own.clone().add_scalar(ROUNDING).greater_equal(best.clone());
    let retrieved = hits.float().inner().mean();
    let (logits, most) = if apart {
        let logits = Tensor::cat(vec![positive.clone(), logits], 1);
        (logits, best.max_pair(own))
    } else {
        (logits, best)
    };
    let all = log_sum_exp_below(logits, most);
    let loss = (all - positive).sum().div_scalar(n as f64);
    Contrast { loss, retrieved }
}

/// Log of the sum of the exponentials of each row, `[n, k]` to `[n, 1]`, without overflow.
#[must_use]
pub fn log_sum_exp(rows: Tensor<2>) -> Tensor<2> {
    let most = rows.clone().detach().max_dim(1);
    log_sum_exp_below(rows, most)
}

/// The same with the greatest values `most` `[n, 1]` at hand.
fn log_sum_exp_below(rows: Tensor<2>, most: Tensor<2>) -> Tensor<2> {
    (rows - most.clone()).exp().sum_dim(1).log() + most
}

#[cfg(test)]
mod tests {
    use super::super::testing::{close, g, number, rows};
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::weights::host_values;

    #[test]
    fn simclr_by_formula() {
        on_each_device(|| {
            for (n, t, expected) in [
                (2, 0.1, 9.079_574e-5),
                (2, 0.5, 0.239_545),
                (48, 0.1, 0.004_258_513),
                (36, 0.1, 0.003_172_956),
            ] {
                let z = Tensor::<2>::eye(n, &device());
                close(number(nt_xent(z.clone(), z, t).loss), expected);
            }
            for (n, expected) in [(2, 1.098_612), (36, 4.262_680), (48, 4.553_877)] {
                let z = Tensor::<2>::ones([n, 4], &device());
                close(number(nt_xent(z.clone(), z, 0.1).loss), expected);
            }
        });
    }

    #[test]
    fn simclr_fixtures() {
        on_each_device(|| {
            let (a, b) = (
                rows([[1.0, 0.0], [0.0, 1.0]]),
                rows([[0.6, 0.8], [0.8, 0.6]]),
            );
            close(number(nt_xent(a.clone(), b.clone(), 0.5).loss), 1.270_714);
            close(number(nt_xent(a.clone(), b, 0.1).loss), 2.966_802);
            let b = rows([[0.8, 0.6], [0.6, 0.8]]);
            close(number(nt_xent(a.clone(), b.clone(), 0.5).loss), 0.870_714);
            close(number(nt_xent(b, a, 0.5).loss), 0.870_714);
            let z1 = g(4, 3, [0.9, 0.7, 0.1]).require_grad();
            let z2 = g(4, 3, [0.9, 0.7, 0.4]);
            close(number(nt_xent(z1.clone(), z2.clone(), 0.1).loss), 0.334_226);
            let loss = nt_xent(z1.clone(), z2, 0.5).loss;
            close(number(loss.clone()), 1.033_266);
            let gradient = host_values(z1.grad(&loss.backward()).unwrap());
            let expected = [
                0.082_481, 0.033_006, -0.031_992, -0.028_238, 0.002_315, 0.031_779, -0.028_730,
                0.115_678, 0.205_681, 0.195_797, 0.140_285, 0.018_794,
            ];
            for (found, expected) in gradient.into_iter().zip(expected) {
                close(f64::from(found), expected);
            }
        });
    }

    #[test]
    fn simclr_sees_directions_only_and_no_order() {
        on_each_device(|| {
            let (a, b) = (g(4, 3, [0.9, 0.7, 0.1]), g(4, 3, [0.4, 0.3, 0.4]));
            let loss = |a: Tensor<2>, b: Tensor<2>| number(nt_xent(a, b, 0.5).loss);
            let expected = loss(a.clone(), b.clone());
            close(loss(a.clone().mul_scalar(7.3), b.clone()), expected);
            close(loss(a.clone().flip([0]), b.clone().flip([0])), expected);
            // A rotation by a quarter turn in the first two dimensions.
            let turn = Tensor::<2>::from_floats(
                [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
                &a.device(),
            );
            close(loss(a.matmul(turn.clone()), b.matmul(turn)), expected);
        });
    }

    #[test]
    fn partners_are_retrieved() {
        on_each_device(|| {
            let z = Tensor::<2>::eye(3, &device());
            close(number(nt_xent(z.clone(), z.clone(), 0.1).retrieved), 1.0);
            close(
                number(nt_xent(z.clone(), z.flip([0]), 0.1).retrieved),
                1.0 / 3.0,
            );
        });
    }

    #[test]
    fn moco_by_formula_and_fixture() {
        on_each_device(|| {
            let device = device();
            let same = Tensor::<2>::from_floats([[0.6, 0.8]], &device);
            let queue = same.clone().repeat(&[4032, 1]);
            close(
                number(against_queue(same.clone(), same.clone(), queue, 0.1).loss),
                8.302_266,
            );
            let across = Tensor::<2>::from_floats([[0.8, -0.6]], &device).repeat(&[4032, 1]);
            for (t, expected) in [(0.1, 0.168_098), (0.2, 3.338_165)] {
                let found = against_queue(same.clone(), same.clone(), across.clone(), t);
                close(number(found.loss), expected);
                close(number(found.retrieved), 1.0);
            }
            let q = g(3, 4, [1.1, 0.6, 0.2]);
            let k = g(3, 4, [1.1, 0.6, 0.5]);
            let queue = normalise(g(5, 4, [0.8, 1.7, 1.0]));
            for (t, expected) in [(0.07, 0.023_703), (0.1, 0.051_339), (0.2, 0.164_301)] {
                let found = against_queue(q.clone(), k.clone(), queue.clone(), t);
                close(number(found.loss), expected);
            }
        });
    }

    #[test]
    fn keys_take_no_gradient() {
        on_each_device(|| {
            let q = g(3, 4, [1.1, 0.6, 0.2]).require_grad();
            let k = g(3, 4, [1.1, 0.6, 0.5]).require_grad();
            let queue = normalise(g(5, 4, [0.8, 1.7, 1.0]));
            let loss = against_queue(q.clone(), k.clone(), queue, 0.2).loss;
            let gradients = loss.backward();
            assert!(q.grad(&gradients).is_some() && k.grad(&gradients).is_none());
        });
    }
}
