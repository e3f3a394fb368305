//! AMLP: adjustable masking of lesion patches (`methods/masked.md` section 2); BASE, MPS, AMR, CRCL
//! and the other rows of Table IV are its toggles.

mod batch;
mod fill;
mod losses;
mod model;
mod reconstruct;
mod task;
mod turn;

pub use batch::{Batch, Plan};
pub use losses::{
    centroid_soft, consistency, literal_consistency, masked_mean, patch_losses, patch_means,
    relative, relative_weights, soft_relative,
};
pub use model::Network;
pub use reconstruct::{Reconstructed, reconstruct};
pub use task::{Amlp, AmlpTask, LABELS};
pub use turn::Turn;
