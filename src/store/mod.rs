//! Artifacts on disk, addressed by the key of the stage that left them: claims, publication,
//! failures, verification, collection of garbage, and tables with their lineage as one file. Readers
//! never lock.

mod artifact;
pub mod bundle;
mod claim;
mod clock;
mod collect;
pub(crate) mod disk;
mod error;
mod failure;
mod holder;
mod lineage;
mod paths;
mod publish;
mod record;
mod roots;
mod seal;
mod sighting;
mod sweep;
mod verify;

pub use artifact::{Artifact, State, Store};
pub use clock::rfc3339;
pub(crate) use clock::unix_now;
pub use collect::{Collection, Item, Removal};
pub use error::StoreError;
pub use failure::{Failure, FailureKind};
pub use holder::{Holder, is_running};
pub(crate) use paths::CHECKPOINT;
pub use paths::Paths;
pub use publish::{Attempt, Begin};
pub use record::{FileRecord, Provenance, StageRecord, host_name};
pub use sweep::Sweep;
pub use verify::{Damage, Verification};
