//! The committed smoke tables come out of the program byte for byte.

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

/// Copies what a user has: manifests and the ledger, no results, no store.
fn project(to: &Path) {
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

#[test]
fn the_committed_smoke_tables_are_what_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let output = Command::new(env!("CARGO_BIN_EXE_amlp-run"))
        .args(["experiments/ablation.toml", "--profile", "smoke", "--quiet"])
        .current_dir(folder.path())
        .env_remove("AMLP_STORE")
        .env_remove("AMLP_DATA")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/ablation/smoke");
    let made = folder.path().join("results/ablation/smoke");
    let exact = instruction_set() == MADE_WITH;
    if !exact {
        println!(
            "only the form is compared: the committed tables were made with {MADE_WITH}, this is {}",
            instruction_set()
        );
    }
    for table in ["IV", "V", "VI"] {
        for extension in ["csv", "md", "tex"] {
            let name = format!("table_{table}.{extension}");
            let ours = std::fs::read_to_string(made.join(&name)).unwrap();
            let theirs = std::fs::read_to_string(committed.join(&name)).unwrap();
            if exact {
                assert!(ours == theirs, "{name} differs from the committed one");
            } else {
                assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}");
            }
        }
    }
}
