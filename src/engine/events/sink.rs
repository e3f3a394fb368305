//! Who hears of events while they happen.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Entry, Event};
use crate::engine::Stop;

/// Who wants to know what happens. Called from many threads.
pub trait EventSink: Send + Sync {
    /// Takes an event.
    fn emit(&self, event: &Event);

    /// Called several times a second while a run goes on.
    fn tick(&self) {}
}

/// Wants to know nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: &Event) {}
}

/// Two sinks as one.
pub struct Both<'a>(pub &'a dyn EventSink, pub &'a dyn EventSink);

impl EventSink for Both<'_> {
    fn emit(&self, event: &Event) {
        self.0.emit(event);
        self.1.emit(event);
    }

    fn tick(&self) {
        self.0.tick();
        self.1.tick();
    }
}

/// Events as JSON lines on standard output, for the process that started this one. When nobody
/// reads them any more, the stop flag is raised.
pub(in crate::engine) struct JsonLines {
    stop: Stop,
}

impl JsonLines {
    pub(in crate::engine) fn new(stop: &Stop) -> Self {
        Self { stop: stop.clone() }
    }
}

impl EventSink for JsonLines {
    fn emit(&self, event: &Event) {
        let Some(line) = Entry::line(event) else {
            return;
        };
        let mut out = std::io::stdout().lock();
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
            && !self.stop.is_raised()
        {
            self.stop.raise();
        }
    }
}

/// Keeps a stage from telling its progress more often than anybody can read.
pub(in crate::engine) struct Throttle {
    last: Mutex<Option<Instant>>,
    interval: Duration,
}

impl Throttle {
    pub(in crate::engine) fn new(interval: Duration) -> Self {
        Self {
            last: Mutex::new(None),
            interval,
        }
    }

    /// Whether enough time has passed since it last said yes.
    pub(in crate::engine) fn ready(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now - last < self.interval) {
            return false;
        }
        *last = Some(now);
        true
    }
}
