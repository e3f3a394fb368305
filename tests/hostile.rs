//! Disks that are full or read-only, files that vanish, clocks that jump: one clear line, nothing
//! lost, and afterwards the same command ends with the same tables.

#[allow(dead_code)]
#[path = "cli/project.rs"]
mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use project::{Project, Ran, count, counts, names, tiny};

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    /// A file system in memory of so many bytes on the folder; `None`, with the reason printed,
    /// where this process may not mount.
    fn memory(at: PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={bytes}");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &at).then(|| Self(at))
    }

    /// The folder once more on itself, read-only.
    fn read_only(at: PathBuf) -> Option<Self> {
        let from = at.to_str().unwrap().to_owned();
        if !mount(&["--bind", &from], &at) {
            return None;
        }
        let mounted = Self(at);
        mount(&["-o", "remount,ro,bind"], &mounted.0).then_some(mounted)
    }

    fn grow(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        assert!(mount(&["-o", &options], &self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    match Command::new("mount").args(arguments).arg(at).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!(
                "skipped: cannot mount: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            false
        }
        Err(error) => {
            println!("skipped: cannot mount: {error}");
            false
        }
    }
}

/// How often the errors of a command say `word`.
fn times(ran: &Ran, word: &str) -> usize {
    ran.err.matches(word).count()
}

#[test]
fn a_full_disk_is_said_once_and_nothing_is_lost() {
    let quiet = Project::done();
    let project = Project::tiny();
    let run = ["run", "tiny.toml"];
    // The whole takes five megabytes. First there is no room for the run's own folder.
    let Some(disk) = Mount::memory(project.path(".amlp"), 16 << 10) else {
        return;
    };
    let ran = project.run(&run).expect(1);
    assert_eq!(times(&ran, "no space left on the device"), 1, "{}", ran.err);
    assert_eq!(
        ran.err.lines().filter(|l| l.starts_with("error")).count(),
        1
    );
    // Then for some stages, not for all.
    let mut cached = 0;
    for size in [600 << 10, 3 << 20, 4 << 20] {
        disk.grow(size);
        let ran = project.run(&run).expect(3);
        assert_eq!(times(&ran, "the disk is full"), 1, "{}", ran.err);
        assert_eq!(times(&ran, "free some space"), 1, "{}", ran.err);
        assert_eq!(times(&ran, "the log of the run"), 0, "{}", ran.err);
        let now = project
            .plan(&["tiny.toml"])
            .iter()
            .filter(|stage| stage.state == "cached")
            .count();
        assert!(now >= cached, "what is done stays done");
        cached = now;
        project.run(&["cache", "verify"]).expect(0);
    }
    assert!(cached > 0);
    disk.grow(64 << 20);
    project.run(&run).expect(0);
    assert_eq!(project.tables(), quiet.tables());
    assert!(!project.tables().is_empty());
    project.run(&["cache", "verify"]).expect(0);
    assert!(names(&project.path(".amlp/tmp")).is_empty());
    assert!(names(&project.path(".amlp/failed")).is_empty());
}

#[test]
fn a_read_only_store_can_be_read() {
    let project = Project::done();
    let tables = project.tables();
    fs::remove_dir_all(project.path("results")).unwrap();
    let records = project.records();
    let edit = ["run", "tiny.toml", "--set", "finetune.epochs=3"];
    {
        let Some(_locked) = Mount::read_only(project.path(".amlp")) else {
            return;
        };
        project.run(&["plan", "tiny.toml"]).expect(0);
        project
            .run(&["why", "tiny.toml", "T", "AMLP"])
            .expect(0)
            .shows(&["trained on the labels"]);
        let ran = project.run(&["table", "tiny.toml"]).expect(0);
        assert!(ran.err.is_empty(), "{}", ran.err);
        assert_eq!(project.tables(), tables);
        // A run that has nothing to do needs nothing to write.
        project.run(&["run", "tiny.toml"]).expect(0);
        project.run(&["cache", "verify"]).expect(0);
        project.run(&["cache", "ls"]).expect(0);
        project
            .run(&["cache", "export", "tiny.toml", "-o", "t.amlp"])
            .expect(0);
        project.run(&["cache", "gc", "--older-than", "0"]).expect(0);
        let ran = project.run(&edit).expect(1);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        ran.says(&["the store cannot be written", ".amlp"]);
    }
    assert_eq!(project.records(), records);
    project.run(&edit).expect(0);
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.tables(), tables);
}

#[test]
fn results_that_cannot_be_written_cost_no_stage() {
    let quiet = Project::done();
    let project = Project::tiny();
    fs::create_dir(project.path("results")).unwrap();
    {
        let Some(_locked) = Mount::read_only(project.path("results")) else {
            return;
        };
        let ran = project.run(&["run", "tiny.toml", "-q"]).expect(1);
        assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
        ran.says(&["cannot write", "results/tiny", "amlp-run table"]);
    }
    let runs = project.runs();
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.runs(), runs, "all stages were done");
    assert_eq!(project.tables(), quiet.tables());
}

#[test]
fn a_store_that_is_a_file_is_refused() {
    let project = Project::tiny();
    project.write("store", "not a folder");
    for verb in [
        &["run", "tiny.toml"][..],
        &["plan", "tiny.toml"],
        &["cache", "ls"],
    ] {
        let ran = project
            .run(&[verb, &["--store", "store"]].concat())
            .expect(2);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        ran.says(&["the store '", "store' is not a folder"]);
    }
    assert_eq!(fs::read(project.path("store")).unwrap(), b"not a folder");
}

/// A study on patients in files: `tiny` with its HECKTOR phantoms as a data set on disk.
fn on_disk(cases: &str) -> Project {
    let project = Project::empty();
    project
        .run(&[
            "phantom",
            "hecktor2020",
            "--cases",
            cases,
            "--scale",
            "0.4",
            "--out",
            "data/hecktor",
        ])
        .expect(0);
    let text = tiny()
        .lines()
        .map(|line| match line {
            l if l.starts_with("phantom = { kind = \"hecktor2020\"") => "root = \"data/hecktor\"",
            l => l,
        })
        .collect::<Vec<_>>()
        .join("\n")
        .replace(
            "data = [\"hecktor/CT\", \"brats2018/T2\"]",
            "data = [\"hecktor/CT\"]",
        );
    project.write("tiny.toml", &text);
    project
}

/// The last image below a folder, by name.
fn last_image(folder: &Path) -> PathBuf {
    let mut images = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&folder) {
            let path = folder.join(&name);
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with("_ct.nii.gz") {
                images.push(path);
            }
        }
    }
    images.sort();
    images.pop().unwrap()
}

#[test]
fn a_data_file_that_vanishes_is_named_and_comes_back() {
    let quiet = on_disk("12");
    quiet.run(&["run", "tiny.toml", "-q"]).expect(0);

    let project = on_disk("12");
    let image = last_image(&project.path("data/hecktor"));
    let away = project.path("away.nii.gz");
    let mut runner = project
        .command(&["run", "tiny.toml", "-q", "--jobs", "1"])
        .env("RAYON_NUM_THREADS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The cases are prepared in order; the last one goes as soon as they are listed.
    while names(&project.path(".amlp/store/index")).is_empty() {
        assert!(runner.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_micros(200));
    }
    fs::rename(&image, &away).unwrap();
    let output = runner.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    let name = image.file_name().unwrap().to_str().unwrap();
    assert!(
        said.contains("failed: prepare") && said.contains(name),
        "{said}"
    );

    fs::rename(&away, &image).unwrap();
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.tables(), quiet.tables());
    assert!(names(&project.path(".amlp/failed")).is_empty());
}

#[test]
fn files_from_the_future_and_the_past_change_nothing() {
    let project = Project::done();
    let tables = project.tables();
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = SystemTime::now();
    // As after a clock that was wrong and was set right, or the other way round.
    for (i, stage) in project.plan(&["tiny.toml"]).iter().enumerate() {
        let time = [now - year, now + year][i % 2];
        let folder = project.artifact(stage);
        for path in [folder.clone(), folder.join("stage.json")] {
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
    }
    let again = project.run(&["run", "tiny.toml"]).expect(0);
    assert_eq!(project.tables(), tables);
    assert!(again.err.contains("29 cached"), "{}", again.err);
    project.run(&["cache", "verify"]).expect(0);
    project
        .run(&["run", "tiny.toml", "-q", "--set", "finetune.epochs=3"])
        .expect(0);
    // Tables cite the edited study now; of the rest only what seems new stays.
    project
        .run(&["cache", "gc", "--older-than", "1", "--delete"])
        .expect(0);
    project.run(&["run", "tiny.toml", "-q"]).expect(0);
    assert_eq!(project.tables(), tables);
    assert_eq!(count(&project.plan(&["tiny.toml"]), "missing"), counts(&[]));
}
