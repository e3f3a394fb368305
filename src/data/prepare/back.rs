//! The way back: a mask of the prepared window on the grid of the source file.

use super::artifact::PreparedMeta;
use super::error::PrepareError;
use super::grid::Grid;
use super::resample::{Edge, resample_labels};
use crate::data::volume::{Header, LabelVolume};

/// Brings a mask of the prepared window, `[Z, H, W]`, onto the grid of `source` by nearest neighbour
/// through world coordinates. Voxels outside of the window are 0.
///
/// # Errors
/// The mask does not fit the case, or the source's affine has no inverse.
pub fn to_source_grid(
    mask: &[u8],
    meta: &PreparedMeta,
    source: &Header,
) -> Result<LabelVolume, PrepareError> {
    let own = Grid::of(source);
    // The resampled grid may end up to 1.5 of its voxels before the last voxel of the grid it was
    // made from; those last voxels belong to it nevertheless.
    let (target, edge) = match meta.base {
        Some(base) if base.same_as(&own) => (base, Edge::Clamp),
        _ => (own, Edge::Fill(0)),
    };
    let full = LabelVolume {
        data: meta.uncrop(mask)?,
        shape: meta.grid.shape,
        affine: meta.grid.affine,
    };
    let data =
        resample_labels(full, &target, edge).map_err(|why| PrepareError::case(&meta.id, why))?;
    Ok(LabelVolume {
        data,
        shape: own.shape,
        affine: own.affine,
    })
}
