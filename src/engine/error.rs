//! Errors of a stage, and of the engine itself.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use crate::plan::Key;
use crate::store::{FailureKind, StoreError};

/// Why a stage did not finish.
///
/// It is no `std::error::Error` itself, so that `?` turns any error into one, with its chain of
/// causes in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageError {
    /// It was asked to stop, wrote its checkpoint, and can go on from there. No failure.
    Stopped,
    /// It failed.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// What went wrong, for people.
        message: String,
    },
}

impl StageError {
    /// A failure with a message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed {
            kind: FailureKind::Error,
            message: message.into(),
        }
    }

    /// A failure because data are missing or invalid.
    #[must_use]
    pub fn data(message: impl Into<String>) -> Self {
        Self::Failed {
            kind: FailureKind::Data,
            message: message.into(),
        }
    }
}

impl<E: Error> From<E> for StageError {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped before it was done"),
            Self::Failed { message, .. } => f.write_str(message),
        }
    }
}

/// Message of `error` with those of its causes, leaving out what a message repeats of its cause.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// What keeps a run from starting or going on; failures of stages are no such errors.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Slurm cannot be used.
    #[error(transparent)]
    Slurm(#[from] super::slurm::SlurmError),
    /// A stage reads what no stage before it makes.
    #[error("stage '{label}' reads {input}, which no stage before it in the plan makes")]
    Input {
        /// The stage.
        label: String,
        /// What it reads.
        input: Key,
    },
    /// A key stands twice in a plan.
    #[error("the plan holds {key} ('{label}') twice")]
    Twice {
        /// The stage.
        label: String,
        /// Its key.
        key: Key,
    },
    /// A frozen plan that cannot be read.
    #[error("'{}' is not a frozen plan: {reason}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key that is not in the plan.
    #[error("'{}' has no stage {key}", path.display())]
    UnknownKey {
        /// The file of the plan.
        path: PathBuf,
        /// The key.
        key: Key,
    },
    /// A pool of threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read case 3")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read case 3: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn any_error_becomes_a_failure_with_its_causes() {
        let cause = || std::io::Error::other("disk on fire");
        for error in [
            StageError::from(Outer(cause())),
            StageError::from(Repeating(cause())),
        ] {
            assert_eq!(error.to_string(), "cannot read case 3: disk on fire");
        }
    }
}
