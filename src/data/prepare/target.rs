//! Which grid a case is prepared on.

use super::grid::Grid;
use crate::data::volume::{Affine, IDENTITY, invert, transform};
use crate::options::ResampleOptions;

/// The grid of a prepared case, before the crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The grid: x to the left, y to the back, z up.
    pub grid: Grid,
    /// The source grid that it was made from; volumes on it are continued at their faces, all others
    /// are filled. `None` where a bounding box decided.
    pub base: Option<Grid>,
}

impl Target {
    /// How a volume on `own` is to be sampled: the affine to read it with, and whether it is continued
    /// at its faces. A volume on the base grid gets the base's own affine, so that rounding of stored
    /// affines is no difference.
    pub(super) fn approach(&self, own: &Grid) -> (Affine, bool) {
        match &self.base {
            Some(base) if base.same_as(own) => (base.affine, true),
            _ => (own.affine, false),
        }
    }
}

/// Chooses the grid of a case (`metrics-and-data.md` sections 6.2 and 8).
///
/// - A bounding box `[x1, x2, y1, y2, z1, z2]` (LPS mm) decides: first voxel centre at
///   `(x1, y1, z1)`, identity direction, size `round((x2 - x1) / s)`.
/// - Else the grid that all images share; else the label's; else the first image's. It is resampled
///   with its own first voxel centre fixed, then reoriented to LPS axes, and cut to what all images
///   cover where `options.intersect` asks for that.
///
/// # Errors
/// No image, an empty or endless grid, or volumes that do not overlap; in words.
pub fn target_grid(
    images: &[Grid],
    label: Option<&Grid>,
    bbox: Option<[f64; 6]>,
    options: &ResampleOptions,
) -> Result<Target, String> {
    let first = images.first().ok_or("no modality is asked for")?;
    if let Some(bbox) = bbox {
        let own = first.to_lps()?.spacing();
        return Ok(Target {
            grid: from_bbox(bbox, options.spacing, own)?,
            base: None,
        });
    }
    let shared = images.iter().all(|g| g.same_as(first));
    let base = *match label {
        Some(label) if !shared => label,
        _ => first,
    };
    let mut grid = base.resampled(options.spacing)?.to_lps()?;
    if options.intersect && !shared {
        grid = intersection(&grid, images)?;
    }
    Ok(Target {
        grid,
        base: Some(base),
    })
}

fn from_bbox(bbox: [f64; 6], wanted: [f64; 3], own: [f64; 3]) -> Result<Grid, String> {
    let mut affine = IDENTITY;
    let mut shape = [0; 3];
    for i in 0..3 {
        let (low, high) = (bbox[2 * i], bbox[2 * i + 1]);
        let size = if wanted[i] == 0.0 { own[i] } else { wanted[i] };
        let count = ((high - low) / size).round();
        if !(1.0..1e6).contains(&count) || !low.is_finite() {
            return Err(format!(
                "bounding box from {low} to {high} mm holds no grid of {size} mm"
            ));
        }
        shape[i] = count as usize;
        // LPS to RAS: x and y change sign.
        let sign = if i < 2 { -1.0 } else { 1.0 };
        affine[i][i] = sign * size;
        affine[i][3] = sign * low;
    }
    Grid { shape, affine }.checked()
}

/// The part of `grid` whose voxel centres lie within every volume. For turned volumes their box along
/// the axes of `grid` counts.
fn intersection(grid: &Grid, volumes: &[Grid]) -> Result<Grid, String> {
    let inverse = invert(&grid.affine).ok_or("the affine has no inverse")?;
    let mut low = [0.0_f64; 3];
    let mut high: [f64; 3] = std::array::from_fn(|i| grid.shape[i] as f64 - 1.0);
    for volume in volumes {
        let corners = volume.corners(0.5).map(|c| transform(&inverse, c));
        for i in 0..3 {
            let least = corners.iter().map(|c| c[i]).fold(f64::INFINITY, f64::min);
            let most = corners
                .iter()
                .map(|c| c[i])
                .fold(f64::NEG_INFINITY, f64::max);
            low[i] = low[i].max((least - 1e-4).ceil());
            high[i] = high[i].min((most + 1e-4).floor());
        }
    }
    if (0..3).any(|i| low[i] > high[i]) {
        return Err("its volumes do not overlap".into());
    }
    let mut out = *grid;
    let origin = transform(&grid.affine, low);
    for i in 0..3 {
        out.shape[i] = (high[i] - low[i]) as usize + 1;
        out.affine[i][3] = origin[i];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::axis_codes;

    fn lps(shape: [usize; 3], size: f64, origin: [f64; 3]) -> Grid {
        let mut affine = IDENTITY;
        for i in 0..3 {
            let sign = if i < 2 { -1.0 } else { 1.0 };
            affine[i][i] = sign * size;
            affine[i][3] = sign * origin[i];
        }
        Grid { shape, affine }
    }

    #[test]
    fn a_bounding_box_gives_its_own_grid() {
        let ct = lps([512, 512, 100], 0.98, [-250.0, -250.0, -500.0]);
        let bbox = [-70.5, 73.5, -100.25, 43.75, -300.0, -156.0];
        let target = target_grid(&[ct], None, Some(bbox), &ResampleOptions::default());
        let grid = target.expect("target").grid;
        assert_eq!(grid.shape, [144; 3]);
        assert_eq!(axis_codes(&grid.affine).as_deref(), Some("LPS"));
        // RAS of the LPS point (x1, y1, z1).
        assert_eq!(transform(&grid.affine, [0.0; 3]), [70.5, 100.25, -300.0]);
        assert_eq!(transform(&grid.affine, [1.0; 3]), [69.5, 99.25, -299.0]);
        let empty = [0.0, -1.0, 0.0, 1.0, 0.0, 1.0];
        assert!(target_grid(&[ct], None, Some(empty), &ResampleOptions::default()).is_err());
    }

    #[test]
    fn the_label_decides_between_grids_and_the_intersection_is_cut() {
        let ct = lps([10, 10, 10], 1.0, [0.0; 3]);
        let pet = lps([3, 3, 3], 3.0, [2.0, 1.0, 1.0]);
        let plain = ResampleOptions::default();
        let shared = target_grid(&[ct, ct], Some(&pet), None, &plain).expect("target");
        assert!(shared.grid.same_as(&ct));
        let own = target_grid(&[ct, pet], Some(&pet), None, &plain).expect("target");
        assert_eq!(own.grid.shape, [9; 3]);
        let first = target_grid(&[ct, pet], None, None, &plain).expect("target");
        assert!(first.grid.same_as(&ct));
        let cut = ResampleOptions {
            intersect: true,
            ..plain
        };
        let cut = target_grid(&[ct, pet], None, None, &cut)
            .expect("target")
            .grid;
        // PET covers 0.5 to 9.5 mm along x, -0.5 to 8.5 along y and z.
        assert_eq!(cut.shape, [9, 9, 9]);
        assert_eq!(transform(&cut.affine, [0.0; 3]), [-1.0, 0.0, 0.0]);
        let far = lps([3, 3, 3], 1.0, [500.0; 3]);
        let all = ResampleOptions {
            intersect: true,
            ..ResampleOptions::default()
        };
        assert!(target_grid(&[ct, far], None, None, &all).is_err());
        assert!(target_grid(&[], None, None, &all).is_err());
    }
}
