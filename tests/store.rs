//! The store: atomic publication, claims, failures, damage, and the time that many look-ups take.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amlp_run::plan::{Input, Key, Plan, Stage, StageKind};
use amlp_run::store::{
    Artifact, Attempt, Begin, FailureKind, Item, Provenance, State, Store, StoreError,
};
use serde_json::json;

fn stage(name: &str, inputs: &[&Stage]) -> Stage {
    let inputs: Vec<Input> = inputs
        .iter()
        .map(|input| Input {
            role: "input".to_owned(),
            key: input.key.clone(),
        })
        .collect();
    let preimage = json!({"kind": "split", "name": name, "rate": 0.1, "inputs": inputs});
    Stage {
        key: Key::of(&preimage),
        kind: StageKind::Split,
        label: format!("split {name}"),
        inputs,
        spec: json!({}),
        preimage,
        context: json!(null),
    }
}

fn attempt(store: &Store, stage: &Stage) -> Attempt {
    match store.begin(stage).unwrap() {
        Begin::Attempt(attempt) => *attempt,
        other => panic!("expected an attempt, got {other:?}"),
    }
}

fn write(attempt: &Attempt, file: &str, bytes: &[u8]) {
    let path = attempt.output().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn make(store: &Store, stage: &Stage) -> Artifact {
    let attempt = attempt(store, stage);
    write(&attempt, "a.bin", b"abc");
    write(&attempt, "cases/b.bin", &[7; 1000]);
    attempt.publish(Provenance::default()).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join(".amlp")).unwrap();
    (folder, store)
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_artifact_is_published_with_its_record() {
    let (_folder, store) = store();
    let input = stage("in", &[]);
    let stage = stage("a", &[&input]);
    assert_eq!(
        store.lookup(stage.kind, &stage.key).unwrap(),
        State::Missing
    );
    assert!(
        !store.paths().root().exists(),
        "looking must not write anything"
    );
    let attempt = attempt(&store, &stage);
    write(&attempt, "b/c.bin", b"xyz");
    write(&attempt, "a.bin", b"");
    fs::write(attempt.work().join("checkpoint"), "1").unwrap();
    let output = attempt.output().to_owned();
    let artifact = attempt
        .publish(Provenance {
            host: "here".to_owned(),
            threads: 2,
            ..Provenance::default()
        })
        .unwrap();

    assert_eq!(store.lookup(stage.kind, &stage.key).unwrap(), State::Cached);
    let read = store.artifact(stage.kind, &stage.key).unwrap();
    assert_eq!(read.record, artifact.record);
    assert_eq!(read.dir, store.artifact_dir(stage.kind, &stage.key));
    let record = &read.record;
    assert_eq!(record.preimage, stage.preimage);
    assert_eq!(record.label, stage.label);
    assert_eq!(record.inputs, stage.inputs);
    assert_eq!(record.provenance.attempts, 1);
    assert_eq!(record.provenance.threads, 2);
    let files: Vec<(&str, u64)> = record
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.size))
        .collect();
    assert_eq!(files, [("a.bin", 0), ("b/c.bin", 3)]);
    assert_eq!(
        record.files[1].blake3,
        blake3::hash(b"xyz").to_hex().as_str()
    );
    assert!(!output.exists());
    assert!(!store.paths().work(&stage.key).exists());
    assert!(!store.paths().claim(&stage.key).exists());
    let tag = fs::read_to_string(store.paths().root().join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
    assert!(matches!(store.begin(&stage).unwrap(), Begin::Cached(_)));
    let records = store.records(stage.kind).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key, stage.key);
}

#[test]
fn a_claimed_stage_is_running_until_it_is_given_back() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let attempt = attempt(&store, &stage);
    match store.lookup(stage.kind, &stage.key).unwrap() {
        State::Running { holder } => assert_eq!(holder.pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.begin(&stage).unwrap(), Begin::Claimed(_)));
    write(&attempt, "half", b"1");
    let work = attempt.work();
    fs::write(work.join("checkpoint"), "1").unwrap();
    drop(attempt);
    assert_eq!(
        store.lookup(stage.kind, &stage.key).unwrap(),
        State::Missing
    );
    assert_eq!(entries(&store.paths().staging()), 0);
    assert!(work.join("checkpoint").exists(), "checkpoints outlive");
    let artifact = make(&store, &stage);
    assert_eq!(artifact.record.provenance.attempts, 2);
}

#[test]
fn a_failure_is_kept_until_success() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let log = vec!["one".to_owned(), "two".to_owned()];
    attempt(&store, &stage)
        .fail(FailureKind::Data, "no such case", log.clone())
        .unwrap();
    match store.lookup(stage.kind, &stage.key).unwrap() {
        State::Failed { failure } => {
            assert_eq!(failure.message, "no such case");
            assert_eq!(failure.failure, FailureKind::Data);
            assert_eq!(failure.log, log);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.failures().unwrap().len(), 1);
    make(&store, &stage);
    assert!(store.failures().unwrap().is_empty());
    assert_eq!(store.lookup(stage.kind, &stage.key).unwrap(), State::Cached);
}

#[test]
fn the_first_publication_is_kept() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let first = attempt(&store, &stage);
    write(&first, "who", b"first");
    // Another process that thought the claim void.
    fs::remove_file(store.paths().claim(&stage.key)).unwrap();
    let other = tempfile::tempdir_in(store.paths().root()).unwrap();
    let elsewhere = Store::open(other.path()).unwrap();
    let second = attempt(&elsewhere, &stage);
    write(&second, "who", b"second");
    let theirs = second.publish(Provenance::default()).unwrap();
    fs::create_dir_all(store.paths().kind(stage.kind)).unwrap();
    fs::rename(&theirs.dir, store.artifact_dir(stage.kind, &stage.key)).unwrap();

    let kept = first.publish(Provenance::default()).unwrap();
    assert_eq!(fs::read(kept.dir.join("who")).unwrap(), b"second");
    assert_eq!(kept.record, theirs.record);
    assert_eq!(entries(&store.paths().staging()), 0);
}

#[test]
fn damaged_artifacts_are_set_aside_and_made_again() {
    let (_folder, store) = store();
    let (a, b, c) = (stage("a", &[]), stage("b", &[]), stage("c", &[]));
    for stage in [&a, &b, &c] {
        make(&store, stage);
    }
    // A change of size shows in every look; one bit shows under its digest only.
    fs::write(store.artifact_dir(a.kind, &a.key).join("a.bin"), "abcd").unwrap();
    fs::write(store.artifact_dir(b.kind, &b.key).join("a.bin"), "abd").unwrap();
    match store.lookup(a.kind, &a.key).unwrap() {
        State::Damaged { reason } => assert!(reason.contains("a.bin has 4 bytes"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(store.artifact(a.kind, &a.key).is_err());
    assert_eq!(store.lookup(b.kind, &b.key).unwrap(), State::Cached);
    let attempt = attempt(&store, &a);
    let damage = attempt.set_aside().unwrap().clone();
    assert_eq!(
        fs::read(damage.moved_to.unwrap().join("a.bin")).unwrap(),
        b"abcd"
    );
    write(&attempt, "a.bin", b"abc");
    attempt.publish(Provenance::default()).unwrap();

    assert!(store.verify(false).unwrap().damaged.is_empty());
    let found = store.verify(true).unwrap();
    assert_eq!(found.checked, 3);
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.damaged[0].key, b.key);
    let moved_to = found.damaged[0].moved_to.as_ref().unwrap();
    assert!(moved_to.join("a.bin").exists());
    let reason = moved_to.with_extension("txt");
    assert!(fs::read_to_string(reason).unwrap().contains("digest"));
    assert_eq!(store.lookup(b.kind, &b.key).unwrap(), State::Missing);
    assert_eq!(store.lookup(c.kind, &c.key).unwrap(), State::Cached);
}

#[test]
fn a_sweep_removes_leftovers_only() {
    let (_folder, store) = store();
    let (done, open, running) = (stage("done", &[]), stage("open", &[]), stage("run", &[]));
    make(&store, &done);
    let unfinished = attempt(&store, &open);
    fs::write(unfinished.work().join("checkpoint"), "1").unwrap();
    let checkpoint = unfinished.work().join("checkpoint");
    drop(unfinished);
    let writing = attempt(&store, &running);
    assert!(store.sweep(true).unwrap().is_empty());

    let paths = store.paths();
    let dead =
        r#"{"pid": 0, "host": "HOST", "since": ""}"#.replace("HOST", &amlp_run::store::host_name());
    fs::write(paths.claim(&open.key), dead).unwrap();
    let half = paths.staging().join(format!("{}.1-1", open.key));
    fs::create_dir_all(&half).unwrap();
    fs::create_dir_all(paths.work(&done.key)).unwrap();
    let found = store.sweep(true).unwrap();
    assert_eq!(found.claims, [paths.claim(&open.key)]);
    assert_eq!(found.staging, std::slice::from_ref(&half));
    assert_eq!(found.work, [paths.work(&done.key)]);
    assert!(half.exists(), "a dry run removes nothing");
    assert_eq!(store.sweep(false).unwrap(), found);
    assert!(store.sweep(false).unwrap().is_empty());
    assert!(checkpoint.exists() && writing.output().exists());
    assert!(store.lookup(done.kind, &done.key).unwrap().is_cached());
}

#[test]
fn every_way_to_break_a_record_counts_as_damage() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let dir = make(&store, &stage).dir;
    let record = fs::read_to_string(dir.join("stage.json")).unwrap();
    let other = self::stage("other", &[]).key.to_string();
    for broken in [
        String::new(),
        record[..record.len() / 2].to_owned(),
        record.replace("cases/b.bin", "../../b.bin"),
        record.replace(stage.key.as_str(), &other),
        record.replace("\"format\":2", "\"format\":999"),
        record.replace("a.bin", "gone.bin"),
    ] {
        assert_ne!(broken, record);
        fs::write(dir.join("stage.json"), broken).unwrap();
        let state = store.lookup(stage.kind, &stage.key).unwrap();
        assert!(matches!(state, State::Damaged { .. }), "{state:?}");
    }
    fs::write(dir.join("stage.json"), [0xff, 0xfe]).unwrap();
    let state = store.lookup(stage.kind, &stage.key).unwrap();
    assert!(matches!(state, State::Damaged { .. }), "{state:?}");
    fs::remove_file(dir.join("stage.json")).unwrap();
    let state = store.lookup(stage.kind, &stage.key).unwrap();
    assert!(matches!(state, State::Damaged { .. }), "{state:?}");
    fs::write(dir.join("stage.json"), record).unwrap();
    assert!(store.lookup(stage.kind, &stage.key).unwrap().is_cached());
}

#[test]
fn every_flipped_byte_is_found() {
    let (_folder, store) = store();
    let stage = stage("a", &[&stage("in", &[])]);
    let dir = make(&store, &stage).dir;
    assert!(store.verify(true).unwrap().damaged.is_empty());
    // Of the larger file a sample: each find costs two syncs.
    for (file, step) in [("stage.json", 1), ("a.bin", 1), ("cases/b.bin", 37)] {
        let good = fs::read(dir.join(file)).unwrap();
        for at in (0..good.len()).step_by(step) {
            let mut changed = good.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(dir.join(file), &changed).unwrap();
            let found = store.verify(true).unwrap();
            assert_eq!(found.damaged.len(), 1, "{file}, byte {at}");
            assert_eq!(
                store.lookup(stage.kind, &stage.key).unwrap(),
                State::Missing
            );
            fs::rename(found.damaged[0].moved_to.as_ref().unwrap(), &dir).unwrap();
            fs::remove_dir_all(store.paths().damaged()).unwrap();
            fs::write(dir.join(file), &good).unwrap();
        }
    }
    assert!(store.verify(true).unwrap().damaged.is_empty());
    // What a record says counts in every look, not only when it is verified.
    let record = fs::read_to_string(dir.join("stage.json")).unwrap();
    fs::write(dir.join("stage.json"), record.replace("split a", "split b")).unwrap();
    let state = store.lookup(stage.kind, &stage.key).unwrap();
    assert!(matches!(state, State::Damaged { .. }), "{state:?}");
}

/// Sets the time at which an artifact was made or used.
fn age(store: &Store, stage: &Stage, days: u64) {
    let folder = fs::File::open(store.artifact_dir(stage.kind, &stage.key)).unwrap();
    folder
        .set_modified(std::time::SystemTime::now() - DAY * u32::try_from(days).unwrap())
        .unwrap();
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn keys<'a>(items: impl IntoIterator<Item = &'a Item>) -> HashSet<Key> {
    items.into_iter().map(|item| item.key.clone()).collect()
}

fn keys_of(stages: &[&Stage]) -> HashSet<Key> {
    stages.iter().map(|stage| stage.key.clone()).collect()
}

#[test]
fn garbage_is_what_no_root_was_made_from() {
    let (_folder, store) = store();
    let a = stage("a", &[]);
    let b = stage("b", &[&a]);
    let c = stage("c", &[&b]);
    let other = stage("other", &[&a]);
    let far = stage("far", &[&other]);
    for stage in [&a, &b, &c, &other, &far] {
        make(&store, stage);
        age(&store, stage, 10);
    }
    let collect = |roots: &[&Stage], days: u32, plans: Vec<Plan>| {
        store
            .collect(&keys_of(roots), DAY * days, || plans)
            .unwrap()
    };
    let none = || -> Vec<Plan> { panic!("the plans are not needed") };
    let found = store.collect(&keys_of(&[&c]), DAY, none).unwrap();
    assert_eq!(keys(&found.garbage), keys_of(&[&other, &far]));
    assert_eq!(keys(&found.kept), keys_of(&[&a, &b, &c]));
    // Without roots all is garbage, but nothing that is younger, or made from something younger.
    assert_eq!(collect(&[], 1, vec![]).garbage.len(), 5);
    assert_eq!(collect(&[], 11, vec![]).kept.len(), 5);
    age(&store, &other, 0);
    assert_eq!(keys(&collect(&[], 1, vec![]).kept), keys_of(&[&a, &other]));
    // Also by a clock that has jumped back since.
    let folder = fs::File::open(store.artifact_dir(far.kind, &far.key)).unwrap();
    folder
        .set_modified(std::time::SystemTime::now() + DAY * 400)
        .unwrap();
    assert_eq!(
        keys(&collect(&[], 1, vec![]).kept),
        keys_of(&[&a, &other, &far])
    );
    // A root whose artifact is missing: the plans know what it would be made from.
    let missing = stage("missing", &[&c]);
    let plan = Plan {
        stages: vec![a.clone(), b.clone(), c.clone(), missing.clone()],
    };
    let found = collect(&[&missing], 1, vec![plan]);
    assert!(found.garbage.is_empty());

    // Use is noted, unless it was a moment ago.
    age(&store, &c, 10);
    store.mark_used(c.kind, &c.key);
    assert!(keys(&collect(&[], 1, vec![]).kept).contains(&c.key));
}

#[test]
fn a_removal_spares_what_a_run_needs_that_begins_meanwhile() {
    let (_folder, store) = store();
    let stages: Vec<Stage> = (0..200).map(|i| stage(&i.to_string(), &[])).collect();
    for stage in &stages {
        make(&store, stage);
    }
    let collection = store
        .collect(&HashSet::new(), Duration::ZERO, Vec::new)
        .unwrap();
    assert_eq!(collection.garbage.len(), 200);
    // Of the first batch one is needed; it is away by now and comes back. So is one of a later one.
    let first = collection.garbage[3].key.clone();
    let later = collection.garbage[150].key.clone();
    let mut asked = 0;
    let removal = store
        .remove_garbage(&collection.garbage, || {
            asked += 1;
            if asked == 1 {
                let state = store.lookup(StageKind::Split, &first)?;
                assert_eq!(state, State::Missing, "a run that looks now makes it anew");
            }
            Ok::<_, StoreError>(HashSet::from([first.clone(), later.clone()]))
        })
        .unwrap();
    assert!(asked > 2);
    assert_eq!((removal.artifacts, removal.spared), (198, 2));
    assert_eq!(store.keys(StageKind::Split).unwrap().len(), 2);
    assert!(store.verify(true).unwrap().damaged.is_empty());
    assert_eq!(entries(&store.paths().staging()), 0);

    // Where it cannot be known what is needed, the batch comes back.
    let rest = store
        .collect(&HashSet::new(), Duration::ZERO, Vec::new)
        .unwrap();
    let unknown = || Err(StoreError::NotAFolder { path: "run".into() });
    assert!(store.remove_garbage(&rest.garbage, unknown).is_err());
    assert_eq!(store.verify(true).unwrap().checked, 2);
}

#[test]
fn an_attempt_knows_that_its_stage_was_taken_over() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let first = attempt(&store, &stage);
    assert!(!first.is_lost());
    fs::remove_file(store.paths().claim(&stage.key)).unwrap();
    let second = attempt(&store, &stage);
    assert!(first.is_lost() && !second.is_lost());
    assert!(!first.output().exists(), "what it wrote was swept away");
    drop(first);
    assert!(store.holder(&stage.key).unwrap().is_some());
    write(&second, "x", b"1");
    second.publish(Provenance::default()).unwrap();
}

#[test]
fn folders_with_tables_are_registered_once() {
    let (folder, store) = store();
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    assert!(store.roots().unwrap().is_empty());
    store.register_root(&results).unwrap();
    store.register_root(&results.join("../results")).unwrap();
    let canonical = results.canonicalize().unwrap();
    assert_eq!(store.roots().unwrap(), std::slice::from_ref(&canonical));
    store.forget_root(&canonical).unwrap();
    assert!(store.roots().unwrap().is_empty());
    assert!(store.register_root(&results.join("nothing")).is_err());
}

#[test]
fn errors_name_the_path() {
    let (folder, store) = store();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::NotAFolder { .. }));
    assert!(error.to_string().contains("file"));
    // The folder of claims is a file: nothing can be claimed.
    fs::create_dir_all(store.paths().root()).unwrap();
    fs::write(store.paths().claims(), "").unwrap();
    let error = store.begin(&stage("a", &[])).unwrap_err().to_string();
    assert!(error.contains("claims") && !error.contains('\n'), "{error}");
}

#[test]
fn only_files_and_folders_can_be_published() {
    let (_folder, store) = store();
    let stage = stage("a", &[]);
    let attempt = attempt(&store, &stage);
    std::os::unix::fs::symlink("/etc/passwd", attempt.output().join("link")).unwrap();
    let error = attempt.publish(Provenance::default()).unwrap_err();
    assert!(matches!(error, StoreError::NotAFile { .. }), "{error}");
    assert_eq!(
        store.lookup(stage.kind, &stage.key).unwrap(),
        State::Missing
    );
}

/// Not a test of its own: the process that [`a_killed_writer_leaves_nothing_half_written`] kills.
#[test]
fn child_publishes() {
    let Ok(root) = std::env::var("AMLP_TEST_PUBLISH") else {
        return;
    };
    let store = Store::open(root).unwrap();
    for i in 0..10_000 {
        if let Begin::Attempt(attempt) = store.begin(&stage(&i.to_string(), &[])).unwrap() {
            for file in 0..4 {
                write(&attempt, &format!("f{file}/x.bin"), &vec![file; 50_000]);
            }
            attempt.publish(Provenance::default()).unwrap();
        }
    }
}

#[test]
fn a_killed_writer_leaves_nothing_half_written() {
    let (_folder, store) = store();
    let mut seen = 0;
    for round in 0..15_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_publishes", "--exact"])
            .env("AMLP_TEST_PUBLISH", store.paths().root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Instants spread over start, writing, syncing and renaming.
        std::thread::sleep(Duration::from_micros(20_000 + round * 7_919));
        child.kill().unwrap();
        child.wait().unwrap();
        let keys = store.keys(StageKind::Split).unwrap();
        for key in &keys {
            let artifact = store.artifact(StageKind::Split, key).unwrap();
            assert_eq!(artifact.record.files.len(), 4);
        }
        assert!(keys.len() >= seen, "published artifacts stay");
        seen = keys.len();
    }
    let found = store.verify(true).unwrap();
    assert!(found.damaged.is_empty(), "{:?}", found.damaged);
    assert!(seen > 0, "the child published something");
    // What the kills left is no obstacle: each stage can be made, and cleans up after the dead.
    for i in 0..=seen {
        if let Begin::Attempt(attempt) = store.begin(&stage(&i.to_string(), &[])).unwrap() {
            write(&attempt, "x", b"1");
            attempt.publish(Provenance::default()).unwrap();
        }
    }
    assert_eq!(entries(&store.paths().staging()), 0);
}

#[test]
#[ignore = "a measurement: making the store takes a minute on a slow disk"]
fn many_lookups_are_quick() {
    let (_folder, store) = store();
    let stages: Vec<Stage> = (0..10_000).map(|i| stage(&i.to_string(), &[])).collect();
    let first = make(&store, &stages[0]);
    // Ten thousand fsyncs would be the test's time, not ours: copy one artifact's shape.
    for stage in &stages[1..] {
        let dir = store.artifact_dir(stage.kind, &stage.key);
        fs::create_dir_all(dir.join("cases")).unwrap();
        fs::copy(first.dir.join("a.bin"), dir.join("a.bin")).unwrap();
        fs::copy(first.dir.join("cases/b.bin"), dir.join("cases/b.bin")).unwrap();
        let mut record = first.record.clone();
        record.key = stage.key.clone();
        record.preimage = stage.preimage.clone();
        fs::write(dir.join("stage.json"), record.to_text().unwrap()).unwrap();
    }
    let start = Instant::now();
    let states = store.lookup_all(&stages).unwrap();
    let looked = start.elapsed();
    assert!(states.iter().all(State::is_cached));
    let start = Instant::now();
    assert_eq!(store.records(StageKind::Split).unwrap().len(), 10_000);
    println!(
        "10000 look-ups: {looked:.2?}; 10000 records: {:.2?}",
        start.elapsed()
    );
}
