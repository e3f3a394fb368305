//! Running what is missing of a plan as jobs of Slurm: the plan is frozen, its stages are [`cut`]
//! into jobs, and each is submitted with what it waits for. A job never plans; the store says what
//! is done, the queue only what is still to come.

mod cancel;
mod command;
mod cut;
mod error;
mod frozen;
mod job;
mod journal;
mod queue;
mod quote;
mod script;
mod status;
mod submit;
mod unit;

pub use cancel::cancel;
pub use command::Tool;
pub use cut::{After, Job, Task, cut};
pub use error::SlurmError;
pub use frozen::Frozen;
pub use job::{Orders, work};
pub use journal::{Record, TaskKeys, live, read as read_journal};
pub use queue::{JobState, Place, QueuedJob, jobs as queue};
pub use script::{Shared, dependency};
pub use status::{JobsStatus, StageStatus, Standing, run_status};
pub use submit::{Draft, Setup, Submission, draft};
