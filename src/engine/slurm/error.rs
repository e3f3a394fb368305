//! What goes wrong between us and Slurm.

use std::path::PathBuf;

use super::command::Tool;

/// Why jobs could not be submitted or asked for.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The program is not there.
    #[error("there is no '{}' on the PATH", tool.name())]
    Missing {
        /// Which.
        tool: Tool,
    },
    /// The program could not be started.
    #[error("cannot start {}: {reason}", tool.name())]
    Start {
        /// Which.
        tool: Tool,
        /// The system's reason.
        reason: String,
    },
    /// The program refused.
    #[error("{} says: {reason}", tool.name())]
    Refused {
        /// Which.
        tool: Tool,
        /// Its own words.
        reason: String,
    },
    /// `sbatch` did not print a job id.
    #[error("sbatch printed no job id, but '{output}'")]
    NoId {
        /// What it printed.
        output: String,
    },
    /// A path that cannot stand in a script.
    #[error("'{}' is not UTF-8: it cannot stand in a script", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
}
