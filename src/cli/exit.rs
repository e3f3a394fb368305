//! Exit codes and the one line that says what went wrong.

use std::fmt::Display;

/// How a command ended; the documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: done.
    Done,
    /// 1: an error inside the program or the machine.
    Internal,
    /// 2: the command line or the manifest is wrong.
    Usage,
    /// 3: some stages failed; tables show holes.
    Failed,
    /// 4: data is missing or invalid.
    Data,
    /// 5: results contradict a claim.
    Contradicted,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Internal => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Failed => 3,
            ExitStatus::Data => 4,
            ExitStatus::Contradicted => 5,
        })
    }
}

/// What went wrong, for people.
#[derive(Debug)]
pub struct CliError {
    /// Exit code.
    pub status: ExitStatus,
    message: String,
    hint: Option<String>,
    rendered: bool,
}

impl CliError {
    /// An error with a lower-case message.
    pub fn new(status: ExitStatus, message: impl Display) -> Self {
        Self {
            status,
            message: message.to_string(),
            hint: None,
            rendered: false,
        }
    }

    /// An internal error.
    pub fn internal(message: impl Display) -> Self {
        Self::new(ExitStatus::Internal, message)
    }

    /// A wrong command line or manifest.
    pub fn usage(message: impl Display) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// Missing or invalid data.
    pub fn data(message: impl Display) -> Self {
        Self::new(ExitStatus::Data, message)
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Writes the error to stderr.
    pub fn print(&self) {
        if self.rendered {
            eprintln!("{}", self.message);
        } else {
            eprintln!("error: {}", self.message);
        }
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {hint}");
        }
    }
}

impl Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<crate::manifest::Diagnostics> for CliError {
    fn from(diagnostics: crate::manifest::Diagnostics) -> Self {
        Self {
            status: ExitStatus::Usage,
            message: diagnostics.to_string(),
            hint: None,
            rendered: true,
        }
    }
}
