//! Light augmentation for fine-tuning (`methods/metrics-and-data.md` section 11): one geometric
//! transform for image and masks, an intensity change for the image.

use crate::random::Stream;

/// Largest rotation in degrees, either way.
const ROTATION: f64 = 15.0;
/// Smallest and largest scale.
const SCALE: (f64, f64) = (0.9, 1.1);
/// Largest deviation of the intensity factor from 1, and of the shift from 0.
const INTENSITY: f64 = 0.1;

/// Transforms `image` `[c, h, w]` and `masks` `[regions, h, w]` in place: horizontal flip with
/// probability one half, rotation about the centre by up to 15 degrees, scale 0.9 to 1.1, then
/// intensity `v * (1 +- 0.1) +- 0.1`. Images are interpolated bilinearly, masks by the nearest
/// pixel; pixels from outside repeat the border (image) or are empty (masks).
pub fn light(image: &mut [f32], masks: &mut [f32], h: usize, w: usize, stream: &mut Stream) {
    if h == 0 || w == 0 {
        return;
    }
    let flip = stream.bits() >> 63 == 1;
    let angle = stream.range(-ROTATION, ROTATION).to_radians();
    let scale = stream.range(SCALE.0, SCALE.1);
    let factor = (1.0 + stream.range(-INTENSITY, INTENSITY)) as f32;
    let shift = stream.range(-INTENSITY, INTENSITY) as f32;
    let sources = sources(h, w, flip, angle, scale);
    let mut scratch = vec![0.0; h * w];
    for channel in image.chunks_exact_mut(h * w) {
        for (out, &(y, x)) in scratch.iter_mut().zip(&sources) {
            *out = bilinear(channel, h, w, y, x) * factor + shift;
        }
        channel.copy_from_slice(&scratch);
    }
    for mask in masks.chunks_exact_mut(h * w) {
        for (out, &(y, x)) in scratch.iter_mut().zip(&sources) {
            *out = nearest(mask, h, w, y, x);
        }
        mask.copy_from_slice(&scratch);
    }
}

/// For every pixel of the result, row by row: where it comes from, `(y, x)`.
fn sources(h: usize, w: usize, flip: bool, angle: f64, scale: f64) -> Vec<(f64, f64)> {
    let centre = ((h - 1) as f64 / 2.0, (w - 1) as f64 / 2.0);
    let (sin, cos) = angle.sin_cos();
    let mut sources = Vec::with_capacity(h * w);
    for row in 0..h {
        for col in 0..w {
            let (y, x) = (
                (row as f64 - centre.0) / scale,
                (col as f64 - centre.1) / scale,
            );
            let (y, mut x) = (cos * y - sin * x, sin * y + cos * x);
            if flip {
                x = -x;
            }
            sources.push((y + centre.0, x + centre.1));
        }
    }
    sources
}

fn bilinear(plane: &[f32], h: usize, w: usize, y: f64, x: f64) -> f32 {
    let y = y.clamp(0.0, (h - 1) as f64);
    let x = x.clamp(0.0, (w - 1) as f64);
    let (y0, x0) = (y as usize, x as usize);
    let (y1, x1) = ((y0 + 1).min(h - 1), (x0 + 1).min(w - 1));
    let (fy, fx) = ((y - y0 as f64) as f32, (x - x0 as f64) as f32);
    let line = |row: usize| plane[row * w + x0] * (1.0 - fx) + plane[row * w + x1] * fx;
    line(y0) * (1.0 - fy) + line(y1) * fy
}

fn nearest(plane: &[f32], h: usize, w: usize, y: f64, x: f64) -> f32 {
    let (row, col) = (y.round(), x.round());
    if row < 0.0 || col < 0.0 || row > (h - 1) as f64 || col > (w - 1) as f64 {
        return 0.0;
    }
    plane[row as usize * w + col as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn plane(h: usize, w: usize) -> Vec<f32> {
        (0..h * w).map(|i| i as f32).collect()
    }

    #[test]
    fn identity_and_flip_are_exact() {
        let p = plane(3, 4);
        for (y, x) in sources(3, 4, false, 0.0, 1.0) {
            let at = y as usize * 4 + x as usize;
            assert_eq!(bilinear(&p, 3, 4, y, x), p[at]);
        }
        let flipped: Vec<f32> = sources(3, 4, true, 0.0, 1.0)
            .into_iter()
            .map(|(y, x)| nearest(&p, 3, 4, y, x))
            .collect();
        assert_eq!(flipped[..4], [3.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn scale_above_one_enlarges() {
        // The corner of the result comes from inside the image.
        let (y, x) = sources(5, 5, false, 0.0, 1.1)[0];
        assert!(y > 0.0 && x > 0.0);
        let (y, x) = sources(5, 5, false, 0.0, 0.9)[0];
        assert!(y < 0.0 && x < 0.0);
    }

    #[test]
    fn masks_stay_binary_follow_the_image_and_repeat() {
        let (h, w) = (32, 32);
        // A disc off the centre, bright in the image.
        let disc: Vec<f32> = (0..h * w)
            .map(|i| {
                let (y, x) = ((i / w) as f64 - 12.0, (i % w) as f64 - 20.0);
                f32::from(u8::from(y * y + x * x < 25.0))
            })
            .collect();
        for seed in 0..20 {
            let run = || {
                let (mut image, mut mask) = (disc.clone(), disc.clone());
                light(
                    &mut image,
                    &mut mask,
                    h,
                    w,
                    &mut Stream::new(Purpose::Augment, &[seed]),
                );
                (image, mask)
            };
            let (image, mask) = run();
            assert_eq!(run(), (image.clone(), mask.clone()));
            assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0));
            let wrong = image
                .iter()
                .zip(&mask)
                .filter(|(i, m)| (**i > 0.5) != (**m > 0.5))
                .count();
            assert!(wrong <= 12, "seed {seed}: {wrong} pixels");
            let area = mask.iter().sum::<f32>();
            assert!((45.0..110.0).contains(&area), "{area}");
        }
    }
}
