//! Scores of a case: every metric of every region, for the volume and for each slice, so that any
//! aggregation can be made later without the predictions.

use serde::{Deserialize, Serialize};

use crate::data::case::Region;
use crate::options::MetricOptions;

use super::mask::VoxelBox;
use super::region::membership;
use super::{
    Grid, Mask, MetricError, MetricValues, Overlap, Raw, boundary_overlap, boundary_width,
    label_regions, resolve, surface_distances,
};

/// Scores of one region of one slice. In JSON a row: `[z, [both, prediction, reference], [dsc,
/// sensitivity, ppv, biou, hd95, hd95_pooled, hd100, assd]]`, undefined values null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "SliceRow", into = "SliceRow")]
pub struct SliceScores {
    /// Index of the slice.
    pub z: usize,
    /// Voxel counts.
    pub overlap: Overlap,
    /// Values; distances in the plane.
    pub values: MetricValues,
}

/// The row that a slice takes in JSON.
#[derive(Serialize, Deserialize)]
struct SliceRow(usize, [u64; 3], [Option<f64>; 8]);

impl From<SliceScores> for SliceRow {
    fn from(scores: SliceScores) -> Self {
        let SliceScores { z, overlap, values } = scores;
        Self(
            z,
            [overlap.both, overlap.prediction, overlap.reference],
            [
                values.dsc,
                values.sensitivity,
                values.ppv,
                values.biou,
                values.hd95,
                values.hd95_pooled,
                values.hd100,
                values.assd,
            ],
        )
    }
}

impl From<SliceRow> for SliceScores {
    fn from(SliceRow(z, counts, values): SliceRow) -> Self {
        let [both, prediction, reference] = counts;
        let [dsc, sensitivity, ppv, biou, hd95, hd95_pooled, hd100, assd] = values;
        Self {
            z,
            overlap: Overlap {
                both,
                prediction,
                reference,
            },
            values: MetricValues {
                dsc,
                sensitivity,
                ppv,
                biou,
                hd95,
                hd95_pooled,
                hd100,
                assd,
            },
        }
    }
}

/// Scores of one region of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionScores {
    /// Name of the region.
    pub name: String,
    /// Voxel counts of the volume.
    pub overlap: Overlap,
    /// Values of the volume.
    pub volume: MetricValues,
    /// Slices in which the prediction or the reference is not empty, ascending.
    pub slices: Vec<SliceScores>,
    /// Values of every other slice: both masks empty.
    pub blank: MetricValues,
}

/// Scores of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseScores {
    /// The case.
    pub case: String,
    /// Shape of the evaluated grid along z, y, x; `shape[0]` is the number of slices.
    pub shape: [usize; 3],
    /// Spacing of the evaluated grid in mm along z, y, x.
    pub spacing: [f64; 3],
    /// Regions in the order of the data set.
    pub regions: Vec<RegionScores>,
}

/// What the verb `score` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreReport {
    /// One entry per region.
    pub regions: Vec<RegionScore>,
}

/// One region of a [`ScoreReport`]: values of the volume, undefined ones null; distances in mm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionScore {
    /// Name of the region, or the label value.
    pub name: String,
    /// Dice similarity coefficient.
    pub dsc: Option<f64>,
    /// Sensitivity.
    pub sensitivity: Option<f64>,
    /// Boundary intersection over union.
    pub biou: Option<f64>,
    /// 95 % Hausdorff distance, larger of the directed percentiles.
    pub hd95: Option<f64>,
    /// 95 % Hausdorff distance, percentile of both directions together.
    pub hd95_pooled: Option<f64>,
}

/// Scores a predicted label volume against the reference. Both are row-major `[z, y, x]` on `grid`;
/// values in voxel order, labels outside of every region count as background.
///
/// # Errors
/// If a volume does not fill the grid or an option is out of range.
pub fn score_volumes(
    case: &str,
    prediction: &[u8],
    reference: &[u8],
    regions: &[Region],
    grid: &Grid,
    options: &MetricOptions,
) -> Result<CaseScores, MetricError> {
    let cropped = Cropped::new(prediction, reference, regions, grid)?;
    let conventions = Conventions::new(grid, options)?;
    Ok(CaseScores {
        case: case.to_owned(),
        shape: grid.shape(),
        spacing: grid.spacing(),
        regions: regions
            .iter()
            .map(|region| cropped.score(region, &conventions))
            .collect::<Result<_, _>>()?,
    })
}

/// What the verb `score` reports: the metrics of whole volumes. Without `regions`, one entry for
/// each label value above 0 that occurs in either volume.
///
/// # Errors
/// As [`score_volumes`].
pub fn score_labels(
    prediction: &[u8],
    reference: &[u8],
    regions: Option<&[Region]>,
    grid: &Grid,
    options: &MetricOptions,
) -> Result<ScoreReport, MetricError> {
    let regions = match regions {
        Some(regions) => regions.to_vec(),
        None => label_regions(prediction, reference),
    };
    let cropped = Cropped::new(prediction, reference, &regions, grid)?;
    let conventions = Conventions::new(grid, options)?;
    let regions = regions
        .iter()
        .map(|region| {
            let (p, g) = cropped.masks(region);
            let (_, values) = conventions.volume(&p, &g, &cropped.grid)?;
            Ok(RegionScore {
                name: region.name.clone(),
                dsc: values.dsc,
                sensitivity: values.sensitivity,
                biou: values.biou,
                hd95: values.hd95,
                hd95_pooled: values.hd95_pooled,
            })
        })
        .collect::<Result<_, MetricError>>()?;
    Ok(ScoreReport { regions })
}

/// What depends on the full grid, not on the box around the masks.
struct Conventions<'a> {
    options: &'a MetricOptions,
    diagonal: f64,
    slice_diagonal: f64,
    boundary: usize,
}

impl<'a> Conventions<'a> {
    fn new(grid: &Grid, options: &'a MetricOptions) -> Result<Self, MetricError> {
        for (field, value) in [("eps", options.eps), ("biou_ratio", options.biou_ratio)] {
            if !value.is_finite() || value < 0.0 {
                return Err(MetricError::Option { field, value });
            }
        }
        let [_, height, width] = grid.shape();
        Ok(Self {
            options,
            diagonal: grid.diagonal(),
            slice_diagonal: grid.slice().diagonal(),
            boundary: boundary_width(height, width, options.biou_ratio),
        })
    }

    fn volume(
        &self,
        prediction: &[bool],
        reference: &[bool],
        grid: &Grid,
    ) -> Result<(Overlap, MetricValues), MetricError> {
        self.measure(prediction, reference, *grid, self.diagonal)
    }

    fn slice(
        &self,
        prediction: &[bool],
        reference: &[bool],
        grid: &Grid,
    ) -> Result<(Overlap, MetricValues), MetricError> {
        self.measure(prediction, reference, grid.slice(), self.slice_diagonal)
    }

    fn measure(
        &self,
        prediction: &[bool],
        reference: &[bool],
        grid: Grid,
        diagonal: f64,
    ) -> Result<(Overlap, MetricValues), MetricError> {
        let prediction = Mask::new(prediction, grid)?;
        let reference = Mask::new(reference, grid)?;
        let overlap = Overlap::of(&prediction, &reference)?;
        let distances = surface_distances(&prediction, &reference)?;
        let raw = Raw {
            overlap,
            boundary: boundary_overlap(&prediction, &reference, self.boundary)?,
            distances: distances.as_ref(),
            diagonal,
        };
        Ok((overlap, resolve(&raw, self.options)))
    }
}

/// Both label volumes, cut to the box around all regions.
struct Cropped {
    grid: Grid,
    first_slice: usize,
    prediction: Vec<u8>,
    reference: Vec<u8>,
}

impl Cropped {
    fn new(
        prediction: &[u8],
        reference: &[u8],
        regions: &[Region],
        grid: &Grid,
    ) -> Result<Self, MetricError> {
        for (what, labels) in [("prediction", prediction), ("reference", reference)] {
            if labels.len() != grid.len() {
                return Err(MetricError::Length {
                    what,
                    found: labels.len(),
                    expected: grid.len(),
                });
            }
        }
        let mut wanted = [false; 256];
        for region in regions {
            for &label in &region.labels {
                wanted[usize::from(label)] = true;
            }
        }
        let shape = grid.shape();
        let background = |row: &[u8]| row.iter().fold(0, |any, &v| any | v) == 0;
        let around = VoxelBox::around(
            shape,
            |row| !wanted[0] && background(&prediction[row.clone()]) && background(&reference[row]),
            |i| wanted[usize::from(prediction[i])] || wanted[usize::from(reference[i])],
        )
        .unwrap_or(VoxelBox {
            start: [0; 3],
            end: [0; 3],
        });
        Ok(Self {
            grid: around.grid(grid),
            first_slice: around.start[0],
            prediction: around.cut(prediction, shape),
            reference: around.cut(reference, shape),
        })
    }

    fn masks(&self, region: &Region) -> (Vec<bool>, Vec<bool>) {
        let member = membership(region);
        let mask = |labels: &[u8]| labels.iter().map(|&l| member[usize::from(l)]).collect();
        (mask(&self.prediction), mask(&self.reference))
    }

    fn score(
        &self,
        region: &Region,
        conventions: &Conventions<'_>,
    ) -> Result<RegionScores, MetricError> {
        let (p, g) = self.masks(region);
        let (overlap, volume) = conventions.volume(&p, &g, &self.grid)?;
        let area = self.grid.slice().len();
        let mut slices = Vec::new();
        for (z, (p, g)) in p
            .chunks_exact(area.max(1))
            .zip(g.chunks_exact(area.max(1)))
            .enumerate()
        {
            if p.contains(&true) || g.contains(&true) {
                let (overlap, values) = conventions.slice(p, g, &self.grid)?;
                slices.push(SliceScores {
                    z: self.first_slice + z,
                    overlap,
                    values,
                });
            }
        }
        let nothing = vec![false; area];
        Ok(RegionScores {
            name: region.name.clone(),
            overlap,
            volume,
            slices,
            blank: conventions.slice(&nothing, &nothing, &self.grid)?.1,
        })
    }
}
