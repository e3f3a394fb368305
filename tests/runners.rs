//! Several runners at once on one store: each stage is made once, and whoever dies holds nobody up.

#[allow(dead_code)]
#[path = "cli/project.rs"]
mod project;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use project::{Project, names, tiny};
use serde_json::Value;

/// The tiny study with more seeds: 72 stages.
fn wide() -> String {
    tiny().replace("seeds = [1]", "seeds = [1, 2, 3]")
}

fn start(project: &Project, manifest: &str) -> Child {
    project
        .command(&["run", manifest, "--quiet", "--jobs", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a runner, which must end well.
#[track_caller]
fn ends_well(runner: Child) {
    let output = runner.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Processes that `parent` has started and that still run.
fn children(parent: u32) -> Vec<i32> {
    let is_child = |name: &String| {
        let stat = fs::read_to_string(Path::new("/proc").join(name).join("stat")).ok()?;
        // After the name in parentheses: state, then the parent.
        let rest = stat.get(stat.rfind(')')? + 2..)?;
        let of: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        (of == parent && !rest.starts_with('Z')).then_some(())
    };
    names(Path::new("/proc"))
        .iter()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|name| is_child(name).is_some())
        .map(|name| name.parse().unwrap())
        .collect()
}

/// Kills a runner in the middle of a training, with its workers.
fn kill_in_a_training(runner: &mut Child) {
    let workers = loop {
        let workers = children(runner.id());
        if !workers.is_empty() {
            break workers;
        }
        assert!(
            runner.try_wait().unwrap().is_none(),
            "the runner ended before it started a training"
        );
        std::thread::sleep(Duration::from_millis(1));
    };
    runner.kill().unwrap();
    for worker in workers {
        // SAFETY: sends a signal to a process that this test's runner started.
        unsafe { libc::kill(worker, libc::SIGKILL) };
    }
    runner.wait().unwrap();
}

/// How often each event of a type stands in the logs, by key; the first map is that of the runner
/// with this process id, the second that of all others.
fn events(project: &Project, kind: &str, apart: u32) -> [BTreeMap<String, usize>; 2] {
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for run in project.runs() {
        let folder = project.path(".amlp/runs").join(run);
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .map(|entry: Value| entry["event"].clone())
            .collect();
        let pid = events.iter().find_map(|e| e["pid"].as_u64()).unwrap();
        let which = usize::from(pid != u64::from(apart));
        for event in events.iter().filter(|e| e["type"] == kind) {
            let key = event["key"].as_str().unwrap().to_owned();
            *counts[which].entry(key).or_default() += 1;
        }
    }
    counts
}

/// Keys of all stages of a manifest, which must be cached.
fn all_cached(project: &Project, manifest: &str) -> BTreeSet<String> {
    let plan = project.plan(&[manifest]);
    assert!(plan.iter().all(|stage| stage.state == "cached"));
    plan.into_iter().map(|stage| stage.key).collect()
}

#[test]
fn four_runners_make_each_stage_once_though_one_is_killed() {
    let quiet = Project::empty();
    quiet.write("wide.toml", &wide());
    quiet.run(&["run", "wide.toml", "--quiet"]).expect(0);

    let project = Project::empty();
    project.write("wide.toml", &wide());
    let mut runners: Vec<Child> = (0..4).map(|_| start(&project, "wide.toml")).collect();
    let mut killed = runners.remove(0);
    let dead = killed.id();
    kill_in_a_training(&mut killed);
    for runner in runners {
        ends_well(runner);
    }
    assert!(!quiet.tables().is_empty());
    assert_eq!(project.tables(), quiet.tables());

    let keys = all_cached(&project, "wide.toml");
    let [done_by_dead, done] = events(&project, "done", dead);
    let [begun_by_dead, begun] = events(&project, "started", dead);
    for key in &keys {
        let of = |counts: &BTreeMap<String, usize>| counts.get(key).copied().unwrap_or(0);
        let done = of(&done_by_dead) + of(&done);
        // A worker of the dead may have published what nobody was left to note.
        let unnoted = done == 0 && of(&begun_by_dead) == 1;
        assert!(done == 1 || unnoted, "{key} was done {done} times");
        let begun = of(&begun);
        let lost = of(&begun_by_dead) == 1 && of(&done_by_dead) == 0;
        assert!(begun <= 1, "{key} was begun {begun} times by the living");
        assert!(
            begun + of(&begun_by_dead) == 1 || lost,
            "{key} was made twice"
        );
    }
    // Nor may anyone have been left to give back a claim of theirs, or to finish writing it.
    for claim in names(&project.path(".amlp/claims")) {
        let of_dead = begun_by_dead.contains_key(&claim) || claim.ends_with(".tmp");
        assert!(of_dead, "{claim} is held by the living");
    }
    project.run(&["cache", "verify"]).expect(0);
    project.run(&["cache", "gc", "--delete"]).expect(0);
    assert!(names(&project.path(".amlp/claims")).is_empty());
    all_cached(&project, "wide.toml");
}

#[test]
fn two_manifests_that_share_stages_share_the_work() {
    let project = Project::empty();
    project.write("a.toml", &tiny());
    project.write(
        "b.toml",
        &format!(
            "{}\n[[study.variant]]\nname = \"DBSCAN\"\namlp.cluster.method = \"dbscan\"\n",
            tiny().replace("name = \"tiny\"", "name = \"other\"")
        ),
    );
    let runners = [start(&project, "a.toml"), start(&project, "b.toml")];
    for runner in runners {
        ends_well(runner);
    }
    let mut keys = all_cached(&project, "a.toml");
    let shared = keys.len();
    keys.extend(all_cached(&project, "b.toml"));
    assert_eq!((shared, keys.len()), (29, 29 + 13));
    let [_, done] = events(&project, "done", 0);
    assert_eq!(done.keys().cloned().collect::<BTreeSet<_>>(), keys);
    assert!(done.values().all(|&n| n == 1), "{done:?}");
}

#[test]
fn a_claim_of_a_dead_process_holds_nobody_up_whatever_its_time() {
    let project = Project::tiny();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    fs::create_dir_all(project.path(".amlp/claims")).unwrap();
    let day = Duration::from_secs(24 * 3600);
    let now = std::time::SystemTime::now();
    for (i, stage) in project.plan(&["tiny.toml"]).iter().enumerate() {
        // Before and after the clock jumped.
        let time = [now - day, now, now + day][i % 3];
        let path = project.path(".amlp/claims").join(&stage.key);
        let claim = serde_json::json!({
            "pid": gone.id(), "host": amlp_run::store::host_name(), "since": "",
        });
        fs::write(&path, claim.to_string()).unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    }
    project.run(&["run", "tiny.toml", "--quiet"]).expect(0);
    assert!(names(&project.path(".amlp/claims")).is_empty());
}

#[test]
fn a_collection_of_garbage_spares_what_runs_need() {
    // Artifacts that no table cites, of which a run makes more.
    let project = Project::empty();
    project.write("wide.toml", &wide());
    project
        .run(&[
            "run",
            "wide.toml",
            "-q",
            "--only",
            "seed=1",
            "--only",
            "method=Sup",
        ])
        .expect(0);
    let before = project.records();
    let runner = start(&project, "wide.toml");
    while project.runs().len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..10 {
        project
            .run(&["cache", "gc", "--older-than", "0", "--delete"])
            .expect(0);
    }
    ends_well(runner);
    let after = project.records();
    for (path, record) in &before {
        // The table of the part is none of the whole's, and nothing cites it.
        if !path.starts_with(project.path(".amlp/store/tabulate")) {
            assert!(after.get(path) == Some(record), "{}", path.display());
        }
    }
    all_cached(&project, "wide.toml");
    project.run(&["cache", "verify"]).expect(0);
}
