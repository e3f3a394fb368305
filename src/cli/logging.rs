//! What the library logs: with the time to the log of the stage that says it, and otherwise to
//! standard error.

use std::fmt;
use std::io::{self, Write};

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::engine::StageLog;

/// Variable with a filter (`debug`, `amlp_run::store=trace`); warnings without it.
const VARIABLE: &str = "AMLP_LOG";

/// Starts logging; `for_file` where standard error is the log of a stage.
pub(super) fn start(for_file: bool) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let base = || format::format().with_target(false).with_ansi(false);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(destination)
        .event_format(Lines {
            timed: base(),
            plain: base().without_time(),
            for_file,
        })
        .finish();
    // Someone who embeds the command line may have a subscriber already; theirs stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The log of the stage that runs on this thread, or standard error.
fn destination() -> Box<dyn Write> {
    match StageLog::current() {
        Some(log) => Box::new(log),
        None => Box::new(io::stderr()),
    }
}

/// Lines with the time in files and without it on standard error.
struct Lines {
    timed: Format<Full>,
    plain: Format<Full, ()>,
    for_file: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.for_file || StageLog::current().is_some() {
            self.timed.format_event(cx, writer, event)
        } else {
            self.plain.format_event(cx, writer, event)
        }
    }
}
