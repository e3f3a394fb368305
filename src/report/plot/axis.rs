//! An axis: its range, round ticks, and how it maps values to pixels.

use std::fmt::Write as _;

/// Ticks that an axis aims at.
const WANTED: f64 = 4.0;

/// An axis of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Lower end.
    pub low: f64,
    /// Upper end, above the lower one.
    pub high: f64,
    /// Whether equal distances are equal factors; both ends are then positive.
    pub log: bool,
}

impl Axis {
    /// An axis that holds all finite `values`, its ends rounded outwards to ticks.
    #[must_use]
    pub fn around(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = bounds(values);
        if low >= high {
            // A single value lies in the middle.
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            low -= room;
            high += room;
        }
        // Again and again: the ticks are those of the range once it is rounded.
        for _ in 0..4 {
            let step = step(high - low);
            low = (low / step).floor() * step;
            high = (high / step).ceil() * step;
        }
        Self {
            label: label.to_owned(),
            low,
            high,
            log: false,
        }
    }

    /// An axis from the least to the largest of `values`, no wider.
    #[must_use]
    pub fn exactly(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, mut high) = bounds(values);
        if low >= high {
            high = low + 1.0;
        }
        Self {
            label: label.to_owned(),
            low,
            high,
            log: false,
        }
    }

    /// The same with equal factors at equal distances, where all of it is positive.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.log = self.low > 0.0;
        self
    }

    /// Where `value` lies between the ends, 0 to 1.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Round values between the ends.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        if self.log {
            powers(self.low, self.high)
        } else {
            ticks(self.low, self.high)
        }
    }
}

fn bounds(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// 1, 2 or 5 times a power of ten, such that a range holds about [`WANTED`] of it.
fn step(range: f64) -> f64 {
    let raw = (range / WANTED).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    let round = if lead < 1.5 {
        1.0
    } else if lead < 3.5 {
        2.0
    } else if lead < 7.5 {
        5.0
    } else {
        10.0
    };
    round * power
}

/// Round values from `low` to `high`, about five.
#[must_use]
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    if !(low.is_finite() && high.is_finite() && low < high) {
        return Vec::new();
    }
    let step = step(high - low);
    let first = (low / step - 1e-9).ceil();
    (0..)
        .map(|i| (first + f64::from(i)) * step)
        .take_while(|v| *v <= high + step * 1e-9)
        .collect()
}

/// Powers of two or of ten between the ends, whichever are fewer but at least two.
fn powers(low: f64, high: f64) -> Vec<f64> {
    let of = |base: f64| -> Vec<f64> {
        let first = (low.ln() / base.ln() - 1e-9).ceil() as i32;
        (first..)
            .map(|e| base.powi(e))
            .take_while(|v| *v <= high * (1.0 + 1e-9))
            .collect()
    };
    let tens = of(10.0);
    if tens.len() >= 3 { tens } else { of(2.0) }
}

/// A number as ticks show it: no more digits than the distance between ticks asks for.
pub(super) fn tick_text(value: f64, all: &[f64]) -> String {
    let gap = all
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(f64::INFINITY, f64::min);
    if !gap.is_finite() || value.abs() >= 1e5 {
        return short(value);
    }
    let digits = (-gap.log10()).ceil().clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.trim_start_matches(['-', '0', '.']).is_empty() {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    }
}

/// A number with at most four significant digits.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A coordinate in pixels with one decimal, as short as it goes.
pub(super) fn px(out: &mut String, value: f64) {
    let rounded = (value * 10.0).round() / 10.0;
    // Never `-0`.
    let _ = write!(out, "{}", rounded + 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks(0.0, 1.0),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks(1.0, 8.0), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(0.0, 0.0), Vec::<f64>::new());
        let text: Vec<String> = ticks(0.0, 1.0)
            .iter()
            .map(|&t| tick_text(t, &ticks(0.0, 1.0)))
            .collect();
        assert_eq!(text, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn an_axis_holds_its_values() {
        let axis = Axis::around("x", [0.13, 0.87]);
        assert!(axis.low <= 0.13 && axis.high >= 0.87);
        let ends = |axis: &Axis| {
            let ticks = axis.ticks();
            (ticks[0] - axis.low).abs() < 1e-9 && (ticks[ticks.len() - 1] - axis.high).abs() < 1e-9
        };
        assert!(ends(&axis) && ends(&Axis::around("x", [0.06, 0.29])));
        let one = Axis::around("x", [3.0]);
        assert!(one.low < 3.0 && one.high > 3.0);
        assert!(Axis::around("x", [f64::NAN]).low < 1.0);
        let none = Axis::around("x", []);
        assert!(none.low < none.high);
    }

    #[test]
    fn doublings_are_equally_far_apart() {
        let axis = Axis::exactly("patch", [8.0, 16.0, 32.0]).logarithmic();
        assert!((axis.share(16.0) - 0.5).abs() < 1e-12);
        assert_eq!(axis.ticks(), [8.0, 16.0, 32.0]);
        let from_zero = Axis::exactly("x", [0.0, 4.0]).logarithmic();
        assert!(!from_zero.log, "zero has no logarithm");
    }

    #[test]
    fn short_numbers() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(0.123_456), "0.1235");
        assert_eq!(short(12.5), "12.5");
        assert_eq!(short(1234.6), "1235");
        assert_eq!(short(1e-7), "1.00e-7");
    }
}
