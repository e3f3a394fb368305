//! AdamW on the pure-Rust device: one pass over parameter, gradient and moments, with the roundings
//! of burn's operations one after the other.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

use super::adamw::{Adamw, Rounded, UpdateOps};
use super::composed;

/// Numbers per task: less is not worth a thread.
const CHUNK: usize = 1 << 15;

impl UpdateOps for Flex {
    fn adamw(
        parameter: FlexTensor,
        grad: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        rule: Adamw,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let tensors = [&parameter, &grad, &first, &second];
        let fits = tensors.iter().all(|t| {
            t.dtype() == DType::F32 && t.layout().shape()[..] == parameter.layout().shape()[..]
        });
        if !fits {
            return composed::adamw::<Self>(parameter, grad, first, second, rule);
        }
        let shape = parameter.layout().shape().clone();
        let [p, g, m, v] = [parameter, grad, first, second].map(|t| t.to_contiguous());
        // Contiguous and of this type, so there always is a slice.
        let [p, g, m, v]: [&[f32]; 4] = [&p, &g, &m, &v].map(|t| t.as_slice().unwrap_or_default());
        let mut new = [vec![0.0; p.len()], vec![0.0; p.len()], vec![0.0; p.len()]];
        let [new_p, new_m, new_v] = &mut new;
        let rule = rule.rounded();
        let old = p.par_chunks(CHUNK).zip(g.par_chunks(CHUNK));
        let old = old.zip(m.par_chunks(CHUNK)).zip(v.par_chunks(CHUNK));
        let new_moments = new_m.par_chunks_mut(CHUNK).zip(new_v.par_chunks_mut(CHUNK));
        old.zip(new_p.par_chunks_mut(CHUNK).zip(new_moments))
            .for_each(|((((p, g), m), v), (new_p, (new_m, new_v)))| {
                update([p, g, m, v], [new_p, new_m, new_v], &rule);
            });
        let [p, m, v] =
            new.map(|values| FlexTensor::from_data(TensorData::new(values, shape.clone())));
        (p, m, v)
    }
}

/// All slices are of one length.
fn update([p, g, m, v]: [&[f32]; 4], [new_p, new_m, new_v]: [&mut [f32]; 3], rule: &Rounded) {
    let Rounded {
        betas: [b1, b2],
        rest: [rest_1, rest_2],
        correction: [correction_1, correction_2],
        epsilon,
        keep,
        lr,
    } = *rule;
    let old = p.iter().zip(g).zip(m.iter().zip(v));
    let new = new_p.iter_mut().zip(new_m.iter_mut().zip(new_v));
    for (((p, g), (m, v)), (new_p, (new_m, new_v))) in old.zip(new) {
        let first = m * b1 + g * rest_1;
        let second = v * b2 + g * g * rest_2;
        let delta = first / correction_1 / ((second / correction_2).sqrt() + epsilon);
        *new_p = p * keep - delta * lr;
        *new_m = first;
        *new_v = second;
    }
}
