//! Progress for people, on standard error: a picture that moves on a terminal, a few lines
//! elsewhere.

mod bars;
mod lines;
mod outlook;
mod text;

use std::io::IsTerminal;

pub use outlook::Outlook;
pub use text::stages;

use outlook::Ahead;

use super::events::{Entry, Silent};
use super::{Event, EventSink, Tracker};

/// Shows a run to people, be it this process's own or one whose log is followed.
pub trait Reporter: EventSink {
    /// Takes in what happened before anybody watched, without a word on it.
    fn catch_up(&self, entries: &[Entry]);

    /// Shows an event of a log.
    fn take(&self, entry: &Entry);
}

impl Reporter for Silent {
    fn catch_up(&self, _entries: &[Entry]) {}

    fn take(&self, _entry: &Entry) {}
}

/// The display for a run that `tracker` knows so far: none with `quiet`, a line for each running
/// stage if standard error is a terminal that can move its cursor, and otherwise a line a minute.
/// None uses colour, so `NO_COLOR` needs no asking. `forecast` is asked for the time of the whole
/// when the run begins.
#[must_use]
pub fn reporter<'a>(
    quiet: bool,
    tracker: Tracker,
    forecast: impl FnOnce() -> Option<Outlook> + Send + 'a,
) -> Box<dyn Reporter + 'a> {
    let ahead = Ahead::new(forecast);
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() && !dumb {
        Box::new(bars::Bars::new(tracker, ahead))
    } else {
        Box::new(lines::Lines::new(
            tracker,
            ahead,
            Box::new(std::io::stderr()),
        ))
    }
}

/// What an event gives to say at once, with the name of the stage that it is about. The notes of
/// cheap stages are for the log: there may be hundreds.
fn news(event: &Event, tracker: &Tracker) -> Option<String> {
    let running = event.key().and_then(|key| tracker.running(key));
    let label = running.map_or("a stage", |(_, label)| label);
    match event {
        Event::Note { text, .. } => running
            .filter(|(kind, _)| kind.is_training())
            .map(|_| format!("{label}: {text}")),
        Event::SetAside { text, .. } => Some(text.clone()),
        Event::Waiting { label, holder, .. } => {
            Some(format!("waiting for {holder} to make {label}"))
        }
        Event::Retrying { message, .. } => Some(format!("{label}: {message}; trying again")),
        Event::Failed { failure } => Some(format!(
            "failed: {}: {}",
            failure.label,
            failure.message.lines().next().unwrap_or_default()
        )),
        _ => None,
    }
}
