//! Headers of volumes that have no source file.

use std::path::PathBuf;

use super::affine::{Affine, spacing};
use super::header::{Carried, Header};
use super::scalar::{ByteOrder, ScalarType};

/// NIfTI code of an affine to scanner coordinates.
const SCANNER: i16 = 1;
/// `xyzt_units`: millimetres.
const MILLIMETRES: u8 = 2;

impl Header {
    /// The header of a new volume of shape `[x, y, z]` at `affine` (voxel index to RAS+ world, mm),
    /// to write on: it has no voxels to read.
    #[must_use]
    pub fn of_grid(shape: [usize; 3], affine: Affine) -> Self {
        let size = spacing(&affine);
        Self {
            shape: shape.to_vec(),
            spacing: size,
            affine,
            dtype: ScalarType::Float32,
            slope: 1.0,
            inter: 0.0,
            order: ByteOrder::Little,
            version: 1,
            carried: Carried {
                // The writer derives a qform where the affine can be written as one.
                qform_code: 0,
                sform_code: SCANNER,
                quatern: [0.0; 3],
                qoffset: [0.0; 3],
                pixdim: [1.0, size[0], size[1], size[2]],
                xyzt_units: MILLIMETRES,
                intent_code: 0,
                intent_p: [0.0; 3],
                intent_name: [0; 16],
            },
            warnings: Vec::new(),
            voxels: PathBuf::new(),
            offset: 0,
        }
    }
}
