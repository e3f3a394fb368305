//! Tails and quantiles of the normal and of Student's distribution.

use std::f64::consts::{FRAC_PI_2, TAU};

/// Probability that a standard normal number exceeds `x`.
#[must_use]
pub fn normal_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_tail(-x);
    }
    let density = (-0.5 * x * x).exp() / TAU.sqrt();
    if x < 3.0 {
        // x + x^3/3 + x^5/(3*5) + ...
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term > sum * 1e-17 {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // x + 1/(x + 2/(x + 3/...)), from the inside.
    let fraction = (1..=200).rev().fold(x, |inner, k| x + f64::from(k) / inner);
    density / fraction
}

/// The number that a standard normal number exceeds with probability `tail`.
#[must_use]
pub fn normal_quantile(tail: f64) -> f64 {
    quantile(tail, &normal_tail)
}

/// Probability that a number of Student's distribution exceeds `t`, for whole degrees of freedom
/// (Abramowitz and Stegun 26.7.3 and 26.7.4).
fn student_tail(freedom: usize, t: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - student_tail(freedom, -t);
    }
    let nu = freedom as f64;
    let (sine, cosine2) = (t / (nu + t * t).sqrt(), nu / (nu + t * t));
    // Both series run over every other factor: 1/2, 3/4, ... and 2/3, 4/5, ...
    let series = |first: usize| {
        let (mut term, mut sum) = (1.0, 1.0);
        let mut k = first;
        while k + 2 < freedom {
            term *= cosine2 * (k + 1) as f64 / (k + 2) as f64;
            sum += term;
            k += 2;
        }
        sum
    };
    let inside = if freedom.is_multiple_of(2) {
        sine * series(0)
    } else {
        let angle = (t / nu.sqrt()).atan();
        let sum = if freedom > 1 {
            sine * cosine2.sqrt() * series(1)
        } else {
            0.0
        };
        (angle + sum) / FRAC_PI_2
    };
    0.5 * (1.0 - inside)
}

/// The number that a number of Student's distribution with `freedom` degrees exceeds with
/// probability `tail`; infinite without a degree of freedom.
#[must_use]
pub fn student_quantile(freedom: usize, tail: f64) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    quantile(tail, &|t| student_tail(freedom, t))
}

/// Inverts a falling tail by bisection.
fn quantile(tail: f64, of: &dyn Fn(f64) -> f64) -> f64 {
    if tail > 0.5 {
        return -quantile(1.0 - tail, of);
    }
    let mut high = 1.0;
    while of(high) > tail && high < 1e12 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if of(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
