//! The in-plane window (`metrics-and-data.md` section 8).

use serde::{Deserialize, Serialize};

/// A window of a slice, in pixels of the full prepared grid; parts beyond the grid are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First row and column `[y, x]`; negative where padded in front.
    pub offset: [i64; 2],
    /// Size `[height, width]`.
    pub size: [usize; 2],
}

impl Window {
    /// Window in the middle of a slice of `full` `[height, width]`; a size of 0 keeps the axis.
    ///
    /// The odd pixel lies after the window when cropping, and after the image when padding.
    #[must_use]
    pub fn center(full: [usize; 2], size: [usize; 2]) -> Self {
        let size = kept(full, size);
        Self {
            // Division towards zero does both.
            offset: std::array::from_fn(|i| (full[i] as i64 - size[i] as i64) / 2),
            size,
        }
    }

    /// Window centred on the box `low..high` `[y, x]` (half-open), moved into the image; axes that
    /// are smaller than the window are padded as by [`Window::center`].
    #[must_use]
    pub fn around(full: [usize; 2], size: [usize; 2], low: [usize; 2], high: [usize; 2]) -> Self {
        let mut window = Self::center(full, size);
        for i in 0..2 {
            let room = full[i] as i64 - window.size[i] as i64;
            if room > 0 {
                let first = (low[i] + high[i]) as i64 - window.size[i] as i64;
                window.offset[i] = first.div_euclid(2).clamp(0, room);
            }
        }
        window
    }

    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Cuts the window out of one slice of `full` `[height, width]`.
    pub(super) fn cut<T: Copy>(&self, slice: &[T], full: [usize; 2], pad: T, out: &mut [T]) {
        self.pad(full, pad, out);
        self.rows(full, |from, to| out[to].copy_from_slice(&slice[from]));
    }

    /// Fills what lies beyond the grid with `pad`.
    pub(super) fn pad<T: Copy>(&self, full: [usize; 2], pad: T, out: &mut [T]) {
        let mut done = 0;
        self.rows(full, |_, to| {
            out[done..to.start].fill(pad);
            done = to.end;
        });
        out[done..].fill(pad);
    }

    /// Puts the window back into one slice of `full`.
    pub(super) fn paste<T: Copy>(&self, window: &[T], full: [usize; 2], slice: &mut [T]) {
        self.rows(full, |from, to| {
            slice[from].copy_from_slice(&window[to]);
        });
    }

    /// Ranges of the rows that slice and window share: in the slice, in the window.
    pub(super) fn rows(
        &self,
        full: [usize; 2],
        mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let [height, width] = self.size;
        let shared = |i: usize, n: usize| {
            let low = (-self.offset[i]).clamp(0, n as i64);
            let high = (full[i] as i64 - self.offset[i]).clamp(low, n as i64);
            (low as usize, high as usize)
        };
        let (x0, x1) = shared(1, width);
        let (y0, y1) = shared(0, height);
        if x0 == x1 {
            return;
        }
        for y in y0..y1 {
            let row = (y as i64 + self.offset[0]) as usize;
            let from = row * full[1] + (x0 as i64 + self.offset[1]) as usize;
            let to = y * width + x0;
            each(from..from + (x1 - x0), to..to + (x1 - x0));
        }
    }
}

fn kept(full: [usize; 2], size: [usize; 2]) -> [usize; 2] {
    std::array::from_fn(|i| if size[i] == 0 { full[i] } else { size[i] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brats_window_starts_at_40() {
        let window = Window::center([240, 240], [160, 160]);
        assert_eq!(window.offset, [40, 40]);
        assert_eq!(Window::center([7, 5], [0, 2]).size, [7, 2]);
    }

    #[test]
    fn padding_puts_the_odd_pixel_after() {
        let window = Window::center([3, 2], [6, 2]);
        assert_eq!(window.offset, [-1, 0]);
        let mut out = [0; 12];
        window.cut(&[1, 2, 3, 4, 5, 6], [3, 2], 9, &mut out);
        assert_eq!(out, [9, 9, 1, 2, 3, 4, 5, 6, 9, 9, 9, 9]);
        let mut back = [0; 6];
        window.paste(&out, [3, 2], &mut back);
        assert_eq!(back, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_head_stays_in_view() {
        let full = [240, 240];
        let window = Window::around(full, [160, 160], [10, 60], [190, 180]);
        assert_eq!(window.offset, [20, 40]);
        let edge = Window::around(full, [160, 160], [0, 200], [30, 240]);
        assert_eq!(edge.offset, [0, 80]);
        let small = Window::around([100, 240], [160, 160], [0, 0], [100, 240]);
        assert_eq!(small.offset, [-30, 40]);
    }
}
