//! Calling Slurm's own programs.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use super::SlurmError;

/// A program of Slurm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Submits a script.
    Sbatch,
    /// Tells of the queue.
    Squeue,
    /// Ends jobs.
    Scancel,
    /// Changes jobs.
    Scontrol,
}

impl Tool {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sbatch => "sbatch",
            Self::Squeue => "squeue",
            Self::Scancel => "scancel",
            Self::Scontrol => "scontrol",
        }
    }
}

/// Runs `command`, which calls `tool`, to its end and returns what it printed.
///
/// # Errors
/// It is not there, or it ends with an error, whose words are kept.
pub(super) fn run(tool: Tool, mut command: Command) -> Result<String, SlurmError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => SlurmError::Missing { tool },
            _ => SlurmError::Start {
                tool,
                reason: e.to_string(),
            },
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.trim_start_matches(&format!("{}: ", tool.name())))
        .map(|line| line.trim_start_matches("error: "))
        .filter(|line| !line.trim().is_empty())
        .collect();
    Err(SlurmError::Refused {
        tool,
        reason: if lines.is_empty() {
            output.status.to_string()
        } else {
            lines.join("; ")
        },
    })
}
