//! NIfTI volumes: headers, voxels, label maps, statistics, and writing, with bounded memory whatever
//! a header claims.

mod affine;
mod error;
mod fresh;
mod header;
mod info;
mod orientation;
mod raw;
mod read;
mod scalar;
mod source;
mod stored;
mod unpack;
mod write;

pub use affine::{Affine, IDENTITY, from_quaternion, invert, multiply, spacing, transform};
pub use error::VolumeError;
pub use header::{Carried, Header, read_header};
pub use info::{Info, info};
pub use orientation::{AxisDirection, axis_codes, axis_directions};
pub use read::{LabelVolume, Volume, read_labels, read_volume};
pub(crate) use read::{read_labels_into, read_volume_into};
pub use scalar::{ByteOrder, ScalarType};
pub(crate) use stored::{Air, Stored};
pub(crate) use unpack::Room;
pub use write::{VoxelFormat, write_labels, write_volume};
