//! Distances between surfaces: the Hausdorff distance, its 95th percentile, the mean distance.

use crate::options::HausdorffMode;

use super::distance::squared_distances_at;
use super::mask::VoxelBox;
use super::surface::surface;
use super::{Mask, MetricError};

/// Distances in mm from the surface of one mask to the surface of the other, both ways.
/// Both sets hold at least one value.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    forth: Vec<f64>,
    back: Vec<f64>,
}

/// Surface distances of two masks, or `None` if one of them is empty.
///
/// Works on the bounding box of both masks: outside of an array counts as background, so that the
/// surfaces in the box are the surfaces in the full grid.
///
/// # Errors
/// If the masks lie on different grids.
pub fn surface_distances(
    prediction: &Mask<'_>,
    reference: &Mask<'_>,
) -> Result<Option<SurfaceDistances>, MetricError> {
    prediction.same_grid(reference)?;
    let shape = prediction.grid().shape();
    let (p, g) = (prediction.data(), reference.data());
    let Some(around) = VoxelBox::around_masks(shape, p, g) else {
        return Ok(None);
    };
    let grid = around.grid(prediction.grid());
    let of_prediction = surface(&around.cut(p, shape), &grid);
    let of_reference = surface(&around.cut(g, shape), &grid);
    if of_prediction.is_empty() || of_reference.is_empty() {
        return Ok(None);
    }
    let directed = |from: &[usize], to: &[usize]| -> Vec<f64> {
        let squared = squared_distances_at(from, to, &grid);
        squared.into_iter().map(f64::sqrt).collect()
    };
    Ok(Some(SurfaceDistances {
        forth: directed(&of_prediction, &of_reference),
        back: directed(&of_reference, &of_prediction),
    }))
}

impl SurfaceDistances {
    /// From each surface voxel of the prediction to the surface of the reference, in voxel order.
    #[must_use]
    pub fn from_prediction(&self) -> &[f64] {
        &self.forth
    }

    /// From each surface voxel of the reference to the surface of the prediction, in voxel order.
    #[must_use]
    pub fn from_reference(&self) -> &[f64] {
        &self.back
    }

    fn pooled(&self) -> Vec<f64> {
        [&self.forth[..], &self.back[..]].concat()
    }

    /// 95 % Hausdorff distance in mm, paper equation 9.
    #[must_use]
    pub fn hd95(&self, mode: HausdorffMode) -> f64 {
        match mode {
            HausdorffMode::Max => {
                percentile(self.forth.clone(), 95.0).max(percentile(self.back.clone(), 95.0))
            }
            HausdorffMode::Pooled => percentile(self.pooled(), 95.0),
        }
    }

    /// Hausdorff distance in mm: the largest of all distances.
    #[must_use]
    pub fn hd100(&self) -> f64 {
        self.forth
            .iter()
            .chain(&self.back)
            .copied()
            .fold(0.0, f64::max)
    }

    /// Average symmetric surface distance in mm: mean of both sets together.
    #[must_use]
    pub fn assd(&self) -> f64 {
        (self.forth.iter().sum::<f64>() + self.back.iter().sum::<f64>())
            / (self.forth.len() + self.back.len()) as f64
    }

    /// Mean of the two directed mean distances in mm.
    #[must_use]
    pub fn assd_mean_of_means(&self) -> f64 {
        let mean = |set: &[f64]| set.iter().sum::<f64>() / set.len() as f64;
        f64::midpoint(mean(&self.forth), mean(&self.back))
    }
}

/// Percentile with linear interpolation at index `(n - 1) q / 100` of the sorted values (numpy's
/// default); NaN for no values. `q` is clamped to 0..=100.
#[must_use]
pub fn percentile(mut values: Vec<f64>, q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let at = (values.len() - 1) as f64 * q.clamp(0.0, 100.0) / 100.0;
    let low = at.floor() as usize;
    let (_, &mut value, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let next = above.iter().copied().fold(f64::INFINITY, f64::min);
    if next.is_finite() {
        value + (next - value) * (at - low as f64)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Grid;

    #[test]
    fn percentiles_as_numpy() {
        let values = vec![10.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0, 100.0, 4.0];
        assert!((percentile(values.clone(), 99.0) - 91.9).abs() < 1e-12);
        assert_eq!(percentile(values.clone(), 0.0), 0.0);
        assert_eq!(percentile(values.clone(), 100.0), 100.0);
        assert_eq!(percentile(values, 50.0), 6.5);
        assert_eq!(percentile(vec![3.0], 95.0), 3.0);
        assert!(percentile(vec![], 95.0).is_nan());
    }

    #[test]
    fn an_empty_mask_has_no_distances() {
        let grid = Grid::image([2, 2], [1.0; 2]).unwrap();
        let none = Mask::new(&[false; 4], grid).unwrap();
        let full = Mask::new(&[true; 4], grid).unwrap();
        assert_eq!(surface_distances(&none, &full).unwrap(), None);
        assert_eq!(surface_distances(&full, &none).unwrap(), None);
        assert_eq!(surface_distances(&none, &none).unwrap(), None);
        let other = Grid::image([4, 1], [1.0; 2]).unwrap();
        assert!(surface_distances(&full, &Mask::new(&[true; 4], other).unwrap()).is_err());
    }
}
