//! Flips and quarter turns of an image together with its patch grid (section 2.2).

use crate::random::Stream;

/// A mirror image and up to three quarter turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Mirror left and right first.
    pub flip: bool,
    /// Quarter turns clockwise after that, 0 to 3. Odd numbers need a square.
    pub quarters: u8,
}

impl Turn {
    /// Draws one of the eight symmetries of a square, or of the four of a rectangle.
    pub fn draw(stream: &mut Stream, square: bool) -> Self {
        let flip = stream.bits() >> 63 == 1;
        let quarters = if square {
            stream.below(4)
        } else {
            2 * stream.below(2)
        };
        Self {
            flip,
            quarters: quarters as u8,
        }
    }

    /// For a grid of `rows` by `cols`: the cell of the original that lands in each cell of the
    /// result, row by row. Works for pixels and for patches alike.
    #[must_use]
    pub fn sources(self, rows: usize, cols: usize) -> Vec<usize> {
        let mut sources = Vec::with_capacity(rows * cols);
        for row in 0..rows {
            for col in 0..cols {
                // Undo the turns, then the mirror.
                let (r, mut c) = match self.quarters {
                    1 => (rows - 1 - col, row),
                    2 => (rows - 1 - row, cols - 1 - col),
                    3 => (col, cols - 1 - row),
                    _ => (row, col),
                };
                if self.flip {
                    c = cols - 1 - c;
                }
                sources.push(r * cols + c);
            }
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn a_quarter_turn_is_clockwise() {
        let turn = Turn {
            flip: false,
            quarters: 1,
        };
        // 0 1      2 0
        // 2 3  ->  3 1
        assert_eq!(turn.sources(2, 2), [2, 0, 3, 1]);
        let flip = Turn {
            flip: true,
            quarters: 0,
        };
        assert_eq!(flip.sources(2, 3), [2, 1, 0, 5, 4, 3]);
    }

    #[test]
    fn every_turn_is_a_permutation_and_patches_follow_their_pixels() {
        let (side, rows) = (3, 4);
        for flip in [false, true] {
            for quarters in 0..4 {
                let turn = Turn { flip, quarters };
                let pixels = turn.sources(rows * side, rows * side);
                let patches = turn.sources(rows, rows);
                let patch_of = |pixel: usize| {
                    pixel / (rows * side) / side * rows + pixel % (rows * side) / side
                };
                let mut seen = pixels.clone();
                seen.sort_unstable();
                assert!(seen.iter().copied().eq(0..pixels.len()));
                for (at, &source) in pixels.iter().enumerate() {
                    assert_eq!(patches[patch_of(at)], patch_of(source));
                }
            }
        }
    }

    #[test]
    fn rectangles_are_never_turned_by_a_quarter() {
        let mut stream = Stream::new(Purpose::Augment, &[1]);
        let mut half = 0;
        for _ in 0..64 {
            let turn = Turn::draw(&mut stream, false);
            assert!(turn.quarters.is_multiple_of(2));
            half += usize::from(turn.quarters == 2);
        }
        assert!(half > 10 && half < 54);
    }
}
