//! Passes over one plane of numbers, compiled for the instruction sets of the machine.

use super::lanes::LANES;

/// Per channel: `output = input * scale + shift`, then ReLU where `relu`.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct Affine {
    pub(super) scale: f32,
    pub(super) shift: f32,
    pub(super) relu: bool,
}

impl Affine {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * self.scale + self.shift
    }

    /// Gradient behind the ReLU.
    #[inline(always)]
    fn gate(self, x: f32, grad: f32) -> f32 {
        if self.relu && self.value(x) <= 0.0 {
            0.0
        } else {
            grad
        }
    }
}

/// Input gradient of a normalised channel: `scale * gated gradient + slope * input + constant`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormGrad {
    pub(super) affine: Affine,
    pub(super) slope: f32,
    pub(super) constant: f32,
}

/// The loops, inlined into a function per instruction set.
macro_rules! passes {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? $body:block)*) => {$(
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn compiled($($arg: $type),*) $(-> $out)? {
                    body($($arg),*)
                }
                // SAFETY: the instructions were found above.
                return unsafe { compiled($($arg),*) };
            }
            body($($arg),*)
        }
    )*};
}

/// Sum of the results of `f` over a plane: eight running sums, then their sum in a fixed order.
#[inline(always)]
fn sum<const N: usize>(plane: &[f32], other: &[f32], f: impl Fn(f32, f32) -> [f32; N]) -> [f32; N] {
    let mut sums = [[0.0f32; LANES]; N];
    let (vectors, rest) = plane.as_chunks::<LANES>();
    let (others, other_rest) = other.as_chunks::<LANES>();
    for (a, b) in vectors.iter().zip(others) {
        for i in 0..LANES {
            let values = f(a[i], b[i]);
            for k in 0..N {
                sums[k][i] += values[k];
            }
        }
    }
    for (i, (a, b)) in rest.iter().zip(other_rest).enumerate() {
        let values = f(*a, *b);
        for k in 0..N {
            sums[k][i] += values[k];
        }
    }
    sums.map(|v| ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])))
}

passes! {
    /// Sum.
    fn total(plane: &[f32]) -> f32 {
        sum(plane, plane, |x, _| [x])[0]
    }

    /// Mean, and sum of squares about it.
    fn moments(plane: &[f32]) -> (f32, f32) {
        let [total] = sum(plane, plane, |x, _| [x]);
        let mean = total / plane.len() as f32;
        let [squares] = sum(plane, plane, |x, _| [(x - mean) * (x - mean)]);
        (mean, squares)
    }

    /// Applies `affine`.
    fn apply(plane: &[f32], affine: Affine, output: &mut [f32]) {
        if affine.relu {
            for (y, x) in output.iter_mut().zip(plane) {
                let value = affine.value(*x);
                // Not a number stays one.
                *y = if value <= 0.0 { 0.0 } else { value };
            }
        } else {
            for (y, x) in output.iter_mut().zip(plane) {
                *y = affine.value(*x);
            }
        }
    }

    /// Sums of the gated gradient, and of it times the input minus `mean`.
    fn grad_sums(plane: &[f32], grad: &[f32], affine: Affine, mean: f32) -> [f32; 2] {
        sum(plane, grad, |x, grad| {
            let gated = affine.gate(x, grad);
            [gated, gated * (x - mean)]
        })
    }

    /// Input gradient of a normalised channel in place of its gradient.
    fn grad(plane: &[f32], rule: NormGrad, grad: &mut [f32]) {
        for (grad, x) in grad.iter_mut().zip(plane) {
            let gated = rule.affine.gate(*x, *grad);
            *grad = rule.affine.scale * gated + (rule.slope * x + rule.constant);
        }
    }
}
