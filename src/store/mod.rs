//! Artifacts on disk, addressed by the key of the stage that left them: claims, publication,
//! failures, verification. Readers never lock.

mod artifact;
mod claim;
mod clock;
mod disk;
mod error;
mod failure;
mod paths;
mod publish;
mod record;
mod verify;

pub use artifact::{Artifact, State, Store};
pub use claim::Holder;
pub use clock::rfc3339;
pub use error::StoreError;
pub use failure::{Failure, FailureKind};
pub use paths::Paths;
pub use publish::{Attempt, Begin};
pub use record::{FileRecord, Provenance, StageRecord, host_name};
pub use verify::{Damage, Verification};
