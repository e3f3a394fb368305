//! Running what is missing of a plan: on this machine ([`local`]) in worker processes ([`worker`]), or
//! as jobs of [`slurm`], with what happens told as [`events`].

mod context;
mod error;
pub mod events;
mod execute;
pub mod export;
pub mod local;
mod memory;
mod outcome;
mod panics;
mod process;
pub mod progress;
pub mod rehearsal;
mod schedule;
pub mod slurm;
mod stage_log;
mod status;
mod stop;
pub mod worker;

pub use context::{RunStage, StageContext};
pub use error::{EngineError, StageError};
pub use events::{Event, EventSink, Progress};
pub use local::LocalOptions;
pub(crate) use outcome::duration;
pub use outcome::{RunReport, Skipped};
pub use schedule::needed;
pub use stage_log::StageLog;
pub use status::{Counts, RunState, RunStatus, RunningStage, Tracker};
pub use stop::Stop;
