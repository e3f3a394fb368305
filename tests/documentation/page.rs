//! A page whose commands are run.

use std::fs;
use std::path::{Path, PathBuf};

/// Runs the commands of the page `shown`, a copy of `committed`, and compares their output; with
/// `TRYCMD=overwrite` puts what came out into `committed`.
pub fn run(shown: &Path, committed: &Path) {
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("amlp-run", PathBuf::from(env!("CARGO_BIN_EXE_amlp-run")))
        .case(shown);
    cases.run();
    if std::env::var_os("TRYCMD").is_some_and(|v| v == "overwrite") {
        fs::copy(shown, committed).unwrap();
    }
}
