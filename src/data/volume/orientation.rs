//! Which way the voxel axes point: axis codes such as `LPS`.

use super::affine::{Affine, invert, spacing};

/// World axis that one voxel axis follows most closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisDirection {
    /// World axis: 0 left-right, 1 back-front, 2 down-up.
    pub world: usize,
    /// Whether the index grows against the world axis (to the left, the back, or down).
    pub reversed: bool,
}

/// Direction per voxel axis; `None` where the affine is singular.
///
/// The rotation nearest to the affine without its spacing decides (polar decomposition), and axes are
/// given away from the clearest to the least clear, so that two axes never share a name: the rule of
/// `nibabel.aff2axcodes`.
#[must_use]
pub fn axis_directions(affine: &Affine) -> Option<[AxisDirection; 3]> {
    invert(affine)?;
    let lengths = spacing(affine);
    let mut r = *affine;
    for row in &mut r {
        row[3] = 0.0;
        for c in 0..3 {
            row[c] /= lengths[c];
        }
    }
    r[3] = [0.0, 0.0, 0.0, 1.0];
    let r = nearest_rotation(r)?;

    let strength = |c: usize| (0..3).map(|row| r[row][c].powi(2)).fold(0.0, f64::max);
    let mut order = [0, 1, 2];
    // A stable sort: equally clear axes keep their order.
    order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));
    let mut out = [AxisDirection {
        world: 0,
        reversed: false,
    }; 3];
    let mut free = [true; 3];
    for c in order {
        let mut world = 0;
        let mut largest = -1.0;
        for row in 0..3 {
            if free[row] && r[row][c].abs() > largest {
                largest = r[row][c].abs();
                world = row;
            }
        }
        free[world] = false;
        out[c] = AxisDirection {
            world,
            reversed: r[world][c] < 0.0,
        };
    }
    Some(out)
}

/// Orthogonal factor of the polar decomposition, by Newton's iteration `x = (x + x^-T) / 2`.
fn nearest_rotation(mut x: Affine) -> Option<Affine> {
    for _ in 0..100 {
        let inverse = invert(&x)?;
        let mut change = 0.0_f64;
        let mut next = x;
        for (r, row) in next.iter_mut().take(3).enumerate() {
            for (c, value) in row.iter_mut().take(3).enumerate() {
                let v = f64::midpoint(x[r][c], inverse[c][r]);
                change = change.max((v - x[r][c]).abs());
                *value = v;
            }
        }
        x = next;
        if change < 1e-13 {
            break;
        }
    }
    // Entries that are zero up to rounding must not win a tie.
    for value in x.iter_mut().flatten() {
        if value.abs() < 1e-12 {
            *value = 0.0;
        }
    }
    Some(x)
}

/// Letters of the directions towards which the indices grow, e.g. `RAS` for an identity affine;
/// `None` where the affine is singular.
#[must_use]
pub fn axis_codes(affine: &Affine) -> Option<String> {
    let directions = axis_directions(affine)?;
    let letters = directions.map(|d| {
        let [plus, minus] = [['R', 'L'], ['A', 'P'], ['S', 'I']][d.world];
        if d.reversed { minus } else { plus }
    });
    Some(letters.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::{IDENTITY, from_quaternion};

    #[test]
    fn codes_of_plain_affines() {
        assert_eq!(axis_codes(&IDENTITY).as_deref(), Some("RAS"));
        let lps = from_quaternion([0.0, 0.0, 1.0], [0.0; 3], [1.0, 2.0, 3.0], 1.0);
        assert_eq!(axis_codes(&lps).as_deref(), Some("LPS"));
        let permuted = [
            [0.0, 0.0, 2.0, 0.0],
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, 3.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        assert_eq!(axis_codes(&permuted).as_deref(), Some("PSR"));
    }

    #[test]
    fn equally_clear_axes_never_share_a_name() {
        let h = 0.5_f64.sqrt();
        let tilted = [
            [h, -h, 0.0, 0.0],
            [h, h, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let codes = axis_codes(&tilted).expect("regular");
        let mut worlds: Vec<usize> = axis_directions(&tilted)
            .expect("regular")
            .iter()
            .map(|d| d.world)
            .collect();
        worlds.sort_unstable();
        assert_eq!(worlds, [0, 1, 2], "{codes}");
    }
}
