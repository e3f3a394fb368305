//! Every manifest in `tests/bad` is refused with exactly the report beside it, and no mutation of a
//! good manifest can make the reader panic.
//!
//! `AMLP_BLESS=1 cargo test --test bad_manifests` rewrites the expected reports: read them as a
//! user would before committing them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use amlp_run::manifest::{self, Diagnostics};
use amlp_run::plan::{DeviceClass, compile};
use amlp_run::study::{self, Request, Resolved};
use proptest::prelude::*;

/// Tests run in the package's root, so that reports hold relative paths.
const FOLDER: &str = "tests/bad";

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

fn resolve(path: &Path, request: &Request) -> Result<Resolved, Diagnostics> {
    let mut resolved = Vec::new();
    for loaded in manifest::load_all(&[path.to_owned()])? {
        resolved.push(study::resolve(loaded, request)?.resolved);
    }
    Ok(resolved.swap_remove(0))
}

/// Reports may quote control characters only as pictures: a manifest must not drive the terminal.
fn assert_printable(report: &str, of: &str) {
    let bad = report.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{of}: the report holds a control character");
}

#[test]
fn every_bad_manifest_has_its_report() {
    let bless = std::env::var_os("AMLP_BLESS").is_some();
    let files = files();
    assert!(files.len() >= 40, "only {} bad manifests", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        let name = path.display().to_string();
        let Err(diagnostics) = resolve(path, &Request::default()) else {
            wrong.push(format!("{name} is accepted"));
            continue;
        };
        let report = format!("{diagnostics}\n");
        assert_printable(&report, &name);
        let beside = path.with_extension("expected");
        if bless {
            std::fs::write(&beside, &report).unwrap();
            continue;
        }
        match std::fs::read_to_string(&beside) {
            Ok(expected) if expected == report => {}
            Ok(expected) => wrong.push(format!("{name}\n--- expected\n{expected}--- is\n{report}")),
            Err(_) => wrong.push(format!(
                "{name} has no .expected beside it; its report is\n{report}"
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_expected_report_has_its_manifest() {
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.with_extension("toml").is_file(),
            "{} belongs to no manifest",
            path.display()
        );
    }
}

#[test]
fn every_report_points_into_a_file() {
    for path in files() {
        let Err(diagnostics) = resolve(&path, &Request::default()) else {
            panic!("{} is accepted", path.display());
        };
        for diagnostic in &diagnostics.list {
            let origin = diagnostic.origin.as_ref().unwrap_or_else(|| {
                panic!("{}: '{}' has no place", path.display(), diagnostic.message)
            });
            let (line, column) = diagnostics.sources.position(origin.file, origin.span.start);
            let file = &diagnostics.sources.get(origin.file).unwrap().name;
            let report = diagnostic.render(&diagnostics.sources);
            let place = format!("--> {file}:{line}:{column}\n");
            assert!(report.contains(&place), "no '{place}' in\n{report}");
            assert!(report.contains('^'), "no caret in\n{report}");
        }
    }
}

#[test]
fn a_manifest_that_is_not_there() {
    let error = manifest::load(Path::new("tests/bad/no_such.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: cannot read the manifest tests/bad/no_such.toml: no such file or directory"
    );
    let error = manifest::load(Path::new("tests")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: tests is a folder, not a manifest"
    );
}

#[test]
fn the_program_exits_with_2() {
    for path in files() {
        let output = Command::new(env!("CARGO_BIN_EXE_amlp-run"))
            .arg("plan")
            .arg(&path)
            .env_remove("AMLP_DATA")
            .env(
                "AMLP_STORE",
                std::env::temp_dir().join(format!("amlp-bad-{}", std::process::id())),
            )
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let name = path.display();
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(output.stdout.is_empty(), "{name} prints to stdout");
        assert!(stderr.starts_with("error: "), "{name}: {stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
    }
    let _ = std::fs::remove_dir_all(
        std::env::temp_dir().join(format!("amlp-bad-{}", std::process::id())),
    );
}

/// One change of a file's bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(usize, u8),
    Insert(usize, u8),
    Delete(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
    Splice(usize, &'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let fragments = prop::sample::select(vec![
        "[[study]]\n",
        "[study.variant]\n",
        "extends = \"x\"\n",
        "nan",
        "-1",
        "99999999999999999999",
        "[[[[",
        "\"\"\"",
        "1979-05-27",
        "\u{2028}",
        "= {",
        "matrix = { \"amlp.patch\" = [1, 2, 3] }\n",
        "name = \"\"\n",
        "\n\n",
        "'",
    ]);
    let at = 0usize..8192;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(i, b)| Mutation::Replace(i, b)),
        (at.clone(), any::<u8>()).prop_map(|(i, b)| Mutation::Insert(i, b)),
        (at.clone(), 1usize..200).prop_map(|(i, n)| Mutation::Delete(i, n)),
        (at.clone(), 1usize..200).prop_map(|(i, n)| Mutation::Repeat(i, n)),
        at.clone().prop_map(Mutation::Cut),
        (at, fragments).prop_map(|(i, s)| Mutation::Splice(i, s)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len().max(1);
    match *mutation {
        Mutation::Replace(i, byte) => {
            if let Some(b) = bytes.get_mut(i % length) {
                *b = byte;
            }
        }
        Mutation::Insert(i, byte) => bytes.insert((i % length).min(bytes.len()), byte),
        Mutation::Delete(i, n) => {
            let start = (i % length).min(bytes.len());
            bytes.drain(start..(start + n).min(bytes.len()));
        }
        Mutation::Repeat(i, n) => {
            let start = (i % length).min(bytes.len());
            let part = bytes[start..(start + n).min(bytes.len())].to_vec();
            bytes.splice(start..start, part);
        }
        Mutation::Cut(i) => bytes.truncate(i % length),
        Mutation::Splice(i, text) => {
            let start = (i % length).min(bytes.len());
            bytes.splice(start..start, text.bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutations_never_panic(mutations in prop::collection::vec(mutation(), 1..4), profile in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("base")).unwrap();
        std::fs::copy("experiments/base/paper.toml", folder.path().join("base/paper.toml")).unwrap();
        let mut bytes = std::fs::read("experiments/ablation.toml").unwrap();
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        let path = folder.path().join("mutated.toml");
        std::fs::write(&path, &bytes).unwrap();
        let request = Request {
            profile: profile.then(|| "smoke".to_owned()),
            ..Request::default()
        };
        match resolve(&path, &request) {
            Ok(resolved) => {
                let compiled = compile(&resolved, &BTreeMap::new(), DeviceClass::CpuFlex, "x");
                prop_assert_eq!(compiled.tables.len(), resolved.studies.len());
            }
            Err(diagnostics) => {
                prop_assert!(!diagnostics.list.is_empty());
                let report = diagnostics.to_string();
                prop_assert!(report.starts_with("error: "), "{}", report);
                assert_printable(&report, "a mutation");
            }
        }
    }

    #[test]
    fn overrides_never_panic(argument in "\\PC{0,40}|(seeds|labels|amlp\\.patch|name|data\\.x|mps)=\\PC{0,20}") {
        let loaded = manifest::load(Path::new("experiments/ablation.toml")).unwrap();
        let request = Request { set: vec![argument], ..Request::default() };
        if let Err(diagnostics) = study::resolve(loaded, &request) {
            let report = diagnostics.to_string();
            prop_assert!(report.starts_with("error: "), "{report}");
        }
    }
}
