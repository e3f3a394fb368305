//! Artifacts on disk, addressed by the key of the stage that left them: claims, publication,
//! failures, verification. Readers never lock.

mod artifact;
mod claim;
mod clock;
pub(crate) mod disk;
mod error;
mod failure;
mod paths;
mod publish;
mod record;
mod sweep;
mod verify;

pub use artifact::{Artifact, State, Store};
pub use claim::{Holder, is_running};
pub use clock::rfc3339;
pub(crate) use clock::unix_now;
pub use error::StoreError;
pub use failure::{Failure, FailureKind};
pub(crate) use paths::CHECKPOINT;
pub use paths::Paths;
pub use publish::{Attempt, Begin};
pub use record::{FileRecord, Provenance, StageRecord, host_name};
pub use sweep::Sweep;
pub use verify::{Damage, Verification};
