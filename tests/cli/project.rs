//! A project folder of its own for each test, and the real program run in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with manifests, a store and results, removed at the end.
pub struct Project {
    folder: TempDir,
}

/// What a command left.
pub struct Ran {
    /// Exit code; none if it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A stage in `plan --format json`.
#[derive(Clone, Debug)]
pub struct Planned {
    pub key: String,
    pub kind: String,
    pub state: String,
    pub reason: String,
    pub label: String,
}

impl Project {
    /// An empty project.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A project with the tiny study.
    pub fn tiny() -> Self {
        let project = Self::empty();
        project.write("tiny.toml", &tiny());
        project
    }

    /// A project with the tiny study, which has run.
    pub fn done() -> Self {
        let project = Self::tiny();
        project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program with these arguments, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlp-run"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("AMLP_STORE")
            .env_remove("AMLP_DATA");
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran::of(&output, arguments)
    }

    /// Runs the program and reads the JSON that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments).expect(0);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out))
    }

    /// The stages of a manifest.
    pub fn plan(&self, arguments: &[&str]) -> Vec<Planned> {
        let mut all = vec!["plan", "--format", "json"];
        all.extend(arguments);
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        self.json(&all)["stages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| Planned {
                key: text(&s["key"]),
                kind: text(&s["kind"]),
                state: text(&s["state"]),
                reason: text(&s["reason"]),
                label: text(&s["label"]),
            })
            .collect()
    }

    /// Names of the folders of runs.
    pub fn runs(&self) -> Vec<String> {
        names(&self.path(".amlp/runs"))
    }

    /// Every `stage.json` with its time of change and content.
    pub fn records(&self) -> BTreeMap<PathBuf, (std::time::SystemTime, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for kind in names(&self.path(".amlp/store")) {
            let folder = self.path(".amlp/store").join(&kind);
            for key in names(&folder) {
                let path = folder.join(key).join("stage.json");
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                let content = fs::read(&path).unwrap();
                found.insert(path, (time, content));
            }
        }
        found
    }

    /// The folder of an artifact.
    pub fn artifact(&self, stage: &Planned) -> PathBuf {
        self.path(".amlp/store").join(&stage.kind).join(&stage.key)
    }

    /// The files below the results by name.
    pub fn tables(&self) -> BTreeMap<String, Vec<u8>> {
        let folder = self.path("results/tiny/paper");
        names(&folder)
            .into_iter()
            .map(|name| {
                let content = fs::read(folder.join(&name)).unwrap();
                (name, content)
            })
            .collect()
    }
}

impl Ran {
    fn of(output: &Output, arguments: &[&str]) -> Self {
        let ran = Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        };
        assert!(
            !ran.err.contains("panicked") && !ran.out.contains("panicked"),
            "{arguments:?} panics: {}{}",
            ran.out,
            ran.err
        );
        ran
    }

    /// The same, if the exit code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// The same, if its error holds all of `parts`.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "no '{part}' in: {}", self.err);
        }
        self
    }

    /// The same, if its output holds all of `parts`.
    #[track_caller]
    pub fn shows(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part), "no '{part}' in: {}", self.out);
        }
        self
    }
}

/// Names in a folder, sorted; none where there is no folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Numbers of stages by kind in a state.
pub fn count(plan: &[Planned], state: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for stage in plan.iter().filter(|s| s.state == state) {
        *counts.entry(stage.kind.clone()).or_default() += 1;
    }
    counts
}

/// `[("split", 2)]` as [`count`] gives it.
pub fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected
        .iter()
        .map(|(k, n)| ((*k).to_owned(), *n))
        .collect()
}

pub fn keys(plan: &[Planned]) -> BTreeSet<&str> {
    plan.iter().map(|s| s.key.as_str()).collect()
}

/// Two phantom data sets, two rows, two label ratios: 29 stages, a second or two.
pub fn tiny() -> String {
    format!("{TINY}{SUP}{AMLP}")
}

/// The tiny study without rows.
pub const TINY: &str = r#"name = "tiny"
seeds = [1]

[data.hecktor]
layout = "hecktor2020"
phantom = { kind = "hecktor2020", cases = 8, scale = 0.2 }

[data.brats2018]
layout = "brats2018"
phantom = { kind = "brats2018", cases = 8, scale = 0.2 }

[prepare]
crop.size = [32, 32]

[slices]
per_case = 4

[backbone]
width = 2
depth = 2

[amlp]
patch = 8

[pretrain]
epochs = 1
batch = 8

[finetune]
epochs = 2
batch = 8
optimiser = { lr = 1e-2 }

[[study]]
table = "T"
title = "Tiny"
data = ["hecktor/CT", "brats2018/T2"]
labels = [50, 100]
metrics = ["DSC", "HD95"]
"#;

pub const SUP: &str = r#"
[[study.variant]]
name = "Sup"
pretext = "none"
"#;

pub const AMLP: &str = r#"
[[study.variant]]
name = "AMLP"
"#;
