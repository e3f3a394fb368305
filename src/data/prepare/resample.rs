//! Sampling a volume on another grid, through world coordinates (`metrics-and-data.md` section 8).
//!
//! Where the axes of both grids are parallel, coordinates and weights are tables per axis; else they
//! are computed per voxel. Slices are sampled in parallel, each voxel by itself: the result does not
//! depend on the number of threads.

use rayon::prelude::*;

use super::grid::Grid;
use crate::data::volume::{Affine, LabelVolume, Volume, invert, multiply, transform};
use crate::options::Interpolation;

/// Source coordinates nearer than this to a voxel centre or face are on it, so that the rounding of
/// our own arithmetic does not decide to which side a tie falls.
const SNAP: f64 = 1e-6;

/// Axes that stray less than this from parallel, in source voxels over the whole grid, are parallel:
/// no more than the rounding of affines that are stored as 32-bit floats.
const PARALLEL: f64 = 1e-4;

/// What lies beyond the faces of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge<T> {
    /// Its last voxels.
    Clamp,
    /// This value.
    Fill(T),
}

/// Samples an image on `target`, x fastest. A volume that already lies there is handed back as is.
///
/// # Errors
/// The volume holds no voxels or not those of its shape, or its affine has no inverse; in words.
pub fn resample(
    volume: Volume,
    target: &Grid,
    interpolation: Interpolation,
    edge: Edge<f32>,
) -> Result<Vec<f32>, String> {
    let source = Grid {
        shape: volume.shape,
        affine: volume.affine,
    };
    check(&source, volume.data.len())?;
    let map = Map::new(&source, target)?;
    if map.is_identity(&source, target) {
        return Ok(volume.data);
    }
    let order = match interpolation {
        // Weights at voxel centres are 1 and 0 whatever the kernel.
        _ if map.meets_centres() => Interpolation::Nearest,
        other => other,
    };
    Ok(match order {
        Interpolation::Nearest => nearest(&volume.data, &source, target, &map, edge),
        Interpolation::Linear => weighted(&volume.data, &source, target, &map, edge, linear),
        Interpolation::Cubic => weighted(&volume.data, &source, target, &map, edge, cubic),
    })
}

/// Whether sampling on `target` leaves every voxel of `source` as it is and where it is.
pub(super) fn is_identity(source: &Grid, target: &Grid) -> bool {
    Map::new(source, target).is_ok_and(|map| map.is_identity(source, target))
}

/// Samples labels on `target` by nearest neighbour, x fastest.
///
/// # Errors
/// The volume holds no voxels or not those of its shape, or its affine has no inverse; in words.
pub fn resample_labels(
    labels: LabelVolume,
    target: &Grid,
    edge: Edge<u8>,
) -> Result<Vec<u8>, String> {
    let source = Grid {
        shape: labels.shape,
        affine: labels.affine,
    };
    check(&source, labels.data.len())?;
    let map = Map::new(&source, target)?;
    if map.is_identity(&source, target) {
        return Ok(labels.data);
    }
    Ok(nearest(&labels.data, &source, target, &map, edge))
}

fn check(source: &Grid, voxels: usize) -> Result<(), String> {
    if voxels == 0 || voxels != source.voxels() {
        return Err(format!("{voxels} voxels do not fill {:?}", source.shape));
    }
    Ok(())
}

/// From target indices to source coordinates.
enum Map {
    /// Parallel axes. `coordinates[t]` holds, for every index along target axis `t`, the coordinate
    /// along source axis `axes[t]`.
    Aligned {
        axes: [usize; 3],
        coordinates: [Vec<f64>; 3],
    },
    /// Any affine.
    Oblique(Affine),
}

impl Map {
    fn new(source: &Grid, target: &Grid) -> Result<Self, String> {
        let inverse = invert(&source.affine).ok_or("the affine has no inverse")?;
        let m = multiply(&inverse, &target.affine);
        let mut axes = [0; 3];
        let mut taken = [false; 3];
        for t in 0..3 {
            let strongest = (0..3)
                .max_by(|&a, &b| m[a][t].abs().total_cmp(&m[b][t].abs()))
                .unwrap_or(0);
            // What the other source axes would still move over the whole length.
            let drift: f64 = (0..3)
                .filter(|&r| r != strongest)
                .map(|r| m[r][t].abs() * target.shape[t] as f64)
                .fold(0.0, f64::max);
            if taken[strongest] || drift > PARALLEL {
                return Ok(Self::Oblique(m));
            }
            taken[strongest] = true;
            axes[t] = strongest;
        }
        let coordinates = std::array::from_fn(|t| {
            let row = m[axes[t]];
            (0..target.shape[t])
                .map(|i| snap(row[t] * i as f64 + row[3]))
                .collect()
        });
        Ok(Self::Aligned { axes, coordinates })
    }

    fn is_identity(&self, source: &Grid, target: &Grid) -> bool {
        match self {
            Self::Aligned { axes, coordinates } => {
                source.shape == target.shape
                    && *axes == [0, 1, 2]
                    && coordinates
                        .iter()
                        .all(|c| c.iter().enumerate().all(|(i, &v)| v == i as f64))
            }
            Self::Oblique(_) => false,
        }
    }

    /// Whether every sample falls on a voxel centre.
    fn meets_centres(&self) -> bool {
        match self {
            Self::Aligned { coordinates, .. } => {
                coordinates.iter().flatten().all(|v| v.fract() == 0.0)
            }
            Self::Oblique(_) => false,
        }
    }
}

fn snap(v: f64) -> f64 {
    let half = (2.0 * v).round() / 2.0;
    if (v - half).abs() < SNAP { half } else { v }
}

/// Nearest voxel `floor(v + 1/2)`; `None` beyond the faces unless clamped.
fn nearest_index(v: f64, n: usize, clamp: bool) -> Option<usize> {
    let index = (v + 0.5).floor();
    if index >= 0.0 && index < n as f64 {
        Some(index as usize)
    } else if clamp {
        Some(if index < 0.0 { 0 } else { n - 1 })
    } else {
        None
    }
}

fn strides(grid: &Grid) -> [usize; 3] {
    [1, grid.shape[0], grid.shape[0] * grid.shape[1]]
}

fn nearest<T: Copy + Send + Sync>(
    data: &[T],
    source: &Grid,
    target: &Grid,
    map: &Map,
    edge: Edge<T>,
) -> Vec<T> {
    let (clamp, fill) = match edge {
        Edge::Clamp => (true, data[0]),
        Edge::Fill(v) => (false, v),
    };
    let step = strides(source);
    let [nx, ny, _] = target.shape;
    let mut out = vec![fill; target.voxels()];
    match map {
        Map::Aligned { axes, coordinates } => {
            let places: [Vec<Option<usize>>; 3] = std::array::from_fn(|t| {
                let r = axes[t];
                coordinates[t]
                    .iter()
                    .map(|&v| nearest_index(v, source.shape[r], clamp).map(|i| i * step[r]))
                    .collect()
            });
            out.par_chunks_mut(nx * ny)
                .zip(&places[2])
                .for_each(|(slice, z)| {
                    let Some(z) = z else { return };
                    for (row, y) in slice.chunks_mut(nx).zip(&places[1]) {
                        let Some(y) = y else { continue };
                        for (value, x) in row.iter_mut().zip(&places[0]) {
                            if let Some(x) = x {
                                *value = data[x + y + z];
                            }
                        }
                    }
                });
        }
        Map::Oblique(m) => {
            out.par_chunks_mut(nx * ny)
                .enumerate()
                .for_each(|(z, slice)| {
                    for (i, value) in slice.iter_mut().enumerate() {
                        let at = transform(m, [(i % nx) as f64, (i / nx) as f64, z as f64]);
                        let mut place = Some(0);
                        for r in 0..3 {
                            place = place.and_then(|p| {
                                nearest_index(snap(at[r]), source.shape[r], clamp)
                                    .map(|i| p + i * step[r])
                            });
                        }
                        if let Some(p) = place {
                            *value = data[p];
                        }
                    }
                });
        }
    }
    out
}

/// Neighbours along one axis, as places in memory, with their weights.
#[derive(Clone, Copy)]
struct Taps {
    places: [usize; 4],
    weights: [f64; 4],
    count: usize,
}

/// Kernel: weights of the neighbours `first, first + 1, ..` of a coordinate.
type Kernel = fn(f64) -> (i64, [f64; 4], usize);

fn linear(v: f64) -> (i64, [f64; 4], usize) {
    let base = v.floor();
    let t = v - base;
    (base as i64, [1.0 - t, t, 0.0, 0.0], 2)
}

/// Catmull-Rom.
fn cubic(v: f64) -> (i64, [f64; 4], usize) {
    let base = v.floor();
    let t = v - base;
    let (t2, t3) = (t * t, t * t * t);
    let weights = [
        0.5 * (-t3 + 2.0 * t2 - t),
        0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
        0.5 * (-3.0 * t3 + 4.0 * t2 + t),
        0.5 * (t3 - t2),
    ];
    (base as i64 - 1, weights, 4)
}

/// Neighbours beyond the faces are the last voxels; a centre beyond them is outside unless clamped.
fn taps(v: f64, n: usize, step: usize, clamp: bool, kernel: Kernel) -> Option<Taps> {
    nearest_index(v, n, clamp)?;
    let last = n as f64 - 1.0;
    // Clamped first, so that a far coordinate is the last voxel and no extrapolation.
    let v = if clamp { v.clamp(0.0, last) } else { v };
    let (first, weights, count) = kernel(v);
    let places = std::array::from_fn(|i| {
        let index = (first + i as i64).clamp(0, n as i64 - 1);
        index as usize * step
    });
    Some(Taps {
        places,
        weights,
        count,
    })
}

fn weighted(
    data: &[f32],
    source: &Grid,
    target: &Grid,
    map: &Map,
    edge: Edge<f32>,
    kernel: Kernel,
) -> Vec<f32> {
    let (clamp, fill) = match edge {
        Edge::Clamp => (true, 0.0),
        Edge::Fill(v) => (false, v),
    };
    let step = strides(source);
    let [nx, ny, _] = target.shape;
    let mut out = vec![fill; target.voxels()];
    match map {
        Map::Aligned { axes, coordinates } => {
            let tables: [Vec<Option<Taps>>; 3] = std::array::from_fn(|t| {
                let r = axes[t];
                coordinates[t]
                    .iter()
                    .map(|&v| taps(v, source.shape[r], step[r], clamp, kernel))
                    .collect()
            });
            out.par_chunks_mut(nx * ny)
                .zip(&tables[2])
                .for_each(|(slice, z)| {
                    let Some(z) = z else { return };
                    for (row, y) in slice.chunks_mut(nx).zip(&tables[1]) {
                        let Some(y) = y else { continue };
                        for (value, x) in row.iter_mut().zip(&tables[0]) {
                            if let Some(x) = x {
                                *value = combine(data, x, y, z);
                            }
                        }
                    }
                });
        }
        Map::Oblique(m) => {
            out.par_chunks_mut(nx * ny)
                .enumerate()
                .for_each(|(z, slice)| {
                    for (i, value) in slice.iter_mut().enumerate() {
                        let at = transform(m, [(i % nx) as f64, (i / nx) as f64, z as f64]);
                        let axis =
                            |r: usize| taps(snap(at[r]), source.shape[r], step[r], clamp, kernel);
                        if let (Some(a), Some(b), Some(c)) = (axis(0), axis(1), axis(2)) {
                            *value = combine(data, &a, &b, &c);
                        }
                    }
                });
        }
    }
    out
}

fn combine(data: &[f32], a: &Taps, b: &Taps, c: &Taps) -> f32 {
    let mut sum = 0.0;
    for k in 0..c.count {
        for j in 0..b.count {
            let base = c.places[k] + b.places[j];
            let weight = c.weights[k] * b.weights[j];
            let mut line = 0.0;
            for i in 0..a.count {
                line += a.weights[i] * f64::from(data[base + a.places[i]]);
            }
            sum += weight * line;
        }
    }
    sum as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::volume::{IDENTITY, from_quaternion};

    fn line(values: &[f32]) -> Volume {
        Volume {
            data: values.to_vec(),
            shape: [values.len(), 1, 1],
            affine: IDENTITY,
        }
    }

    fn along_x(n: usize, start: f64, size: f64) -> Grid {
        let mut affine = IDENTITY;
        affine[0][0] = size;
        affine[0][3] = start;
        Grid {
            shape: [n, 1, 1],
            affine,
        }
    }

    #[test]
    fn nearest_is_floor_of_a_half_more() {
        // Ties at 0.5, 1.5 go up; beyond the face the fill.
        let out = resample(
            line(&[1.0, 2.0, 3.0]),
            &along_x(8, -0.5, 0.5),
            Interpolation::Nearest,
            Edge::Fill(-9.0),
        )
        .expect("sampled");
        assert_eq!(out, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, -9.0, -9.0]);
        let clamped = resample(
            line(&[1.0, 2.0, 3.0]),
            &along_x(8, -1.5, 0.75),
            Interpolation::Nearest,
            Edge::Clamp,
        )
        .expect("sampled");
        assert_eq!(clamped, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    }

    #[test]
    fn linear_and_cubic_by_hand() {
        let source = [0.0, 1.0, 4.0, 9.0];
        let target = along_x(3, 0.5, 1.0);
        let linear =
            resample(line(&source), &target, Interpolation::Linear, Edge::Clamp).expect("sampled");
        assert_eq!(linear, [0.5, 2.5, 6.5]);
        let cubic =
            resample(line(&source), &target, Interpolation::Cubic, Edge::Clamp).expect("sampled");
        // In the middle (-p0 + 9 p1 + 9 p2 - p3) / 16: exact for a parabola away from the ends.
        assert_eq!(cubic, [0.3125, 2.25, 6.6875]);
    }

    #[test]
    fn a_turned_grid_reads_the_same_world() {
        // A linear ramp in the world is reproduced by linear interpolation on any grid.
        let value = |p: [f64; 3]| 2.0 * p[0] - 3.0 * p[1] + 0.5 * p[2];
        let affine = from_quaternion([0.1, 0.2, 0.3], [5.0, -3.0, 2.0], [1.0, 1.5, 2.0], 1.0);
        let shape = [9, 8, 7];
        let data = (0..9 * 8 * 7)
            .map(|i| {
                let at = [(i % 9) as f64, (i / 9 % 8) as f64, (i / 72) as f64];
                value(transform(&affine, at)) as f32
            })
            .collect();
        let mut goal = IDENTITY;
        let centre = transform(&affine, [4.0, 3.5, 3.0]);
        for r in 0..3 {
            goal[r][3] = centre[r] - 1.0;
        }
        let target = Grid {
            shape: [3; 3],
            affine: goal,
        };
        let volume = Volume {
            data,
            shape,
            affine,
        };
        for kernel in [Interpolation::Linear, Interpolation::Cubic] {
            let out =
                resample(volume.clone(), &target, kernel, Edge::Fill(f32::NAN)).expect("sampled");
            for (i, v) in out.iter().enumerate() {
                let at = [(i % 3) as f64, (i / 3 % 3) as f64, (i / 9) as f64];
                let expected = value(transform(&goal, at));
                assert!((f64::from(*v) - expected).abs() < 1e-4, "{v} {expected}");
            }
        }
    }

    proptest! {
        /// Any grid to canonical axes and back is the identity, whatever the interpolation.
        #[test]
        fn reorientation_loses_nothing(
            permutation in Just([0_usize, 1, 2]).prop_shuffle(),
            flips in any::<[bool; 3]>(),
            shape in [1_usize..5, 1..5, 1..5],
            kernel in prop_oneof![
                Just(Interpolation::Nearest), Just(Interpolation::Linear), Just(Interpolation::Cubic)
            ],
        ) {
            let mut affine = IDENTITY;
            for c in 0..3 {
                for (r, row) in affine.iter_mut().take(3).enumerate() {
                    let sign = if flips[c] { -1.0 } else { 1.0 };
                    row[c] = if permutation[c] == r { sign * (0.7 + c as f64) } else { 0.0 };
                    row[3] = 13.25 - 7.1 * r as f64;
                }
            }
            let source = Grid { shape, affine };
            let volume = Volume {
                data: (0..source.voxels()).map(|v| v as f32).collect(),
                shape,
                affine,
            };
            let lps = source.to_lps().expect("lps");
            let there = resample(volume.clone(), &lps, kernel, Edge::Fill(-1.0)).expect("there");
            let back = Volume { data: there, shape: lps.shape, affine: lps.affine };
            let again = resample(back, &source, kernel, Edge::Fill(-1.0)).expect("back");
            prop_assert_eq!(again, volume.data);
        }
    }
}
