//! What `info` prints of a volume.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::VolumeError;
use super::header::read_header;
use super::orientation::axis_codes;
use super::read::stream;

/// Distinct values up to which they count as labels.
const MAX_LABELS: usize = 256;

/// Header and statistics of a volume file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Sizes of all axes, x first.
    pub shape: Vec<usize>,
    /// Distance of voxel centres along x, y, z in mm.
    pub spacing: [f64; 3],
    /// Voxel index to world, RAS+, mm; without the last row.
    pub affine: [[f64; 4]; 3],
    /// Voxel type on disk, by numpy's name.
    pub dtype: String,
    /// Directions towards which the indices grow, e.g. `LPS`.
    pub orientation: String,
    /// Smallest finite value; `None` where there is none.
    pub min: Option<f64>,
    /// Largest finite value.
    pub max: Option<f64>,
    /// Mean of the finite values.
    pub mean: Option<f64>,
    /// Voxels per value, where all finite values are whole and at most 256 differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<i64, u64>>,
    /// Voxels that are NaN or infinite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nonfinite: u64,
    /// What was odd about the header; for people, not part of the JSON.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Reads header and statistics of all voxels, in constant memory.
///
/// # Errors
/// As [`super::read_volume`]; several channels are no error here.
pub fn info(path: &Path) -> Result<Info, VolumeError> {
    let header = read_header(path)?;
    let orientation = axis_codes(&header.affine)
        .ok_or_else(|| VolumeError::field(path, "srow", "the affine has no inverse"))?;
    let mut statistics = Statistics::default();
    let (slope, inter) = (header.slope, header.inter);
    let count = header.voxels_per_channel() * header.channels();
    let mut values = Vec::new();
    stream(&header, 0, count, None, |bytes, _| {
        values.clear();
        header.dtype.decode(header.order, bytes, &mut values);
        for &v in &values {
            statistics.add(v as f32 * slope + inter);
        }
        Ok(())
    })?;
    let finite = statistics.finite > 0;
    Ok(Info {
        spacing: header.spacing,
        affine: [header.affine[0], header.affine[1], header.affine[2]],
        dtype: header.dtype.name().to_string(),
        orientation,
        min: finite.then_some(f64::from(statistics.min)),
        max: finite.then_some(f64::from(statistics.max)),
        mean: finite.then(|| statistics.sum / statistics.finite as f64),
        labels: statistics.labels.counts.filter(|_| finite),
        nonfinite: statistics.nonfinite,
        warnings: header.warnings,
        shape: header.shape,
    })
}

struct Statistics {
    min: f32,
    max: f32,
    sum: f64,
    finite: u64,
    nonfinite: u64,
    labels: Histogram,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            sum: 0.0,
            finite: 0,
            nonfinite: 0,
            labels: Histogram {
                counts: Some(BTreeMap::new()),
            },
        }
    }
}

impl Statistics {
    fn add(&mut self, v: f32) {
        if !v.is_finite() {
            self.nonfinite += 1;
            return;
        }
        self.min = self.min.min(v);
        self.max = self.max.max(v);
        self.sum += f64::from(v);
        self.finite += 1;
        self.labels.add(v);
    }
}

/// Counts of whole values, given up at the first sign that these are no labels.
struct Histogram {
    counts: Option<BTreeMap<i64, u64>>,
}

impl Histogram {
    fn add(&mut self, v: f32) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        // Beyond 2^53 neighbours are no longer told apart.
        if v.fract() != 0.0 || v.abs() > 9e15 {
            self.counts = None;
            return;
        }
        *counts.entry(v as i64).or_insert(0) += 1;
        if counts.len() > MAX_LABELS {
            self.counts = None;
        }
    }
}
