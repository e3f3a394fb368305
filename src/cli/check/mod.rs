//! `check`: data on disk, trainings that are killed, and the published numbers.

mod data;
mod paper;
mod resume;

use super::args::{CheckArgs, CheckWhat};
use super::exit::{CliError, ExitStatus};

pub(super) fn check(args: &CheckArgs) -> Result<ExitStatus, CliError> {
    match &args.what {
        CheckWhat::Data(a) => data::data(a),
        CheckWhat::Paper(a) => paper::paper(a),
        CheckWhat::Resume(a) => resume::resume(a),
    }
}
