//! The smoke study in a folder of its own, and the tables that it must end with.

use std::path::Path;
use std::process::Command;

/// Instruction set that the committed tables were computed with. Sums run in lanes as wide as the
/// processor has, so another width may change a last digit.
const MADE_WITH: &str = "x86_64, 512-bit lanes";

fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            return "x86_64, 512-bit lanes";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "x86_64, 256-bit lanes";
        }
        "x86_64, 128-bit lanes"
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}

/// Whether this processor is of the kind that made the committed tables.
pub fn is_exact() -> bool {
    instruction_set() == MADE_WITH
}

/// Files of the tables.
pub const TABLES: [&str; 9] = [
    "table_IV.csv",
    "table_IV.md",
    "table_IV.tex",
    "table_V.csv",
    "table_V.md",
    "table_V.tex",
    "table_VI.csv",
    "table_VI.md",
    "table_VI.tex",
];

/// Copies what a user has: manifests and the ledger, no results, no store.
pub fn copy(to: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(to.join("experiments/base")).unwrap();
    std::fs::create_dir_all(to.join("results")).unwrap();
    std::fs::create_dir(to.join(".amlp")).unwrap();
    for file in [
        "experiments/ablation.toml",
        "experiments/base/paper.toml",
        "results/published.csv",
    ] {
        std::fs::copy(root.join(file), to.join(file)).unwrap();
    }
}

/// The command, not yet started.
pub fn smoke(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlp-run"));
    command
        .args(["experiments/ablation.toml", "--profile", "smoke", "--quiet"])
        .current_dir(folder)
        .env_remove("AMLP_STORE")
        .env_remove("AMLP_DATA");
    command
}

/// Compares the tables that a run left in `folder` with the committed ones, byte for byte where the
/// processor is of the kind that made those.
pub fn compare_tables(folder: &Path) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/ablation/smoke");
    let made = folder.join("results/ablation/smoke");
    let exact = is_exact();
    if !exact {
        println!(
            "only the form is compared: the committed tables were made with {MADE_WITH}, this is {}",
            instruction_set()
        );
    }
    for name in TABLES {
        let ours = std::fs::read_to_string(made.join(name)).unwrap();
        let theirs = std::fs::read_to_string(committed.join(name)).unwrap();
        if exact {
            assert!(ours == theirs, "{name} differs from the committed one");
        } else {
            assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}");
        }
    }
}
