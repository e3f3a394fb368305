//! Being asked to stop, by a signal or by the program itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Signals that were caught since the handler was installed.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Whether one of them was SIGUSR1.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Exit code of a process that was interrupted.
pub(super) const INTERRUPTED: i32 = 130;

/// After this many signals the process ends on the spot.
const ENOUGH: u32 = 3;

/// A flag that says how urgently to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicU32>,
    parent: Option<Arc<Stop>>,
    signals: bool,
}

impl Stop {
    /// A flag that nobody has raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that SIGINT, SIGTERM and SIGUSR1 (of Slurm, before the time limit) raise. The third
    /// signal ends the process at once.
    #[must_use]
    pub fn on_signals() -> Self {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
            // SAFETY: an all-zero `sigaction` is a valid value: no flags, an empty mask.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            let handler: extern "C" fn(libc::c_int) = count_signal;
            action.sa_sigaction = handler as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: `action` is initialised and the handler only uses an atomic and `_exit`,
            // both safe in a signal handler. A failure (no such signal) leaves the default.
            unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        }
        Self {
            signals: true,
            ..Self::default()
        }
    }

    /// A flag that is raised with this one, and can be raised alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            parent: Some(Arc::new(self.clone())),
            ..Self::default()
        }
    }

    /// Raises the flag by one level.
    pub fn raise(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// 0: go on; 1: finish soon and keep what is done; 2 and more: at once.
    #[must_use]
    pub fn level(&self) -> u32 {
        let own = self.asked.load(Ordering::Relaxed);
        let signals = if self.signals {
            SIGNALS.load(Ordering::Relaxed)
        } else {
            0
        };
        let parent = self.parent.as_ref().map_or(0, |parent| parent.level());
        (own + signals).max(parent)
    }

    /// Whether a signal was the warning before a time limit (SIGUSR1).
    pub(super) fn is_warned(&self) -> bool {
        self.signals && WARNED.load(Ordering::Relaxed)
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.level() > 0
    }
}

extern "C" fn count_signal(signal: libc::c_int) {
    if signal == libc::SIGUSR1 {
        WARNED.store(true, Ordering::Relaxed);
    }
    if SIGNALS.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH {
        // SAFETY: `_exit` may be called in a signal handler; nothing after it runs.
        unsafe { libc::_exit(INTERRUPTED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_follows_its_parent_but_not_the_other_way_round() {
        let parent = Stop::new();
        let child = parent.child();
        child.raise();
        assert!(child.is_raised() && !parent.is_raised());
        let other = parent.child();
        parent.raise();
        parent.raise();
        assert_eq!((other.level(), child.level()), (2, 2));
    }
}
