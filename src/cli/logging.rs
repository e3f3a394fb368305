//! Warnings of the library on standard error; a worker's go to the log of its stage.

use tracing_subscriber::EnvFilter;

/// Variable with a filter (`debug`, `amlp_run::store=trace`); warnings without it.
const VARIABLE: &str = "AMLP_LOG";

/// Starts logging.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    // Someone who embeds the command line may have a subscriber already; theirs stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
