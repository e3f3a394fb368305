//! Changes of intensity, defined between 0 and 1.

/// Where changed intensities end, but for G-L's as published.
pub const TOP: f32 = 1.0;

/// One channel of a volume's intensities as 0 to 1.
#[derive(Clone, Copy, Debug)]
struct Unit {
    low: f32,
    high: f32,
}

impl Unit {
    /// From a volume's `[low, high]`; `None` where it has a single value.
    #[must_use]
    fn new([low, high]: [f32; 2]) -> Option<Self> {
        (high > low).then_some(Self { low, high })
    }

    /// To 0 to 1.
    fn enter(&self, plane: &mut [f32]) {
        let scale = 1.0 / (self.high - self.low);
        plane.iter_mut().for_each(|v| *v = (*v - self.low) * scale);
    }

    /// Back.
    fn leave(&self, plane: &mut [f32]) {
        let scale = self.high - self.low;
        plane.iter_mut().for_each(|v| *v = *v * scale + self.low);
    }
}

/// Changes each plane of `area` pixels of `image` as numbers from 0 to 1 by its `bounds`; a plane whose
/// volume has a single value stays as it is.
pub fn in_unit(
    image: &mut [f32],
    area: usize,
    bounds: &[[f32; 2]],
    mut change: impl FnMut(&mut [f32]),
) {
    for (plane, bound) in image.chunks_exact_mut(area).zip(bounds) {
        if let Some(unit) = Unit::new(*bound) {
            unit.enter(plane);
            change(plane);
            unit.leave(plane);
        }
    }
}

fn change(plane: &mut [f32], top: f32, f: impl Fn(f32) -> f32) {
    plane.iter_mut().for_each(|v| *v = f(*v).clamp(0.0, top));
}

/// Brightness by a factor.
pub fn multiply(plane: &mut [f32], factor: f32) {
    change(plane, TOP, |v| v * factor);
}

/// Brightness by a shift, up to `top`.
pub fn add(plane: &mut [f32], shift: f32, top: f32) {
    change(plane, top, |v| v + shift);
}

/// Contrast: towards the mean by `1 - factor`, or away from it, up to `top`.
pub fn contrast(plane: &mut [f32], factor: f32, top: f32) {
    let sum: f64 = plane.iter().map(|&v| f64::from(v)).sum();
    let mean = (sum / plane.len().max(1) as f64) as f32;
    change(plane, top, |v| factor * v + (1.0 - factor) * mean);
}

/// The upper half is turned over.
pub fn solarise(plane: &mut [f32]) {
    change(plane, TOP, |v| if v < 0.5 { v } else { 1.0 - v });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_specification() {
        let run = |f: &dyn Fn(&mut [f32])| {
            let mut plane = [-2.0, -1.0, 0.0, 1.0, 3.0];
            let unit = Unit::new([-2.0, 3.0]).unwrap();
            unit.enter(&mut plane);
            f(&mut plane);
            unit.leave(&mut plane);
            plane
        };
        let close = |found: [f32; 5], expected: [f32; 5]| {
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-5, "{found:?}, not {expected:?}");
            }
        };
        close(run(&|_| ()), [-2.0, -1.0, 0.0, 1.0, 3.0]);
        close(run(&|p| multiply(p, 1.3)), [-2.0, -0.7, 0.6, 1.9, 3.0]);
        close(run(&|p| add(p, 0.2, TOP)), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        close(run(&|p| contrast(p, 0.5, TOP)), [-0.9, -0.4, 0.1, 0.6, 1.6]);
        close(run(&solarise), [-2.0, -1.0, 0.0, 0.0, -2.0]);
        close(run(&|p| add(p, 0.2, 1.5)), [-1.0, 0.0, 1.0, 2.0, 4.0]);
        assert!(Unit::new([1.0, 1.0]).is_none());
    }
}
