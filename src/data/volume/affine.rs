//! 4x4 affines from voxel indices to world coordinates in mm.

/// Voxel index `(i, j, k, 1)` to world `(x, y, z, 1)`, row-major; world is RAS+ (x to the right, y to
/// the front, z up), in mm.
pub type Affine = [[f64; 4]; 4];

/// The identity.
pub const IDENTITY: Affine = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// `a * b`: first `b`, then `a`.
#[must_use]
pub fn multiply(a: &Affine, b: &Affine) -> Affine {
    let mut out = [[0.0; 4]; 4];
    for (row, a_row) in out.iter_mut().zip(a) {
        for (c, value) in row.iter_mut().enumerate() {
            *value = a_row.iter().zip(b).map(|(&x, b_row)| x * b_row[c]).sum();
        }
    }
    out
}

/// World coordinates of a point.
#[must_use]
pub fn transform(affine: &Affine, point: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|r| {
        let row = &affine[r];
        row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3]
    })
}

/// Length of the three columns: the distance of neighbouring voxel centres per axis, in mm.
#[must_use]
pub fn spacing(affine: &Affine) -> [f64; 3] {
    std::array::from_fn(|c| {
        (0..3)
            .map(|r| affine[r][c] * affine[r][c])
            .sum::<f64>()
            .sqrt()
    })
}

/// Determinant of the upper left 3x3 part.
#[must_use]
pub(super) fn determinant(m: &Affine) -> f64 {
    (0..3).map(|c| m[0][c] * cofactor(m, 0, c)).sum()
}

/// Cofactor of the upper left 3x3 part; the cyclic indices carry the sign.
fn cofactor(m: &Affine, r: usize, c: usize) -> f64 {
    let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
    m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
}

/// Inverse; `None` where the axes do not span space or a number is not finite.
///
/// Singularity is judged on columns of unit length, so that tiny voxels are no reason to refuse.
#[must_use]
pub fn invert(m: &Affine) -> Option<Affine> {
    let lengths = spacing(m);
    let det = determinant(m);
    let volume: f64 = lengths.iter().product();
    let usable = m.iter().flatten().all(|v| v.is_finite())
        && volume.is_normal()
        && det.is_normal()
        && (det / volume).abs() > 1e-6;
    if !usable {
        return None;
    }
    let mut out = IDENTITY;
    for (r, row) in out.iter_mut().take(3).enumerate() {
        for (c, value) in row.iter_mut().take(3).enumerate() {
            *value = cofactor(m, c, r) / det;
        }
        row[3] = -(row[0] * m[0][3] + row[1] * m[1][3] + row[2] * m[2][3]);
    }
    out.iter().flatten().all(|v| v.is_finite()).then_some(out)
}

/// Affine of a qform: unit quaternion from `(b, c, d)`, columns scaled by `pixdim`, the third one also
/// by `qfac` (`metrics-and-data.md` section 7).
///
/// Where `b^2 + c^2 + d^2 > 1` the quaternion is brought back to length 1 with `a = 0`.
#[must_use]
pub fn from_quaternion(bcd: [f64; 3], offset: [f64; 3], pixdim: [f64; 3], qfac: f64) -> Affine {
    let square: f64 = bcd.iter().map(|v| v * v).sum();
    let rest = 1.0 - square;
    // Below this, f32 storage cannot tell a half turn from a near one.
    let (a, [b, c, d]) = if rest < 3.0 * f64::from(f32::EPSILON) {
        let length = square.sqrt();
        (0.0, bcd.map(|v| v / length))
    } else {
        (rest.sqrt(), bcd)
    };
    let rotation = [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c - a * d),
            2.0 * (b * d + a * c),
        ],
        [
            2.0 * (b * c + a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d - a * b),
        ],
        [
            2.0 * (b * d - a * c),
            2.0 * (c * d + a * b),
            a * a + d * d - b * b - c * c,
        ],
    ];
    let scale = [pixdim[0], pixdim[1], pixdim[2] * qfac];
    let mut out = IDENTITY;
    for r in 0..3 {
        for c in 0..3 {
            out[r][c] = rotation[r][c] * scale[c];
        }
        out[r][3] = offset[r];
    }
    out
}

/// `(b, c, d)` and `qfac` of an affine with orthogonal axes; `None` where it has shears.
#[must_use]
pub(super) fn to_quaternion(affine: &Affine) -> Option<([f64; 3], f64)> {
    let lengths = spacing(affine);
    let mut r = [[0.0; 3]; 3];
    for (row, source) in r.iter_mut().zip(affine) {
        for c in 0..3 {
            row[c] = source[c] / lengths[c];
        }
    }
    for (p, q) in [(0, 1), (0, 2), (1, 2)] {
        let dot: f64 = r.iter().map(|row| row[p] * row[q]).sum();
        if dot.is_nan() || dot.abs() >= 1e-5 {
            return None;
        }
    }
    let mut qfac = 1.0;
    if determinant(affine) < 0.0 {
        qfac = -1.0;
        for row in &mut r {
            row[2] = -row[2];
        }
    }
    // The largest of the four squares is divided by, so that nothing small is.
    let trace = r[0][0] + r[1][1] + r[2][2];
    let (a, b, c, d) = if trace > 0.0 {
        let a = 0.5 * (1.0 + trace).sqrt();
        (
            a,
            (r[2][1] - r[1][2]) / (4.0 * a),
            (r[0][2] - r[2][0]) / (4.0 * a),
            (r[1][0] - r[0][1]) / (4.0 * a),
        )
    } else if r[0][0] >= r[1][1] && r[0][0] >= r[2][2] {
        let b = 0.5 * (1.0 + r[0][0] - r[1][1] - r[2][2]).sqrt();
        (
            (r[2][1] - r[1][2]) / (4.0 * b),
            b,
            (r[0][1] + r[1][0]) / (4.0 * b),
            (r[0][2] + r[2][0]) / (4.0 * b),
        )
    } else if r[1][1] >= r[2][2] {
        let c = 0.5 * (1.0 + r[1][1] - r[0][0] - r[2][2]).sqrt();
        (
            (r[0][2] - r[2][0]) / (4.0 * c),
            (r[0][1] + r[1][0]) / (4.0 * c),
            c,
            (r[1][2] + r[2][1]) / (4.0 * c),
        )
    } else {
        let d = 0.5 * (1.0 + r[2][2] - r[0][0] - r[1][1]).sqrt();
        (
            (r[1][0] - r[0][1]) / (4.0 * d),
            (r[0][2] + r[2][0]) / (4.0 * d),
            (r[1][2] + r[2][1]) / (4.0 * d),
            d,
        )
    };
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Some(([b * sign, c * sign, d * sign], qfac))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spec_section_7_qform() {
        let affine = from_quaternion([0.0; 3], [-5.0, -6.0, 7.0], [1.0, 2.0, 3.0], -1.0);
        assert_eq!(
            affine,
            [
                [1.0, 0.0, 0.0, -5.0],
                [0.0, 2.0, 0.0, -6.0],
                [0.0, 0.0, -3.0, 7.0],
                [0.0, 0.0, 0.0, 1.0]
            ]
        );
        assert_eq!(transform(&affine, [1.0; 3]), [-4.0, -4.0, 4.0]);
    }

    #[test]
    fn singular_axes_have_no_inverse() {
        let mut flat = IDENTITY;
        flat[2][2] = 0.0;
        assert!(invert(&flat).is_none());
        let mut nan = IDENTITY;
        nan[0][3] = f64::NAN;
        assert!(invert(&nan).is_none());
    }

    proptest! {
        #[test]
        fn quaternions_come_back(
            b in -0.57f64..0.57, c in -0.57f64..0.57, d in -0.57f64..0.57,
            flip in any::<bool>(), size in 0.1f64..5.0,
        ) {
            let qfac = if flip { -1.0 } else { 1.0 };
            let affine = from_quaternion([b, c, d], [1.0, -2.0, 3.0], [size, 1.0, 2.0], qfac);
            let (bcd, sign) = to_quaternion(&affine).expect("orthogonal");
            prop_assert_eq!(sign, qfac);
            for (x, y) in bcd.iter().zip([b, c, d]) {
                prop_assert!((x - y).abs() < 1e-9);
            }
            let inverse = invert(&affine).expect("regular");
            let back = multiply(&inverse, &affine);
            for (row, unit) in back.iter().zip(IDENTITY) {
                for (x, y) in row.iter().zip(unit) {
                    prop_assert!((x - y).abs() < 1e-9);
                }
            }
        }
    }
}
