//! The documentation does what it says: the commands of its `console` blocks are run and their output
//! is compared; those of its `sh` blocks are held against the command line and the manifests.
//!
//! After a change of output: `TRYCMD=overwrite cargo test --release --test documentation`.

#[path = "documentation/page.rs"]
mod page;

use std::fs;
use std::path::{Path, PathBuf};

use amlp_run::cli::understand;

/// Pages whose commands are run, one after the other in one project.
const WALKS: [&str; 4] = [
    "quick-start.md",
    "tables.md",
    "adding-a-row.md",
    "own-data.md",
];
// Those of slurm.md need a Slurm: tests/slurm/page.rs.

/// Manifest that the reader of adding-a-row.md writes.
const ROWS: &str = "experiments/more-rows.toml";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// All in one test: the commands are run in the current folder, of which a process has one.
#[test]
fn walks_through_the_documentation() {
    let project = tempfile::tempdir().unwrap();
    for part in ["Cargo.toml", "experiments", "schemas", "docs"] {
        copy(&root().join(part), &project.path().join(part));
    }
    std::env::set_current_dir(project.path()).unwrap();
    // The page shows it whole, for the reader to write.
    let page = fs::read_to_string("docs/adding-a-row.md").unwrap();
    let manifest = commands(&page, "toml").join("\n");
    fs::write(ROWS, manifest).unwrap();
    for name in WALKS {
        let shown = Path::new("docs").join(name);
        page::run(&shown, &root().join(&shown));
    }
}

/// The lines of the fenced blocks of `language`, with lines that a backslash continues joined.
fn commands(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut found = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && line.trim() == fence;
            continue;
        }
        if inside {
            open.push_str(line.trim_end_matches('\\'));
            if !line.ends_with('\\') {
                found.push(std::mem::take(&mut open));
            }
        }
    }
    found
}

/// Everything that users read.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    pages.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "md")),
    );
    pages
}

/// The programs beside `amlp-run` that pages tell users to run are run in CI: the measurements of
/// docs/benchmarks.md by `.ci/peers`.
#[test]
fn other_programs_run_in_ci() {
    let ci: String = ["run", "peers", "slurm"]
        .map(|name| fs::read_to_string(root().join(".ci").join(name)).unwrap())
        .concat();
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for word in text.split(|c: char| c.is_whitespace() || c == '`') {
            let program = word.starts_with("benches/peers/") && word.ends_with(".py")
                || word == "scripts/libtorch"
                || word == ".ci/slurm";
            if program {
                assert!(ci.contains(word), "{}: {word}", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen} programs found");
}

#[test]
fn commands_that_are_only_shown_exist() {
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut lines = commands(&text, "sh");
        let console = commands(&text, "console");
        lines.extend(
            console
                .iter()
                .filter_map(|l| l.strip_prefix("$ "))
                .map(str::to_owned),
        );
        for line in lines {
            let command = line.split(" #").next().unwrap_or_default().trim();
            let Some(words) = command
                .strip_prefix("amlp-run ")
                .or_else(|| command.strip_prefix("target/release/amlp-run "))
            else {
                continue;
            };
            // What a shell would do with quotes is not needed so far.
            assert!(
                !words.contains('"') && !words.contains('\''),
                "{command}: quotes"
            );
            let words = words.split('>').next().unwrap_or_default();
            let at = page.display();
            for word in words.split_whitespace() {
                if word.starts_with("experiments/") && word != ROWS {
                    assert!(root().join(word).exists(), "{at}: {word} is not there");
                }
            }
            let arguments = std::iter::once("amlp-run").chain(words.split_whitespace());
            if let Err(error) = understand(arguments.map(Into::into)) {
                panic!("{at}: {command}\n{error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} commands found");
}
