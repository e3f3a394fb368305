//! What happens in a run, as JSON lines: the only thing that progress bars, `watch`, reports and
//! exports read.

mod event;
mod folder;
mod follow;
mod log;
mod origin;
mod sink;

pub use event::{Entry, Event, KindCount, Progress};
pub use folder::{RunFolder, read_plan};
pub use follow::Follower;
pub(super) use log::RunLog;
pub use origin::{EngineKind, Origin};
pub use sink::{Both, EventSink, Silent};
pub(super) use sink::{JsonLines, Throttle};
