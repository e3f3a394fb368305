//! Windows of images, brought to a size.

use crate::options::ViewOptions;
use crate::random::Stream;

/// Tries before the whole image is taken.
const TRIES: usize = 10;

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Window {
    /// All of an image.
    #[must_use]
    pub fn whole(height: usize, width: usize) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
        }
    }

    /// Share of the window's pixels that are set in `mask`, which is `stride` wide.
    fn share(&self, mask: &[bool], stride: usize) -> f64 {
        let rows = self.top..self.top + self.height;
        let set: usize = rows
            .map(|r| {
                let from = r * stride + self.left;
                mask[from..from + self.width].iter().filter(|m| **m).count()
            })
            .sum();
        set as f64 / (self.height * self.width).max(1) as f64
    }
}

/// Height and width of a window of the `share` of an image and the aspect `ratio`; `None` where it
/// does not fit.
#[must_use]
fn extent(image: [usize; 2], share: f64, ratio: f64) -> Option<[usize; 2]> {
    let area = (image[0] * image[1]) as f64 * share;
    let width = (area * ratio).sqrt().round() as usize;
    let height = (area / ratio).sqrt().round() as usize;
    ((1..=image[0]).contains(&height) && (1..=image[1]).contains(&width)).then_some([height, width])
}

/// A window of a random share within `scale` of the image and a random aspect ratio; drawn again,
/// as often as `options` say, while it shows too little of the `foreground`, an image of truth
/// values.
#[must_use]
pub fn random_resized_crop(
    image: [usize; 2],
    scale: [f64; 2],
    foreground: &[bool],
    options: &ViewOptions,
    stream: &mut Stream,
) -> Window {
    let mut window = draw(image, scale, stream);
    for _ in 1..options.draws {
        if window.share(foreground, image[1]) >= options.foreground {
            break;
        }
        window = draw(image, scale, stream);
    }
    window
}

fn draw(image: [usize; 2], scale: [f64; 2], stream: &mut Stream) -> Window {
    for _ in 0..TRIES {
        let share = stream.range(scale[0], scale[1]);
        let ratio = stream.range((3.0f64 / 4.0).ln(), (4.0f64 / 3.0).ln()).exp();
        if let Some([height, width]) = extent(image, share, ratio) {
            return Window {
                top: stream.below(image[0] - height + 1),
                left: stream.below(image[1] - width + 1),
                height,
                width,
            };
        }
    }
    Window::whole(image[0], image[1])
}

/// Pixels of `image` `[channels, pixels]` that show something: neither 0, which is background and
/// padding, nor the least value of their volume, which is air.
#[must_use]
pub fn foreground(image: &[f32], pixels: usize, bounds: &[[f32; 2]]) -> Vec<bool> {
    let mut mask = vec![false; pixels];
    for (plane, [low, _]) in image.chunks_exact(pixels).zip(bounds) {
        for (m, &v) in mask.iter_mut().zip(plane) {
            *m |= v != 0.0 && v > *low;
        }
    }
    mask
}

/// The window of each channel of `image` at `size`: bilinear, half-pixel centres, edges repeated.
/// `stride` is the width of the image.
#[must_use]
pub fn resize(image: &[f32], full: [usize; 2], window: Window, size: [usize; 2]) -> Vec<f32> {
    let rows = taps(window.height, size[0]);
    let cols = taps(window.width, size[1]);
    let planes = image.chunks_exact((full[0] * full[1]).max(1));
    let mut out = Vec::with_capacity(planes.len() * size[0] * size[1]);
    for plane in planes {
        let at = |r: usize, c: usize| plane[(window.top + r) * full[1] + window.left + c];
        for &(r0, r1, fr) in &rows {
            for &(c0, c1, fc) in &cols {
                let upper = at(r0, c0) * (1.0 - fc) + at(r0, c1) * fc;
                let lower = at(r1, c0) * (1.0 - fc) + at(r1, c1) * fc;
                out.push(upper * (1.0 - fr) + lower * fr);
            }
        }
    }
    out
}

/// For each of `size` places: the two of `from` that it lies between, and how far along.
fn taps(from: usize, size: usize) -> Vec<(usize, usize, f32)> {
    let last = from.saturating_sub(1);
    (0..size)
        .map(|i| {
            let x = (i as f64 + 0.5) * from as f64 / size as f64 - 0.5;
            let x = x.clamp(0.0, last as f64);
            let low = x.floor() as usize;
            (low, (low + 1).min(last), (x - low as f64) as f32)
        })
        .collect()
}

/// Mirrors left and right, every row of `width` pixels.
pub fn flip(image: &mut [f32], width: usize) {
    image
        .chunks_exact_mut(width.max(1))
        .for_each(<[f32]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn extents_of_the_specification() {
        assert_eq!(extent([144, 144], 0.25, 1.0), Some([72, 72]));
        assert_eq!(extent([144, 144], 0.08, 4.0 / 3.0), Some([35, 47]));
        assert_eq!(extent([160, 160], 0.2, 0.75), Some([83, 62]));
        assert_eq!(extent([160, 160], 1.0, 4.0 / 3.0), None);
    }

    #[test]
    fn bilinear_with_half_pixel_centres() {
        let line = [0., 1., 2., 3.];
        let to = |n| resize(&line, [1, 4], Window::whole(1, 4), [1, n]);
        close(&to(8), &[0., 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.]);
        close(&to(6), &[0., 0.5, 1.166_667, 1.833_333, 2.5, 3.]);
        close(&to(4), &line);
        let square = resize(&[0., 1., 2., 4.], [2, 2], Window::whole(2, 2), [4, 4]);
        close(
            &square,
            &[
                0., 0.25, 0.75, 1., 0.5, 0.8125, 1.4375, 1.75, 1.5, 1.9375, 2.8125, 3.25, 2., 2.5,
                3.5, 4.,
            ],
        );
    }

    #[test]
    fn a_window_knows_nothing_of_what_lies_outside() {
        let image: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let window = Window {
            top: 1,
            left: 2,
            height: 2,
            width: 2,
        };
        close(&resize(&image, [4, 4], window, [2, 2]), &[6., 7., 10., 11.]);
        let large = resize(&image, [4, 4], window, [4, 4]);
        assert!(large.iter().all(|v| (6.0..=11.0).contains(v)));
        let two: Vec<f32> = image.iter().chain(&image).copied().collect();
        let both = resize(&two, [4, 4], window, [2, 2]);
        close(&both, &[6., 7., 10., 11., 6., 7., 10., 11.]);
    }

    #[test]
    fn windows_lie_inside_and_look_for_the_foreground() {
        let mask: Vec<bool> = (0..32 * 32).map(|i| i / 32 < 16 && i % 32 < 16).collect();
        let showing = |draws, foreground| {
            let options = ViewOptions {
                draws,
                foreground,
                ..ViewOptions::default()
            };
            let mut stream = Stream::new(Purpose::Augment, &[1]);
            let windows = (0..200).map(|_| {
                let w = random_resized_crop([32, 32], [0.08, 1.0], &mask, &options, &mut stream);
                assert!(w.top + w.height <= 32 && w.left + w.width <= 32);
                usize::from(w.share(&mask, 32) >= 0.1)
            });
            windows.sum::<usize>()
        };
        let [once, often, never] = [showing(1, 0.1), showing(10, 0.1), showing(10, 0.0)];
        assert!(often > 190, "{often} of 200 windows show it");
        assert!(
            once < 180 && once == never,
            "{once} and {never} without a look"
        );
    }

    #[test]
    fn foreground_is_neither_zero_nor_air() {
        let image = [-1.0, 0.0, 0.5, -0.5, -2.0, -2.0, -2.0, 0.0];
        let mask = foreground(&image, 4, &[[-1.0, 1.0], [-2.0, 1.0]]);
        assert_eq!(mask, [false, false, true, true]);
    }

    #[test]
    fn rows_are_mirrored() {
        let mut image = [1., 2., 3., 4., 5., 6.];
        flip(&mut image, 3);
        assert_eq!(image, [3., 2., 1., 6., 5., 4.]);
    }
}
