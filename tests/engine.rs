//! The engine with stages that only pretend: order, failures, crashes, interruption, several
//! runners on one store, and what it costs.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use amlp_run::engine::events::{RunFolder, Silent};
use amlp_run::engine::{
    Event, EventSink, LocalOptions, Progress, RunReport, RunStage, RunState, RunStatus,
    StageContext, StageError, Stop, local, worker,
};
use amlp_run::plan::{Input, Key, Plan, Stage, StageKind};
use amlp_run::store::{Begin, FailureKind, Provenance, State, Store};
use serde_json::{Value, json};

use StageKind::{Cluster, Evaluate, Finetune, Prepare, Pretrain, Split, Tabulate};

/// Does what a stage's spec says: `do` is a word, `diary` a file that gets a line for each run.
struct Pretender;

impl RunStage for Pretender {
    fn run(&self, stage: &Stage, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let diary = PathBuf::from(stage.spec["diary"].as_str().unwrap());
        let mut file = fs::File::options().create(true).append(true).open(&diary)?;
        file.write_all(format!("{}\n", stage.label).as_bytes())?;
        cx.set_device("pretended");
        cx.note(format!("doing {}", stage.label));
        let healed = diary.with_file_name("healed").exists();
        let checkpoint = cx.work().join("checkpoint");
        match stage.spec["do"].as_str().unwrap() {
            "work" | "name gpu" => {}
            "nap" => std::thread::sleep(Duration::from_millis(40)),
            _ if healed => {}
            "fail" => {
                eprintln!("last words of {}", stage.label);
                return Err(StageError::new("it cannot be done"));
            }
            "data" => return Err(StageError::data("case 7 has no image")),
            "panic" => panic!("a fault of the program"),
            "rayon panic" => {
                rayon::join(|| panic!("a fault in a pool"), || ());
            }
            "die" => kill_self(),
            "die once" if !checkpoint.exists() => {
                fs::write(&checkpoint, "1")?;
                kill_self();
            }
            "die once" => {}
            "starve" if std::env::var_os("AMLP_TEST_HALVE").is_none() => starve(),
            "starve" => cx.set_micro_batch(4),
            "starve on the device" => panic!("CUDA out of memory. Tried to allocate 2.00 GiB"),
            "exit" => std::process::exit(17),
            "garbage" => println!("not an event\n{{\"event\": 3}}"),
            "link" => std::os::unix::fs::symlink("nowhere", cx.output().join("link"))?,
            "until stopped" => {
                for step in 0.. {
                    if checkpoint.exists() {
                        break;
                    }
                    cx.progress(Progress {
                        step: Some(step),
                        ..Progress::default()
                    });
                    if cx.should_stop() {
                        fs::write(&checkpoint, "1")?;
                        return Err(StageError::Stopped);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            "deaf" => loop {
                cx.progress(Progress::default());
                std::thread::sleep(Duration::from_millis(10));
            },
            // Another process thinks this one dead: it takes the claim over, and sweeps.
            word @ ("overtaken" | "overtaken unawares") => {
                let store = Store::open(cx.work().ancestors().nth(2).unwrap())?;
                fs::remove_file(store.paths().claim(&stage.key))?;
                if let Begin::Attempt(other) = store.begin(stage)? {
                    fs::write(other.output().join("text.txt"), "theirs")?;
                    other.publish(Provenance::default())?;
                }
                if word == "overtaken unawares" {
                    return Ok(());
                }
            }
            other => return Err(StageError::new(format!("unknown word '{other}'"))),
        }
        let mut text = stage.label.clone();
        if stage.spec["do"] == "name gpu" {
            text = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or("none".to_owned());
        }
        for (_, dir) in cx.inputs("in") {
            text.push_str(&format!("({})", fs::read_to_string(dir.join("text.txt"))?));
        }
        fs::write(cx.output().join("text.txt"), text)?;
        Ok(())
    }

    fn may_halve(&self, stage: &Stage) -> bool {
        stage.spec["halve"] == true
    }
}

/// Asks for more memory than there can be: Rust says so and aborts.
fn starve() {
    let memory: Vec<u8> = Vec::with_capacity(isize::MAX as usize);
    std::hint::black_box(memory);
}

fn kill_self() {
    let pid = std::process::id().to_string();
    Command::new("kill").args(["-9", &pid]).status().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Not a test of its own: what worker processes run.
#[test]
fn worker_entry() {
    let Ok(plan) = std::env::var("AMLP_TEST_PLAN") else {
        return;
    };
    let key = std::env::var("AMLP_TEST_KEY").unwrap().parse().unwrap();
    let store = Store::open(std::env::var("AMLP_TEST_STORE").unwrap()).unwrap();
    let exit = worker::work(Path::new(&plan), &key, &store, &Pretender).unwrap();
    std::process::exit(exit.code());
}

/// A program that takes a worker's arguments and runs [`worker_entry`] with them.
fn worker_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let name = exe.file_name().unwrap().to_string_lossy();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("worker-{name}"));
        let script = format!(
            "#!/bin/sh\nexport AMLP_TEST_PLAN=\"$3\" AMLP_TEST_KEY=\"$5\" AMLP_TEST_STORE=\"$7\"\n\
             export RUST_TEST_THREADS=2\n\
             case \" $* \" in *' --halve '*) export AMLP_TEST_HALVE=1;; esac\nexec '{}' worker_entry --exact --nocapture\n",
            exe.display()
        );
        // Written by another process: a file that this one has open for writing may be inherited
        // by the child of another test, and cannot be executed then.
        let status = Command::new("sh")
            .args([
                "-c",
                "printf '%s' \"$1\" > \"$2.$$\" && chmod 755 \"$2.$$\" && mv \"$2.$$\" \"$2\"",
                "sh",
            ])
            .arg(script)
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        path
    })
}

/// A store, a diary, and a plan that grows.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    plan: Plan,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join(".amlp")).unwrap();
        Self {
            folder,
            store,
            plan: Plan::default(),
        }
    }

    fn diary(&self) -> PathBuf {
        self.folder.path().join("diary")
    }

    /// How often each stage ran.
    fn runs(&self) -> HashMap<String, usize> {
        let mut runs = HashMap::new();
        for line in fs::read_to_string(self.diary()).unwrap_or_default().lines() {
            *runs.entry(line.to_owned()).or_default() += 1;
        }
        runs
    }

    fn add(&mut self, kind: StageKind, label: &str, word: &str, inputs: &[&Key]) -> Key {
        let inputs: Vec<Input> = inputs
            .iter()
            .map(|&key| Input {
                role: "in".to_owned(),
                key: key.clone(),
            })
            .collect();
        let spec = json!({"do": word, "diary": self.diary()});
        let preimage = json!({"kind": kind, "label": label, "inputs": inputs});
        let key = Key::of(&preimage);
        self.plan.stages.push(Stage {
            key: key.clone(),
            kind,
            label: label.to_owned(),
            inputs,
            spec,
            preimage,
            context: Value::Null,
        });
        key
    }

    fn options(&self) -> LocalOptions {
        LocalOptions {
            jobs: 2,
            threads_per_job: 1,
            retries: 0,
            ..LocalOptions::new(worker_program())
        }
    }

    fn run_with(&self, options: &LocalOptions, events: &dyn EventSink) -> RunReport {
        local::run(&self.plan, &self.store, options, &Pretender, events).unwrap()
    }

    fn run(&self) -> RunReport {
        self.run_with(&self.options(), &Silent)
    }

    fn text(&self, key: &Key) -> String {
        let kind = self.plan.get(key).unwrap().kind;
        let artifact = self.store.artifact(kind, key).unwrap();
        fs::read_to_string(artifact.dir.join("text.txt")).unwrap()
    }

    fn state(&self, key: &Key) -> State {
        let kind = self.plan.get(key).unwrap().kind;
        self.store.lookup(kind, key).unwrap()
    }
}

#[test]
fn a_diamond_runs_once_and_is_cached_after() {
    let mut bench = Bench::new();
    let a = bench.add(Split, "a", "work", &[]);
    let b = bench.add(Pretrain, "b", "work", &[&a]);
    let c = bench.add(Cluster, "c", "work", &[&a]);
    let d = bench.add(Tabulate, "d", "work", &[&b, &c]);
    let report = bench.run();
    assert_eq!(report.summary().lines().count(), 1, "{}", report.summary());
    assert_eq!(report.ran.len(), 4);
    assert_eq!(report.exit_code(), 0);
    assert_eq!(bench.text(&d), "d(b(a))(c(a))");
    let training = bench.store.artifact(Pretrain, &b).unwrap().record;
    assert_eq!(training.provenance.device.as_deref(), Some("pretended"));
    assert_eq!(training.provenance.threads, 1);
    assert!(training.provenance.peak_memory_bytes.unwrap() > 100_000);
    let cheap = bench.store.artifact(Cluster, &c).unwrap().record;
    assert_eq!(cheap.provenance.peak_memory_bytes, None);

    let log = RunFolder::last(&bench.store).unwrap().unwrap();
    assert_eq!(Some(&log.dir), report.folder.as_ref());
    assert_eq!(log.plan().unwrap(), bench.plan);
    let events = log.events().unwrap();
    let starts = |key: &Key| {
        events
            .iter()
            .filter(|e| matches!(&e.event, Event::Started { key: k, .. } if k == key))
            .count()
    };
    for key in [&a, &b, &c, &d] {
        assert_eq!(starts(key), 1);
    }
    let last = &events.last().unwrap().event;
    assert!(matches!(last, Event::RunFinished { ran: 4, .. }));

    let again = bench.run();
    assert!(again.ran.is_empty());
    assert_eq!((again.cached, again.exit_code()), (4, 0));
    assert!(again.folder.is_none(), "nothing to run leaves no folder");
    assert!(bench.runs().values().all(|&n| n == 1));

    // Only what is missing runs, and a cached stage needs nothing.
    bench.store.remove(Pretrain, &b).unwrap();
    let pruned = bench.run();
    assert_eq!((pruned.ran.len(), pruned.unneeded), (0, 1));
    bench.store.remove(Tabulate, &d).unwrap();
    let rest = bench.run();
    assert_eq!(rest.ran, [b, d]);
    assert_eq!(bench.runs()["a"], 1);
}

#[test]
fn a_stage_that_was_taken_over_is_no_failure() {
    let mut bench = Bench::new();
    // One notices because its folder is gone, the other when it publishes.
    let a = bench.add(Split, "a", "overtaken", &[]);
    let b = bench.add(Pretrain, "b", "overtaken unawares", &[]);
    let c = bench.add(Evaluate, "c", "work", &[&a, &b]);
    let report = bench.run();
    assert_eq!(report.exit_code(), 0, "{}", report.summary());
    assert_eq!((report.cached, report.ran), (2, vec![c.clone()]));
    assert_eq!(bench.text(&c), "c(theirs)(theirs)");
    assert!(bench.store.failures().unwrap().is_empty());
}

#[test]
fn a_failure_skips_its_descendants_and_nothing_else() {
    let mut bench = Bench::new();
    let a = bench.add(Split, "a", "work", &[]);
    let bad = bench.add(Pretrain, "bad", "fail", &[&a]);
    let good = bench.add(Pretrain, "good", "work", &[&a]);
    let after_bad = bench.add(Evaluate, "after bad", "work", &[&bad]);
    let after_good = bench.add(Evaluate, "after good", "work", &[&good]);
    let table = bench.add(Tabulate, "table", "work", &[&after_bad, &after_good]);
    let report = bench.run();
    assert_eq!(report.ran.len(), 3);
    assert_eq!(report.exit_code(), 3);
    assert!(bench.state(&after_good).is_cached());
    let failure = &report.failed[0];
    assert_eq!(failure.key, bad);
    assert_eq!(failure.message, "it cannot be done");
    assert_eq!(failure.failure, FailureKind::Error);
    assert!(
        failure.log.iter().any(|l| l == "last words of bad"),
        "{:?}",
        failure.log
    );
    assert!(failure.log_file.as_ref().unwrap().exists());
    let skipped: Vec<(&str, &Key)> = report
        .skipped
        .iter()
        .map(|s| (s.label.as_str(), &s.because))
        .collect();
    assert_eq!(skipped, [("after bad", &bad), ("table", &bad)]);
    let summary = report.summary();
    for part in ["failed: bad", "| last words of bad", ".log", "1 more"] {
        assert!(summary.contains(part), "{summary}");
    }
    match bench.state(&bad) {
        State::Failed { failure } => assert_eq!(failure.message, "it cannot be done"),
        other => panic!("{other:?}"),
    }

    // Once the reason is gone the next run does the rest, and the record of the failure goes.
    fs::write(bench.folder.path().join("healed"), "").unwrap();
    let healed = bench.run();
    assert_eq!(healed.ran, [bad.clone(), after_bad, table]);
    assert!(bench.state(&bad).is_cached());
    assert!(bench.store.failures().unwrap().is_empty());
    let record = bench.store.artifact(Pretrain, &bad).unwrap().record;
    assert_eq!(record.provenance.attempts, 2);
}

#[test]
fn fail_fast_starts_nothing_after_a_failure() {
    let mut bench = Bench::new();
    bench.add(Split, "bad", "data", &[]);
    for i in 0..5 {
        bench.add(Split, &format!("s{i}"), "work", &[]);
    }
    let options = LocalOptions {
        jobs: 1,
        fail_fast: true,
        ..bench.options()
    };
    let report = bench.run_with(&options, &Silent);
    assert_eq!(report.failed.len(), 1);
    assert_eq!((report.ran.len(), report.unfinished), (0, 5));
    assert!(!report.interrupted);
    assert_eq!(report.exit_code(), 4, "the data are to blame");
    let report = bench.run_with(
        &LocalOptions {
            jobs: 1,
            ..bench.options()
        },
        &Silent,
    );
    assert_eq!((report.failed.len(), report.ran.len()), (1, 5));
}

#[test]
fn panics_are_failures_with_their_place() {
    let mut bench = Bench::new();
    let here = bench.add(Split, "here", "panic", &[]);
    let pool = bench.add(Split, "pool", "rayon panic", &[]);
    let process = bench.add(Finetune, "process", "panic", &[]);
    bench.add(Split, "fine", "work", &[]);
    let report = bench.run();
    assert_eq!(report.ran.len(), 1);
    let failure = |key: &Key| report.failed.iter().find(|f| f.key == *key).unwrap();
    for (key, message) in [
        (&here, "panicked: a fault of the program (at "),
        (&pool, "panicked: a fault in a pool (at "),
        (&process, "panicked: a fault of the program (at "),
    ] {
        let failure = failure(key);
        assert_eq!(failure.failure, FailureKind::Panic);
        assert!(failure.message.starts_with(message), "{}", failure.message);
        assert!(
            failure.message.contains("engine.rs:"),
            "{}",
            failure.message
        );
    }
    // A stage without a process is quoted with its notes.
    assert_eq!(failure(&here).log, ["doing here"]);
}

#[test]
fn a_killed_worker_is_reported_or_tried_again() {
    let mut bench = Bench::new();
    let dead = bench.add(Pretrain, "dead", "die", &[]);
    let report = bench.run();
    let failure = &report.failed[0];
    assert_eq!(failure.failure, FailureKind::Died);
    assert!(failure.message.contains("signal 9"), "{}", failure.message);
    assert!(matches!(bench.state(&dead), State::Failed { .. }));

    let mut bench = Bench::new();
    let once = bench.add(Pretrain, "once", "die once", &[]);
    let options = LocalOptions {
        retries: 1,
        ..bench.options()
    };
    let report = bench.run_with(&options, &Silent);
    assert_eq!(
        report.ran,
        std::slice::from_ref(&once),
        "{}",
        report.summary()
    );
    let record = bench.store.artifact(Pretrain, &once).unwrap().record;
    assert_eq!(record.provenance.attempts, 2);
    assert_eq!(bench.runs()["once"], 2);
}

#[test]
fn memory_that_runs_out_is_told_and_halved_where_that_is_allowed() {
    let mut bench = Bench::new();
    bench.add(Pretrain, "host", "starve", &[]);
    bench.add(Finetune, "device", "starve on the device", &[]);
    let report = bench.run();
    assert_eq!(report.failed.len(), 2);
    for failure in &report.failed {
        assert_eq!(failure.failure, FailureKind::OutOfMemory, "{failure:?}");
        assert!(failure.message.contains("memory"), "{}", failure.message);
    }
    let summary = report.summary();
    for part in [
        "out of memory: memory allocation of",
        "hint: fewer --jobs, a smaller pretrain.micro_batch",
        "hint: fewer --jobs, a smaller finetune.micro_batch",
    ] {
        assert!(summary.contains(part), "{summary}");
    }

    let mut bench = Bench::new();
    let key = bench.add(Pretrain, "hungry", "starve", &[]);
    bench.plan.stages[0].spec["halve"] = json!(true);
    let report = bench.run();
    let summary = report.summary();
    assert_eq!(report.ran, std::slice::from_ref(&key), "{summary}");
    assert_eq!(report.halved, ["hungry"]);
    assert!(summary.contains("hungry ran out of memory"), "{summary}");
    let provenance = bench
        .store
        .artifact(Pretrain, &key)
        .unwrap()
        .record
        .provenance;
    assert_eq!(provenance.micro_batch, Some(4));
    let events = RunFolder::last(&bench.store)
        .unwrap()
        .unwrap()
        .events()
        .unwrap();
    let told = events.iter().any(|e| {
        matches!(&e.event, Event::Retrying { message, .. } if message.contains("half the images"))
    });
    assert!(told);
}

#[test]
fn workers_that_misbehave_are_told_by_what_they_did() {
    let mut bench = Bench::new();
    let exit = bench.add(Finetune, "exit", "exit", &[]);
    let garbage = bench.add(Finetune, "garbage", "garbage", &[]);
    let link = bench.add(Split, "link", "link", &[]);
    let report = bench.run();
    let message = |key: &Key| {
        let failure = report.failed.iter().find(|f| f.key == *key);
        failure.map(|f| f.message.clone()).unwrap_or_default()
    };
    assert!(
        message(&exit).contains("exit code 17"),
        "{}",
        message(&exit)
    );
    assert!(message(&link).contains("link"), "{}", message(&link));
    assert!(bench.state(&garbage).is_cached(), "{}", report.summary());

    let mut bench = Bench::new();
    bench.add(Finetune, "a", "work", &[]);
    let options = LocalOptions {
        exe: "/no/such/program".into(),
        ..bench.options()
    };
    let report = bench.run_with(&options, &Silent);
    let message = &report.failed[0].message;
    assert!(message.contains("/no/such/program"), "{message}");
}

#[test]
fn runners_on_one_store_run_each_stage_once() {
    let mut bench = Bench::new();
    let a = bench.add(Split, "a", "nap", &[]);
    let mut last = Vec::new();
    for i in 0..6 {
        let p = bench.add(Prepare, &format!("p{i}"), "nap", &[&a]);
        last.push(bench.add(Evaluate, &format!("e{i}"), "nap", &[&p]));
    }
    for i in 0..2 {
        last.push(bench.add(Finetune, &format!("f{i}"), "nap", &[&a]));
    }
    let inputs: Vec<&Key> = last.iter().collect();
    let table = bench.add(Tabulate, "table", "nap", &inputs);
    let bad = bench.add(Split, "bad", "fail", &[]);
    let reports: Vec<RunReport> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| bench.run())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut runs = bench.runs();
    assert!(runs.remove("bad").is_some());
    assert_eq!(runs.len(), 16);
    assert!(runs.values().all(|&n| n == 1), "{runs:?}");
    assert!(bench.state(&table).is_cached());
    for report in &reports {
        assert_eq!(report.ran.len() + report.cached, 16, "{}", report.summary());
        assert_eq!(report.failed.len(), 1);
        assert_eq!(report.failed[0].key, bad);
    }
}

#[test]
fn each_gpu_has_a_slot_and_the_host_its_own() {
    let mut bench = Bench::new();
    let host: Vec<Key> = (0..4)
        .map(|i| bench.add(Cluster, &format!("c{i}"), "name gpu", &[]))
        .collect();
    let device: Vec<Key> = (0..3)
        .flat_map(|i| [(Pretrain, format!("p{i}")), (Evaluate, format!("e{i}"))])
        .map(|(kind, label)| bench.add(kind, &label, "name gpu", &[]))
        .collect();
    let options = LocalOptions {
        gpus: vec!["7".to_owned(), "GPU-5f".to_owned()],
        host_jobs: 1,
        ..bench.options()
    };
    let report = bench.run_with(&options, &Silent);
    assert_eq!(report.ran.len(), 10, "{}", report.summary());
    for key in &host {
        assert_eq!(bench.text(key), "none");
    }
    let mut seen: Vec<String> = device.iter().map(|key| bench.text(key)).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["7", "GPU-5f"]);
}

#[test]
fn a_stale_claim_expires_and_a_damaged_artifact_is_made_again() {
    let mut bench = Bench::new();
    let a = bench.add(Split, "a", "work", &[]);
    let b = bench.add(Split, "b", "work", &[&a]);
    bench.run();
    let dir = bench.store.artifact_dir(Split, &b);
    fs::write(dir.join("text.txt"), "broken off").unwrap();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let claim = json!({"pid": gone.id(), "host": amlp_run::store::host_name(), "since": ""});
    fs::write(bench.store.paths().claim(&b), claim.to_string()).unwrap();
    assert!(matches!(bench.state(&b), State::Damaged { .. }));
    let report = bench.run();
    assert_eq!(report.ran, std::slice::from_ref(&b));
    assert_eq!(bench.text(&b), "b(a)");
    let aside = bench.store.paths().damaged().join(format!("split-{b}"));
    let kept = fs::read_to_string(aside.join("text.txt")).unwrap();
    assert_eq!(kept, "broken off");
    let events = RunFolder::last(&bench.store)
        .unwrap()
        .unwrap()
        .events()
        .unwrap();
    let told = events
        .iter()
        .any(|e| matches!(&e.event, Event::SetAside { key, .. } if *key == b));
    assert!(told);
}

/// Raises a flag when a stage makes progress, once for each of the first `times`.
struct Raise {
    stop: Stop,
    times: Mutex<u32>,
}

impl EventSink for Raise {
    fn emit(&self, event: &Event) {
        let mut times = self.times.lock().unwrap();
        if matches!(event, Event::Progress { .. }) && *times > 0 {
            *times -= 1;
            self.stop.raise();
        }
    }
}

#[test]
fn an_interrupted_run_keeps_checkpoints_and_goes_on() {
    for kind in [Pretrain, Prepare] {
        let mut bench = Bench::new();
        let long = bench.add(kind, "long", "until stopped", &[]);
        bench.add(Evaluate, "after", "work", &[&long]);
        let options = bench.options();
        let raise = Raise {
            stop: options.stop.clone(),
            times: Mutex::new(1),
        };
        let report = bench.run_with(&options, &raise);
        assert!(report.interrupted);
        assert_eq!(report.exit_code(), 130);
        assert_eq!((report.ran.len(), report.unfinished), (0, 2));
        assert!(report.failed.is_empty());
        assert_eq!(bench.state(&long), State::Missing);
        let checkpoint = bench.store.paths().work(&long).join("checkpoint");
        assert!(checkpoint.exists());
        let report = bench.run();
        assert_eq!(report.ran.len(), 2, "{}", report.summary());
        let record = bench.store.artifact(kind, &long).unwrap().record;
        assert_eq!(record.provenance.attempts, 2);
    }
}

#[test]
fn a_second_request_kills_what_does_not_listen() {
    let mut bench = Bench::new();
    bench.add(Pretrain, "deaf", "deaf", &[]);
    let options = bench.options();
    let raise = Raise {
        stop: options.stop.clone(),
        times: Mutex::new(2),
    };
    let start = Instant::now();
    let report = bench.run_with(&options, &raise);
    assert!(report.interrupted);
    assert_eq!(report.unfinished, 1);
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// Not a test of its own: a runner in a process, to be signalled.
#[test]
fn runner_entry() {
    let Ok(plan) = std::env::var("AMLP_TEST_RUN") else {
        return;
    };
    let plan: Plan = serde_json::from_slice(&fs::read(plan).unwrap()).unwrap();
    let store = Store::open(std::env::var("AMLP_TEST_STORE").unwrap()).unwrap();
    let options = LocalOptions {
        jobs: 2,
        threads_per_job: 1,
        stop: Stop::on_signals(),
        ..LocalOptions::new(worker_program())
    };
    let report = local::run(&plan, &store, &options, &Pretender, &Silent).unwrap();
    std::process::exit(report.exit_code());
}

/// Waits until `done`, or fails.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signals_reach_the_workers() {
    for (signal, exit) in [("-INT", Some(130)), ("-TERM", Some(130)), ("-KILL", None)] {
        let mut bench = Bench::new();
        let long = bench.add(Pretrain, "long", "until stopped", &[]);
        let plan = bench.folder.path().join("plan.json");
        fs::write(&plan, serde_json::to_vec(&bench.plan).unwrap()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["runner_entry", "--exact"])
            .env("AMLP_TEST_RUN", &plan)
            .env("AMLP_TEST_STORE", bench.store.paths().root())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the stage begins", || bench.runs().contains_key("long"));
        let status = RunStatus::read(&RunFolder::last(&bench.store).unwrap().unwrap()).unwrap();
        assert_eq!((status.state, status.total), (RunState::Running, 1));
        let kill = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        assert_eq!(child.wait().unwrap().code(), exit);
        // A worker whose runner was killed notices that nobody reads its events.
        let checkpoint = bench.store.paths().work(&long).join("checkpoint");
        wait_until("the worker writes its checkpoint", || checkpoint.exists());
        wait_until("the worker ends", || bench.state(&long) == State::Missing);
        let status = RunStatus::read(&RunFolder::last(&bench.store).unwrap().unwrap()).unwrap();
        let expected = match exit {
            Some(_) => RunState::Interrupted,
            None => RunState::Died,
        };
        assert_eq!(status.state, expected);
    }
}

#[test]
fn stages_leave_their_logs_with_the_run() {
    let mut bench = Bench::new();
    let on_threads = bench.add(Split, "here", "work", &[]);
    let in_process = bench.add(Pretrain, "chatty", "garbage", &[]);
    let failed = bench.add(Split, "bad", "fail", &[]);
    let report = bench.run();
    assert_eq!(report.ran.len(), 2, "{}", report.summary());
    let folder = RunFolder::last(&bench.store).unwrap().unwrap();
    let read = |key: &Key| fs::read_to_string(folder.log_file(key)).unwrap();
    let text = read(&on_threads);
    let (time, said) = text.split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
    assert_eq!(said, "doing here\n");
    let text = read(&in_process);
    assert!(text.contains("not an event"), "{text}");
    // Their work folders are gone, their logs are not.
    assert!(!bench.store.paths().work(&in_process).exists());
    // The failure names the log, in the report and in the store.
    let log = Some(folder.log_file(&failed));
    assert_eq!(report.failed[0].log_file, log);
    match bench.state(&failed) {
        State::Failed { failure } => assert_eq!(failure.log_file, log),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_input_is_a_failure_that_names_it() {
    let mut bench = Bench::new();
    let a = bench.add(Split, "a", "work", &[]);
    let b = bench.add(Split, "b", "work", &[&a]);
    let plan = bench.folder.path().join("plan.json");
    fs::write(&plan, serde_json::to_vec(&bench.plan).unwrap()).unwrap();
    // A scheduler started the second stage although the first left nothing.
    let output = Command::new(worker_program())
        .args(["work", "--plan"])
        .arg(&plan)
        .args(["--key", b.as_str(), "--store"])
        .arg(bench.store.paths().root())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    match bench.state(&b) {
        State::Failed { failure } => {
            assert!(failure.message.contains(a.as_str()), "{}", failure.message);
        }
        other => panic!("{other:?}"),
    }
}

/// The engine's own time for 300 stages that do nothing; the figure is for people.
#[test]
fn overhead_per_stage() {
    let mut bench = Bench::new();
    for i in 0..300 {
        bench.add(Split, &i.to_string(), "work", &[]);
    }
    let start = Instant::now();
    let report = bench.run();
    assert_eq!(report.ran.len(), 300);
    println!("300 stages that do nothing: {:.2?}", start.elapsed());
}

#[test]
#[ignore = "a measurement: making the store takes a minute on a slow disk"]
fn ten_thousand_cached_stages_are_decided_quickly() {
    let mut bench = Bench::new();
    let first = bench.add(Split, "0", "work", &[]);
    bench.run();
    let template = bench.store.artifact(Split, &first).unwrap();
    for i in 1..10_000 {
        let key = bench.add(Split, &i.to_string(), "work", &[&first]);
        let dir = bench.store.artifact_dir(Split, &key);
        fs::create_dir_all(&dir).unwrap();
        fs::copy(template.dir.join("text.txt"), dir.join("text.txt")).unwrap();
        let mut record = template.record.clone();
        record.key = key;
        record.provenance = Provenance::default();
        fs::write(dir.join("stage.json"), record.to_text().unwrap()).unwrap();
    }
    let start = Instant::now();
    let report = bench.run();
    println!("10000 cached stages: {:.2?}", start.elapsed());
    assert_eq!((report.ran.len(), report.cached), (0, 10_000));
}
