//! `cache`: counts, damage, garbage, and tables on the move.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::project::{Project, Ran, count, counts, names};

/// What an edit of the fine-tuning makes anew, and leaves without a table.
const TUNED: [(&str, usize); 3] = [("finetune", 8), ("evaluate", 8), ("tabulate", 1)];

const EDIT: [&str; 2] = ["--set", "finetune.epochs=3"];

fn kinds(list: &Value) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for item in list.as_array().unwrap() {
        let kind = item["kind"].as_str().unwrap().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn ls_counts_by_kind_and_lists_a_kind() {
    let project = Project::done();
    let all = project.json(&["cache", "ls", "--format", "json"]);
    assert_eq!(all["artifacts"], 29);
    let sum: u64 = all["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(all["bytes"], sum);
    project
        .run(&["cache", "ls"])
        .expect(0)
        .shows(&["finetune         8", "all             29"]);
    let list = project.json(&["cache", "ls", "--kind", "finetune", "--format", "json"]);
    assert_eq!(kinds(&list["artifacts"]), counts(&[("finetune", 8)]));
    let plan = project.plan(&["tiny.toml"]);
    let first = &list["artifacts"][0];
    let stage = plan.iter().find(|s| s.key == first["key"]).unwrap();
    assert_eq!(first["label"], stage.label.as_str());
    assert!(first["bytes"].as_u64().unwrap() > 0 && first["device"] == "cpu");
    project
        .run(&["cache", "ls", "-k", "finetune"])
        .expect(0)
        .shows(&[&stage.key[..8], &stage.label]);
    project
        .run(&["cache", "ls", "-k", "weights"])
        .expect(2)
        .says(&["kinds: phantom, index"]);
}

#[test]
fn verify_finds_damage_and_the_next_run_makes_it_anew() {
    let project = Project::done();
    let tables = project.tables();
    project
        .run(&["cache", "verify"])
        .expect(0)
        .shows(&["29 artifacts", "all whole"]);
    let plan = project.plan(&["tiny.toml"]);
    let of = |kind: &str| plan.iter().find(|s| s.kind == kind).unwrap();
    let (model, scores) = (of("finetune"), of("evaluate"));
    // One bit in the weights, one in the label that a record shows.
    let weights = names(&project.artifact(model))
        .into_iter()
        .find(|name| name.ends_with(".safetensors"))
        .unwrap();
    flip(&project.artifact(model).join(weights), 500);
    let record = project.artifact(scores).join("stage.json");
    let text = fs::read_to_string(&record).unwrap();
    flip(
        &record,
        text.find("evaluate AMLP")
            .or(text.find("evaluate Sup"))
            .unwrap(),
    );
    let found = project.run(&["cache", "verify"]).expect(3);
    assert_eq!(found.out.lines().count(), 3, "{}", found.out);
    found.shows(&[
        &format!("finetune {} is damaged", &model.key[..8]),
        &format!("evaluate {} is damaged", &scores.key[..8]),
        "another digest than recorded",
        "2 damaged",
    ]);
    assert_eq!(
        count(&project.plan(&["tiny.toml"]), "missing"),
        counts(&[("finetune", 1), ("evaluate", 1)])
    );
    let again = project.json(&["cache", "verify", "--format", "json"]);
    assert_eq!(
        (&again["checked"], &again["damaged"]),
        (&json!(27), &json!([]))
    );
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.tables(), tables);
    project.run(&["cache", "verify"]).expect(0);
    // What was set aside goes on demand only.
    project
        .run(&["cache", "gc", "--older-than", "0", "--delete"])
        .expect(0);
    assert_eq!(names(&project.path(".amlp/damaged")).len(), 4);
    project
        .run(&["cache", "gc", "--damaged", "--delete"])
        .expect(0);
    assert!(names(&project.path(".amlp/damaged")).is_empty());
}

#[test]
fn gc_shows_first_and_removes_only_what_no_table_cites() {
    let project = Project::done();
    project
        .run(&["run", "tiny.toml", "-q", EDIT[0], EDIT[1]])
        .expect(0);
    let (records, tables) = (project.records(), project.tables());
    // What was made today stays.
    project
        .run(&["cache", "gc"])
        .expect(0)
        .shows(&["nothing to remove"]);
    let found = project.json(&["cache", "gc", "--older-than", "0", "--format", "json"]);
    assert_eq!(kinds(&found["garbage"]), counts(&TUNED));
    assert_eq!(found["deleted"], false);
    let shown = project
        .run(&["cache", "gc", "--older-than", "0", "--verbose"])
        .expect(0)
        .shows(&[
            "would remove 17 artifacts",
            "--delete",
            "finetune         8",
        ]);
    for item in found["garbage"].as_array().unwrap() {
        assert!(shown.out.contains(item["label"].as_str().unwrap()));
    }
    assert_eq!(project.records(), records, "showing removes nothing");
    // A manifest can be kept as a whole, with all its profiles.
    project
        .run(&["cache", "gc", "--older-than", "0", "--keep", "tiny.toml"])
        .expect(0)
        .shows(&["nothing to remove"]);
    project
        .run(&["cache", "gc", "--older-than", "0", "--delete"])
        .expect(0)
        .shows(&["removed 17 artifacts"]);
    assert_eq!(project.records().len(), 29);
    let plan = project.plan(&["tiny.toml", EDIT[0], EDIT[1]]);
    assert!(plan.iter().all(|stage| stage.state == "cached"));
    project.run(&["cache", "verify"]).expect(0);
    project
        .run(&["table", "tiny.toml", EDIT[0], EDIT[1]])
        .expect(0);
    assert_eq!(project.tables(), tables);
    assert!(names(&project.path(".amlp/tmp")).is_empty());
}

#[test]
fn tables_outside_the_project_are_found_by_the_register() {
    let project = Project::tiny();
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("tables");
    let to = folder.to_str().unwrap();
    project
        .run(&["run", "tiny.toml", "-q", "--results", to])
        .expect(0);
    let garbage = |project: &Project| {
        let found = project.json(&["cache", "gc", "--older-than", "0", "--format", "json"]);
        found["garbage"].as_array().unwrap().len()
    };
    assert_eq!(garbage(&project), 0);
    fs::rename(&folder, elsewhere.path().join("moved")).unwrap();
    assert_eq!(garbage(&project), 29, "a root that is gone is none");
    fs::rename(elsewhere.path().join("moved"), &folder).unwrap();
    assert_eq!(
        garbage(&project),
        0,
        "nothing was deleted, so it is still one"
    );
    fs::remove_dir_all(&folder).unwrap();
    project
        .run(&["cache", "gc", "--older-than", "0", "--delete"])
        .expect(0)
        .shows(&["removed 29 artifacts"]);
    assert!(project.records().is_empty());
    assert!(names(&project.path(".amlp/roots")).is_empty());
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.records().len(), 29);
}

#[test]
fn gc_refuses_where_it_cannot_know() {
    let project = Project::empty();
    project.write(
        "real.toml",
        &super::project::tiny().replace("phantom = ", "#"),
    );
    project
        .run(&["cache", "gc", "--keep", "real.toml"])
        .expect(4)
        .says(&["--data NAME=DIR", "--profile NAME"]);
    project
        .run(&["cache", "gc", "--older-than", "-1"])
        .expect(2);
    project
        .run(&["cache", "gc", "--keep", "nothing.toml"])
        .expect(2);
}

#[test]
fn a_table_moves_with_its_lineage() {
    let project = Project::done();
    let tables = project.tables();
    let export = |name: &str, more: &[&str]| {
        let mut all = vec!["cache", "export", "tiny.toml", "-o", name];
        all.extend(more);
        project.run(&all).expect(0);
        fs::read(project.path(name)).unwrap()
    };
    let file = export("t.amlp", &["--table", "T"]);
    let again = export("again.amlp", &[]);
    assert!(again == file, "the same store gives the same bytes");
    project
        .run(&["cache", "export", "tiny.toml", "-o", "x", "--table", "V"])
        .expect(2)
        .says(&["no table 'V'"]);

    // Verified with nothing but the file.
    let alone = Project::empty();
    fs::write(alone.path("t.amlp"), &file).unwrap();
    alone
        .run(&["cache", "verify", "--file", "t.amlp"])
        .expect(0)
        .shows(&["table T", "the same bytes", "29 records", "all whole"]);
    assert_eq!(
        names(&alone.path("")),
        ["t.amlp"],
        "verifying leaves nothing"
    );

    // Imported where nothing was ever run.
    alone.write("tiny.toml", &super::project::tiny());
    alone
        .run(&["cache", "import", "t.amlp", "--results", "results"])
        .expect(0)
        .shows(&["9 artifacts and 20 records imported"]);
    assert_eq!(alone.tables(), tables);
    let plan = alone.plan(&["tiny.toml"]);
    assert_eq!(
        count(&plan, "cached"),
        counts(&[("evaluate", 8), ("tabulate", 1)])
    );
    alone.run(&["cache", "verify"]).expect(0);
    // The table can be shown, and every cell explained down to the patients.
    alone.run(&["table", "tiny.toml"]).expect(0);
    assert_eq!(alone.tables(), tables);
    let why = alone.json(&["why", "tiny.toml", "T", "AMLP", "--format", "json"]);
    let stages = why["runs"][0]["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 8);
    for stage in stages {
        assert!(stage["provenance"]["started"].is_string(), "{stage}");
    }
    // Also of a stage that no manifest here plans.
    let pretrain = plan.iter().find(|s| s.kind == "pretrain").unwrap();
    alone.write(
        "none.toml",
        &super::project::tiny().replace("seeds = [1]", "seeds = [2]"),
    );
    alone
        .run(&["why", "none.toml", &pretrain.key[..10]])
        .expect(0)
        .shows(&[&pretrain.key, "only its record was imported", "made from"]);
    // Again: all of it is there. And it can be exported again, the same.
    alone
        .run(&["cache", "import", "t.amlp"])
        .expect(0)
        .shows(&["0 artifacts and 0 records imported, 9 artifacts were there"]);
    alone
        .run(&["cache", "export", "tiny.toml", "-o", "back.amlp"])
        .expect(0);
    assert!(fs::read(alone.path("back.amlp")).unwrap() == file);
    alone
        .run(&[
            "cache",
            "export",
            "tiny.toml",
            "-o",
            "m.amlp",
            "--with-models",
        ])
        .expect(3)
        .says(&["missing"]);
    assert!(!alone.path("m.amlp").exists());
    // What the tables cite stays.
    alone
        .run(&["cache", "gc", "--older-than", "0", "--delete"])
        .expect(0);
    assert_eq!(alone.records().len(), 9);

    // With everything nothing is left to run.
    export("all.amlp", &["--all"]);
    let whole = Project::tiny();
    fs::copy(project.path("all.amlp"), whole.path("all.amlp")).unwrap();
    whole.run(&["cache", "import", "all.amlp"]).expect(0);
    assert!(
        whole
            .plan(&["tiny.toml"])
            .iter()
            .all(|s| s.state == "cached")
    );
    whole.run(&["cache", "verify"]).expect(0);
    let models = export("models.amlp", &["--with-models"]);
    assert!(models.len() > file.len());
}

#[test]
fn a_table_with_holes_is_not_exported() {
    let project = Project::tiny();
    project
        .run(&["cache", "export", "tiny.toml", "-o", "t.amlp"])
        .expect(3)
        .says(&["table T is not complete", "amlp-run run"]);
    assert!(!project.path("t.amlp").exists());
}

/// A file of tables in parts, to be changed and put together again.
#[derive(Clone)]
struct Forgery {
    list: Value,
    entries: Vec<(String, Vec<u8>)>,
}

impl Forgery {
    fn of(file: &[u8]) -> Self {
        let mut archive = tar::Archive::new(file);
        let mut entries: Vec<(String, Vec<u8>)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().to_str().unwrap().to_owned();
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
                (name, bytes)
            })
            .collect();
        let mut list: Value = serde_json::from_slice(&entries.remove(0).1).unwrap();
        list.as_object_mut().unwrap().remove("blake3");
        Self { list, entries }
    }

    /// The list that fits the entries.
    fn listed(mut self) -> Self {
        self.list["entries"] = self
            .entries
            .iter()
            .map(|(name, bytes)| {
                json!({
                    "path": name,
                    "size": bytes.len(),
                    "blake3": blake3::hash(bytes).to_hex().as_str(),
                })
            })
            .collect();
        self
    }

    fn entry(&mut self, beginning: &str) -> &mut Vec<u8> {
        let found = self
            .entries
            .iter_mut()
            .find(|(n, _)| n.starts_with(beginning));
        &mut found.unwrap().1
    }

    /// Changes a record and seals it again.
    fn change_record(&mut self, beginning: &str, change: impl FnOnce(&mut Value)) {
        let bytes = self.entry(beginning);
        let mut record: Value = serde_json::from_slice(bytes).unwrap();
        record.as_object_mut().unwrap().remove("blake3");
        change(&mut record);
        *bytes = sealed(&record);
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_of(tar::EntryType::Regular)
    }

    /// The file with the first entry after the list of this type.
    fn bytes_of(&self, first: tar::EntryType) -> Vec<u8> {
        let mut file = Vec::new();
        append(
            &mut file,
            "MANIFEST.json",
            &sealed(&self.list),
            tar::EntryType::Regular,
        );
        for (i, (name, bytes)) in self.entries.iter().enumerate() {
            let kind = if i == 0 {
                first
            } else {
                tar::EntryType::Regular
            };
            append(&mut file, name, bytes, kind);
        }
        file.extend([0; 1024]);
        file
    }
}

fn sealed(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_string(value).unwrap();
    text.pop();
    let digest = blake3::hash(text.as_bytes()).to_hex();
    format!("{text},\"blake3\":\"{digest}\"}}").into_bytes()
}

fn append(file: &mut Vec<u8>, name: &str, bytes: &[u8], kind: tar::EntryType) {
    file.extend(header(name, bytes.len() as u64, kind).as_bytes());
    file.extend(bytes);
    file.resize(file.len().next_multiple_of(512), 0);
}

fn header(name: &str, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    // Written by hand: the library refuses some of these names.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// Imports and verifies a file that must be refused; returns the one line that says why.
#[track_caller]
fn refused(name: &str, file: &[u8]) -> String {
    let project = Project::empty();
    fs::write(project.path("bad.amlp"), file).unwrap();
    let import = [
        "cache",
        "import",
        "bad.amlp",
        "--store",
        "s",
        "--results",
        "r",
    ];
    let said = |ran: Ran| {
        assert_eq!(ran.err.lines().count(), 1, "{name}: {}", ran.err);
        assert!(ran.out.is_empty(), "{name}: {}", ran.out);
        ran.err
    };
    let verify = said(
        project
            .run(&["cache", "verify", "--file", "bad.amlp"])
            .expect(3),
    );
    let line = said(project.run(&import).expect(4));
    assert_eq!(verify, line, "{name}");
    for folder in ["s/store", "s/lineage", "s/tmp", "s/roots", "r"] {
        assert!(
            names(&project.path(folder)).is_empty(),
            "{name} leaves {folder}"
        );
    }
    line
}

#[test]
fn hostile_files_are_refused_and_leave_nothing() {
    let project = Project::done();
    project
        .run(&["cache", "export", "tiny.toml", "-o", "t.amlp"])
        .expect(0);
    let good = fs::read(project.path("t.amlp")).unwrap();
    let whole = Forgery::of(&good);
    // The forger's tools are right: what they put together unchanged is accepted.
    fs::write(project.path("same.amlp"), whole.clone().listed().bytes()).unwrap();
    project
        .run(&["cache", "verify", "--file", "same.amlp"])
        .expect(0);

    for length in [0, 1, 511, 512, 600, 4096, good.len() / 2, good.len() - 1] {
        refused("truncated", &good[..length]);
    }
    refused("junk behind", &[&good[..], &[0; 512]].concat());
    refused("no tar", b"once upon a time, in a store far away");
    let mut listed_twice = whole.clone();
    let again = listed_twice.entries[3].clone();
    listed_twice.entries.insert(4, again);
    assert!(refused("twice", &listed_twice.listed().bytes()).contains("twice"));
    for name in [
        "../../evil",
        "/tmp/evil",
        "tables/../../evil/x",
        "artifacts/evaluate/../../evil",
        "tables/a/b/../../../../evil",
        "MANIFEST.json",
    ] {
        let mut forged = whole.clone();
        forged
            .entries
            .insert(0, (name.to_owned(), b"evil".to_vec()));
        let line = refused(name, &forged.listed().bytes());
        assert!(line.contains("MANIFEST.json names"), "{line}");
    }
    // In the header only: the list is what counts.
    let mut renamed = whole.clone().listed();
    renamed.entries[0].0 = "../../evil".to_owned();
    assert!(refused("renamed", &renamed.bytes()).contains("header"));
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Directory,
        tar::EntryType::Char,
        tar::EntryType::GNULongName,
        tar::EntryType::XHeader,
        tar::EntryType::GNUSparse,
    ] {
        refused("no plain file", &whole.clone().listed().bytes_of(kind));
    }
    // Sizes that are claimed and not there.
    let mut huge = header("MANIFEST.json", 8 << 30, tar::EntryType::Regular)
        .as_bytes()
        .to_vec();
    huge.extend([b' '; 4096]);
    assert!(refused("huge list", &huge).contains("longer than"));
    for size in [u64::MAX, 1 << 62, 1 << 33, 0] {
        let mut forged = whole.clone().listed();
        forged.list["entries"][0]["size"] = size.into();
        refused("huge entry", &forged.bytes());
    }

    // Digests that fit, of things that do not.
    let forge = |change: &dyn Fn(&mut Forgery)| {
        let mut forged = whole.clone();
        change(&mut forged);
        forged.listed().bytes()
    };
    let scores = "artifacts/evaluate/";
    let line = refused("scores", &forge(&|f| flip_digit(f.entry(scores))));
    assert!(line.contains("not those of its record"), "{line}");
    let line = refused(
        "table",
        &forge(&|f| f.entry("tables/tiny/paper/table_T.csv").push(b'\n')),
    );
    assert!(line.contains("not what table T is"), "{line}");
    let line = refused(
        "scores and record",
        &forge(&|f| {
            let name = f
                .entries
                .iter()
                .find(|(n, _)| n.starts_with(scores))
                .unwrap()
                .0
                .clone();
            let key = name.split('/').nth(2).unwrap().to_owned();
            flip_digit(f.entry(scores));
            let digest = blake3::hash(f.entry(scores)).to_hex().to_string();
            f.change_record(&format!("records/evaluate/{key}"), |record| {
                record["files"][0]["blake3"] = digest.into();
            });
        }),
    );
    assert!(line.contains("its scores give another"), "{line}");
    let line = refused(
        "pre-image",
        &forge(&|f| {
            f.change_record("records/split/", |r| {
                r["preimage"]["spec"]["seed"] = 77.into()
            });
        }),
    );
    assert!(line.contains("does not hash to its key"), "{line}");
    let line = refused(
        "inputs",
        &forge(&|f| {
            f.change_record("records/split/", |r| r["inputs"] = json!([]));
        }),
    );
    assert!(line.contains("inputs"), "{line}");
    let line = refused(
        "no patients",
        &forge(&|f| {
            f.entries
                .retain(|(name, _)| !name.starts_with("records/phantom/"));
        }),
    );
    assert!(line.contains("no record"), "{line}");
    let line = refused(
        "no scores",
        &forge(&|f| {
            f.entries.retain(|(name, _)| !name.starts_with(scores));
        }),
    );
    assert!(line.contains("not there"), "{line}");
    let line = refused(
        "table that is shown",
        &forge(&|f| {
            let name = table_json(f);
            flip_digit(f.entry(&name));
            let digest = blake3::hash(f.entry(&name)).to_hex().to_string();
            f.change_record("records/tabulate/", |record| {
                let files = record["files"].as_array_mut().unwrap();
                let file = files.iter_mut().find(|f| f["path"] == "table.json");
                file.unwrap()["blake3"] = digest.into();
            });
        }),
    );
    assert!(line.contains("another table.json"), "{line}");
    let line = refused("ledger", &forge(&|f| f.entry("ledger.csv").push(b'\n')));
    assert!(line.contains("published numbers"), "{line}");
    let line = refused("record", &forge(&|f| flip_digit(f.entry("records/index/"))));
    assert!(line.contains("record of index"), "{line}");

    // A dense sample of flipped bytes: headers, padding, contents.
    for at in (0..good.len()).step_by(1009) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(project.path("flipped.amlp"), changed).unwrap();
        project
            .run(&["cache", "verify", "--file", "flipped.amlp"])
            .expect(3);
    }
}

/// Name of the entry of the table in numbers.
fn table_json(forgery: &Forgery) -> String {
    let mut names = forgery.entries.iter().map(|(name, _)| name);
    names
        .find(|name| name.ends_with("table.json"))
        .unwrap()
        .clone()
}

/// Changes a digit well inside a number of a JSON file.
fn flip_digit(bytes: &mut [u8]) {
    let at = (40..bytes.len() - 2)
        .find(|&i| bytes[i - 2..=i + 2].iter().all(u8::is_ascii_digit))
        .unwrap();
    bytes[at] = if bytes[at] == b'5' { b'6' } else { b'5' };
}
