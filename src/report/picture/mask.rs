//! Masks as SVG paths in units of pixels.

use std::fmt::Write as _;

/// The outline of a mask, `width` pixels a row: all edges between its pixels and the rest, edges in a
/// row joined.
#[must_use]
pub fn outline(mask: &[u8], width: usize) -> String {
    let mut out = String::new();
    if width == 0 {
        return out;
    }
    let height = mask.len() / width;
    let inside = |x: usize, y: usize| x < width && y < height && mask[y * width + x] != 0;
    // Edges below row y - 1 and above row y.
    for y in 0..=height {
        let edge = |x: usize| inside(x, y) != (y > 0 && inside(x, y - 1));
        for (x, length) in runs(width, edge) {
            let _ = write!(out, "M{x} {y}h{length}");
        }
    }
    for x in 0..=width {
        let edge = |y: usize| inside(x, y) != (x > 0 && inside(x - 1, y));
        for (y, length) in runs(height, edge) {
            let _ = write!(out, "M{x} {y}v{length}");
        }
    }
    out
}

/// The area of a mask, as a rectangle for each run of pixels of a row.
#[must_use]
pub fn fill(mask: &[u8], width: usize) -> String {
    let mut out = String::new();
    if width == 0 {
        return out;
    }
    for (y, row) in mask.chunks_exact(width).enumerate() {
        for (x, length) in runs(width, |x| row[x] != 0) {
            let _ = write!(out, "M{x} {y}h{length}v1h-{length}z");
        }
    }
    out
}

/// Start and length of each run of places that hold.
fn runs(count: usize, holds: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for i in 0..=count {
        match (i < count && holds(i), start) {
            (true, None) => start = Some(i),
            (false, Some(first)) => {
                found.push((first, i - first));
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_has_four_edges() {
        let mask = [0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0];
        assert_eq!(outline(&mask, 4), "M1 1h2M1 3h2M1 1v2M3 1v2");
        assert_eq!(fill(&mask, 4), "M1 1h2v1h-2zM1 2h2v1h-2z");
    }

    #[test]
    fn masks_at_the_border_and_empty_ones() {
        assert_eq!(outline(&[1], 1), "M0 0h1M0 1h1M0 0v1M1 0v1");
        assert_eq!(outline(&[0, 0], 2), "");
        assert_eq!(outline(&[], 0), "");
        assert_eq!(fill(&[], 0), "");
    }

    #[test]
    fn a_hole_has_an_outline_too() {
        let mask = [1, 1, 1, 1, 0, 1, 1, 1, 1];
        let path = outline(&mask, 3);
        assert!(path.contains("M1 1h1") && path.contains("M2 1v1"), "{path}");
    }
}
