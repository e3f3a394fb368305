//! AdamW on the pure-Rust device: one pass over parameter, gradient and moments, in place, with the
//! roundings of burn's operations one after the other.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
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
        // Their memory is written again, where nothing else holds it.
        let [mut p, mut m, mut v] = [parameter, first, second].map(FlexTensor::into_data);
        let g = grad.into_data();
        let rule = rule.rounded();
        {
            // In order and of this type, so there always is a slice.
            let [p, m, v] = [&mut p, &mut m, &mut v].map(|t| t.as_mut_slice().unwrap_or_default());
            let g: &[f32] = g.as_slice().unwrap_or_default();
            let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
            p.par_chunks_mut(CHUNK)
                .zip(g.par_chunks(CHUNK))
                .zip(moments)
                .for_each(|((p, g), (m, v))| update(p, g, [m, v], &rule));
        }
        let [p, m, v] = [p, m, v].map(FlexTensor::from_data);
        (p, m, v)
    }
}

/// All slices are of one length.
fn update(p: &mut [f32], g: &[f32], [m, v]: [&mut [f32]; 2], rule: &Rounded) {
    let Rounded {
        betas: [b1, b2],
        rest: [rest_1, rest_2],
        correction: [correction_1, correction_2],
        epsilon,
        keep,
        lr,
    } = *rule;
    for ((p, g), (m, v)) in p.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
        *m = *m * b1 + g * rest_1;
        *v = *v * b2 + g * g * rest_2;
        let delta = *m / correction_1 / ((*v / correction_2).sqrt() + epsilon);
        *p = *p * keep - delta * lr;
    }
}
