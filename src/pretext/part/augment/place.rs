//! Changes of place: small rotations, mirror images and quarter turns, squares cut out.

use crate::random::Stream;

/// Each channel of `image` turned by `degrees` counter-clockwise about its centre, by the nearest
/// pixel; `fill` per channel comes in from outside.
#[must_use]
pub fn rotate(image: &[f32], size: [usize; 2], degrees: f64, fill: &[f32]) -> Vec<f32> {
    let [height, width] = size;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = [height, width].map(|n| (n as f64 - 1.0) / 2.0);
    let mut out = Vec::with_capacity(image.len());
    for (plane, fill) in image.chunks_exact((height * width).max(1)).zip(fill) {
        for r in 0..height {
            for c in 0..width {
                let (y, x) = (r as f64 - centre[0], c as f64 - centre[1]);
                // Where the pixel came from.
                let row = (y * cos + x * sin + centre[0]).round();
                let col = (x * cos - y * sin + centre[1]).round();
                let inside = row >= 0.0 && col >= 0.0 && row < height as f64 && col < width as f64;
                out.push(if inside {
                    plane[row as usize * width + col as usize]
                } else {
                    *fill
                });
            }
        }
    }
    out
}

/// Mirror images and quarter turns of a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Rows in reverse.
    pub rows: bool,
    /// Columns in reverse.
    pub cols: bool,
    /// Quarter turns counter-clockwise after that, 0 to 3.
    pub quarters: u8,
}

impl Turned {
    /// One of the sixteen, all alike likely.
    pub fn draw(stream: &mut Stream) -> Self {
        Self {
            rows: stream.uniform() < 0.5,
            cols: stream.uniform() < 0.5,
            quarters: stream.below(4) as u8,
        }
    }

    /// Six numbers that say which.
    #[must_use]
    pub fn code(self) -> [f32; 6] {
        let mut code = [
            f32::from(u8::from(self.rows)),
            f32::from(u8::from(self.cols)),
            0.0,
            0.0,
            0.0,
            0.0,
        ];
        code[2 + usize::from(self.quarters % 4)] = 1.0;
        code
    }

    /// Each channel of a square `image` of `side` pixels.
    #[must_use]
    pub fn apply(self, image: &[f32], side: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(image.len());
        for plane in image.chunks_exact((side * side).max(1)) {
            for r in 0..side {
                for c in 0..side {
                    // Undo the turns, then the mirrors.
                    let (mut row, mut col) = match self.quarters % 4 {
                        1 => (c, side - 1 - r),
                        2 => (side - 1 - r, side - 1 - c),
                        3 => (side - 1 - c, r),
                        _ => (r, c),
                    };
                    if self.rows {
                        row = side - 1 - row;
                    }
                    if self.cols {
                        col = side - 1 - col;
                    }
                    out.push(plane[row * side + col]);
                }
            }
        }
        out
    }
}

/// Fills the square of `side` pixels about `centre`, as far as it lies inside, with 0.
pub fn cut_out(image: &mut [f32], size: [usize; 2], centre: [usize; 2], side: usize) {
    let [height, width] = size;
    let range = |axis: usize| {
        let from = centre[axis].saturating_sub(side / 2);
        from..(centre[axis] + side / 2).min(size[axis])
    };
    for plane in image.chunks_exact_mut((height * width).max(1)) {
        for r in range(0) {
            plane[r * width..][range(1)].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(rows: bool, cols: bool, quarters: u8) -> Turned {
        Turned {
            rows,
            cols,
            quarters,
        }
    }

    #[test]
    fn turns_and_codes_of_the_specification() {
        let square = [1., 2., 3., 4.];
        assert_eq!(turned(false, false, 1).apply(&square, 2), [2., 4., 1., 3.]);
        let t = turned(true, false, 1);
        assert_eq!(t.apply(&square, 2), [4., 2., 3., 1.]);
        assert_eq!(t.code(), [1., 0., 0., 1., 0., 0.]);
        let t = turned(true, true, 3);
        assert_eq!(t.apply(&square, 2), [2., 4., 1., 3.]);
        assert_eq!(t.code(), [1., 1., 0., 0., 0., 1.]);
        let nine: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let expected = [9., 6., 3., 8., 5., 2., 7., 4., 1.];
        assert_eq!(turned(true, false, 1).apply(&nine, 3), expected);
        assert_eq!(turned(false, false, 0).apply(&nine, 3), nine);
    }

    #[test]
    fn squares_are_cut_off_at_the_edge() {
        let mut image = vec![1.0; 144 * 144];
        cut_out(&mut image, [144, 144], [5, 140], 20);
        for r in 0..144 {
            for c in 0..144 {
                let inside = r < 15 && (130..144).contains(&c);
                assert_eq!(image[r * 144 + c] == 0.0, inside, "{r} {c}");
            }
        }
    }

    #[test]
    fn a_rotation_by_a_quarter_is_a_quarter_turn() {
        let nine: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let expected = turned(false, false, 1).apply(&nine, 3);
        assert_eq!(rotate(&nine, [3, 3], 90.0, &[0.0]), expected);
        assert_eq!(rotate(&nine, [3, 3], 0.0, &[0.0]), nine);
        let tilted = rotate(&nine, [3, 3], 45.0, &[-7.0]);
        assert_eq!(tilted[4], 5.0);
        assert!(tilted.contains(&-7.0) || tilted[0] != nine[0]);
    }
}
