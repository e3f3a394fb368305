//! The program as its users run it: arguments in; exit code, output and files out.

#[path = "cli/cache.rs"]
mod cache;
#[path = "cli/checks.rs"]
mod checks;
#[path = "cli/claims.rs"]
mod claims;
#[path = "cli/devices.rs"]
mod devices;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/kill.rs"]
mod kill;
#[path = "cli/predict.rs"]
mod predict;
#[path = "cli/project.rs"]
mod project;
#[path = "cli/questions.rs"]
mod questions;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/seen.rs"]
mod seen;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/studies.rs"]
mod studies;
#[path = "cli/trainings.rs"]
mod trainings;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/weights.rs"]
mod weights;
