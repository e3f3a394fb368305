//! A whole study whose runner and workers are killed at random moments loses nothing.
//!
//! Five kills by default; `AMLP_KILLS=100 cargo test --release --test kill -- --nocapture` for more,
//! `AMLP_KILL_SEED` for other moments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use amlp_run::plan::StageKind;
use amlp_run::random::{hash, uniform};
use amlp_run::store::{FileRecord, Store};

#[path = "smoke/project.rs"]
mod project;

/// Stages of the smoke study.
const STAGES: usize = 375;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

/// The command, in a process group of its own.
fn start(folder: &Path, checkpoint_minutes: &str) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    project::smoke(folder)
        .args(["--checkpoint-minutes", checkpoint_minutes])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // State and parent follow the name, which is in parentheses.
        let after = stat.rsplit(')').next().unwrap_or_default();
        if after.split_ascii_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push(pid);
        }
    }
    found
}

fn signal(group: u32, signal: i32) {
    // SAFETY: a signal to a process group that this test, or what it started, has made.
    unsafe { libc::kill(-(group as i32), signal) };
}

/// Kills the runner and its workers, in this order or the other one.
fn kill_all(runner: &mut std::process::Child, workers_first: bool) -> usize {
    // It starts no further worker while it is looked at.
    signal(runner.id(), libc::SIGSTOP);
    let workers = children(runner.id());
    if !workers_first {
        signal(runner.id(), libc::SIGKILL);
    }
    for &worker in &workers {
        signal(worker, libc::SIGKILL);
    }
    signal(runner.id(), libc::SIGKILL);
    runner.wait().unwrap();
    workers.len()
}

/// Number of artifacts, half-written ones not counted.
fn published(store: &Path) -> usize {
    let kinds = fs::read_dir(store.join("store")).into_iter().flatten();
    kinds
        .flatten()
        .filter_map(|kind| fs::read_dir(kind.path()).ok())
        .map(|keys| keys.flatten().count())
        .sum()
}

/// Files with their digests of every artifact, and when it was started.
type Artifacts = BTreeMap<PathBuf, (Vec<FileRecord>, String)>;

fn artifacts(store: &Store) -> Artifacts {
    let mut found = Artifacts::new();
    for kind in StageKind::ALL {
        for record in store.records(kind).unwrap() {
            let dir = store.artifact_dir(kind, &record.key);
            found.insert(dir, (record.files, record.provenance.started));
        }
    }
    found
}

#[test]
fn a_study_that_is_killed_again_and_again_ends_with_the_same_tables() {
    let kills = number("AMLP_KILLS", 5);
    let seed = number("AMLP_KILL_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    project::copy(folder.path());
    let store_dir = folder.path().join(".amlp");
    let store = Store::open(&store_dir).unwrap();
    let draw = |kill: u64, what: u64| uniform(hash(&[seed, kill, what]));
    // After so many artifacts, and a moment: spread over the run whatever the machine's speed.
    let mut after: Vec<usize> = (0..kills)
        .map(|k| (draw(k, 0) * (STAGES as f64 - 5.0)) as usize)
        .collect();
    after.sort_unstable();
    let clock = Instant::now();
    let mut known = Artifacts::new();
    let mut workers = 0;
    for (k, &after) in (0..).zip(&after) {
        // Half of the runs write checkpoints all the time, so that some kills hit that.
        let minutes = if draw(k, 1) < 0.5 { "0.001" } else { "0.01" };
        let mut runner = start(folder.path(), minutes);
        while published(&store_dir) < after {
            let ended = runner.try_wait().unwrap();
            assert!(ended.is_none(), "the run ended by itself: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let moment = Duration::from_secs_f64(0.05 + 0.95 * draw(k, 2));
        std::thread::sleep(moment);
        let killed = kill_all(&mut runner, draw(k, 3) < 0.5);
        workers += killed;
        println!(
            "kill {}: after {} artifacts and {moment:.2?}, with {killed} workers",
            k + 1,
            published(&store_dir)
        );
        // What was published before is there still, and was not made again.
        let now = artifacts(&store);
        for (path, artifact) in &known {
            assert_eq!(now.get(path), Some(artifact), "{}", path.display());
        }
        known = now;
    }
    let status = project::smoke(folder.path()).status().unwrap();
    assert!(status.success());
    println!(
        "{kills} kills with {workers} workers; all in {:.0?}",
        clock.elapsed()
    );
    if kills > 3 {
        assert!(workers > 0, "no worker was ever killed");
    }

    let last = artifacts(&store);
    assert_eq!(last.len(), STAGES);
    for (path, artifact) in &known {
        assert_eq!(last.get(path), Some(artifact), "{}", path.display());
    }
    let verification = store.verify(true).unwrap();
    assert_eq!(verification.checked, STAGES);
    assert!(verification.damaged.is_empty(), "{verification:?}");
    assert!(!store_dir.join("damaged").exists());
    assert!(store.failures().unwrap().is_empty());
    if project::is_exact() {
        project::compare_tables(folder.path());
    } else {
        let quiet = tempfile::tempdir().unwrap();
        project::copy(quiet.path());
        assert!(project::smoke(quiet.path()).status().unwrap().success());
        let table =
            |of: &Path, name: &str| fs::read(of.join("results/ablation/smoke").join(name)).unwrap();
        for name in project::TABLES {
            assert!(
                table(folder.path(), name) == table(quiet.path(), name),
                "{name} differs from that of a quiet run"
            );
        }
    }
}
