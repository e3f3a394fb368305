//! Runs on a real Slurm of two nodes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::cluster::{Cluster, queue, scontrol, wait};
use super::project::{AMLP, SUP, TINY};

/// A folder whose name is as bad as names get.
const NASTY: &str = "it's 100 %j \"of\" $HOME; `id` & \\b\nnext #1";

/// What all jobs of the tests ask for.
const SLURM: &str = "\n[slurm]\nmemory = \"600M\"\ncpus = 1\ntime = \"10\"\n";

struct Place {
    _folder: TempDir,
    root: PathBuf,
}

impl Place {
    fn new(name: &str, manifest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        fs::create_dir(&root).unwrap();
        fs::write(root.join("study.toml"), manifest).unwrap();
        Self {
            _folder: folder,
            root,
        }
    }

    #[track_caller]
    fn run(&self, code: i32, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_amlp-run"))
            .args(arguments)
            .current_dir(&self.root)
            .env_remove("AMLP_STORE")
            .env_remove("AMLP_DATA")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}\n{out}\n{error}"
        );
        error
    }

    #[track_caller]
    fn submit(&self) -> String {
        self.run(0, &["study.toml", "--engine", "slurm"])
    }

    /// The files of the tables.
    fn tables(&self) -> BTreeMap<String, String> {
        let folder = self.root.join("results/tiny/paper");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        ["table_T.csv", "table_T.md", "table_T.tex"]
            .map(|name| (name.to_owned(), read(name)))
            .into()
    }

    /// Digests of every file of every artifact of a kind, by key.
    fn digests(&self, kind: &str) -> BTreeMap<String, Value> {
        let folder = self.root.join(".amlp/store").join(kind);
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let text = fs::read_to_string(path.join("stage.json")).unwrap();
                let record: Value = serde_json::from_str(&text).unwrap();
                (record["key"].to_string(), record["files"].clone())
            })
            .collect()
    }

    /// The status of the last run, and how many stages stand in each way.
    fn status(&self) -> (Value, BTreeMap<String, usize>) {
        let output = Command::new(env!("CARGO_BIN_EXE_amlp-run"))
            .args(["status", "--format", "json"])
            .current_dir(&self.root)
            .env_remove("AMLP_STORE")
            .output()
            .unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut states = BTreeMap::new();
        for stage in status["stages"].as_array().unwrap() {
            let state = stage["state"].as_str().unwrap().to_owned();
            *states.entry(state).or_default() += 1;
        }
        (status, states)
    }

    /// The events of all jobs of the last run.
    fn events(&self) -> Vec<Value> {
        let mut runs: Vec<PathBuf> = read_dir(&self.root.join(".amlp/runs"));
        runs.sort();
        let mut events = Vec::new();
        for path in read_dir(&runs.pop().unwrap().join("jobs")) {
            if path.extension().is_some_and(|e| e == "jsonl") {
                let text = fs::read_to_string(path).unwrap();
                events.extend(
                    text.lines()
                        .map(|l| serde_json::from_str::<Value>(l).unwrap()),
                );
            }
        }
        events
    }

    fn count(&self, event: &str) -> usize {
        self.events()
            .iter()
            .filter(|e| e["event"]["type"] == event)
            .count()
    }

    /// Waits until the pre-training says that it is in its second epoch; its process and job.
    fn training(&self) -> (i32, String) {
        wait("the pre-training runs", || {
            self.root.join(".amlp/runs").is_dir()
                && self.events().iter().any(|e| {
                    e["event"]["type"] == "progress"
                        && e["event"]["progress"]["epoch"].as_u64().unwrap_or(0) > 1
                })
        });
        let claim = read_dir(&self.root.join(".amlp/claims"))
            .into_iter()
            .find_map(|path| fs::read_to_string(path).ok())
            .unwrap();
        let holder: Value = serde_json::from_str(&claim).unwrap();
        let pid = i32::try_from(holder["pid"].as_u64().unwrap()).unwrap();
        (pid, holder["job"].as_str().unwrap().to_owned())
    }
}

fn read_dir(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn the_graph_runs_under_bad_names_through_a_restart_of_the_controller() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let study = format!("{TINY}{SUP}{AMLP}").replace("seeds = [1]", "seeds = [1, 7]");
    let gpus =
        "gpus = 1\nsetup = ['echo \"$SLURM_JOB_NAME ${CUDA_VISIBLE_DEVICES-none}\" >>gpus.txt']\n";
    let quiet = Place::new("quiet", &study);
    quiet.run(0, &["study.toml", "-q"]);

    let place = Place::new(NASTY, &(study + SLURM + gpus));
    let said = place.submit();
    assert!(said.contains("51 stages in 15 jobs (10 arrays)"), "{said}");
    let again = place.submit();
    assert!(again.contains("nothing to submit"), "{again}");
    wait("some jobs are done", || place.events_so_far("done") >= 8);
    cluster.restart_controller();
    cluster.drain();

    assert_eq!(place.tables(), quiet.tables());
    assert_eq!(place.count("done"), 51, "{:?}", place.events());
    assert_eq!((place.count("failed"), place.count("skipped")), (0, 0));
    // A place for each: two GPUs on a node, and none for what needs none.
    let gpus = fs::read_to_string(place.root.join("gpus.txt")).unwrap();
    for line in gpus.lines() {
        let (job, gpu) = line.split_once(' ').unwrap();
        let is_training = job.starts_with("pretrain") || job.starts_with("finetune");
        assert_eq!(["0", "1"].contains(&gpu), is_training, "{gpus}");
    }
    assert_eq!(gpus.lines().count(), 25, "a line for each task: {gpus}");

    let runs = read_dir(&place.root.join(".amlp/runs")).len();
    place.submit();
    assert_eq!(
        read_dir(&place.root.join(".amlp/runs")).len(),
        runs,
        "all is there"
    );
}

impl Place {
    /// As [`Place::count`], while lines are still being written.
    fn events_so_far(&self, event: &str) -> usize {
        let needle = format!("\"type\":\"{event}\"");
        read_dir(&self.root.join(".amlp/runs"))
            .iter()
            .flat_map(|run| read_dir(&run.join("jobs")))
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
            .map(|path| fs::read_to_string(path).unwrap().matches(&needle).count())
            .sum()
    }
}

#[test]
fn what_follows_a_failure_does_not_run_and_the_table_has_holes() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("hecktor");
    let status = Command::new(env!("CARGO_BIN_EXE_amlp-run"))
        .args([
            "phantom",
            "hecktor2020",
            "--cases",
            "8",
            "--scale",
            "0.2",
            "--out",
        ])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(status.status.success());
    let victim = walk(&folder)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("_pt"))
        .min()
        .unwrap();
    let size = fs::metadata(&victim).unwrap().size();
    fs::File::options()
        .write(true)
        .open(&victim)
        .unwrap()
        .set_len(size / 2)
        .unwrap();
    let phantom = TINY.find("phantom = { kind = \"hecktor2020\"").unwrap();
    let line = TINY[phantom..].split('\n').next().unwrap();
    let study = format!("{TINY}{SUP}{AMLP}")
        .replace(line, &format!("root = \"{}\"", folder.display()))
        .replace("\"brats2018/T2\"", "\"hecktor/PET\"");

    let quiet = Place::new("quiet", &study);
    let said = quiet.run(4, &["study.toml", "-q"]);
    assert!(said.contains("prepare"), "{said}");
    let place = Place::new("jobs", &(study + SLURM));
    let said = place.submit();
    cluster.drain();
    assert_eq!(place.count("failed"), 1, "{said}");
    let tables = place.tables();
    assert_eq!(tables, quiet.tables());
    assert!(
        tables["table_T.md"].contains("prepare failed"),
        "{}",
        tables["table_T.md"]
    );
    // One column is whole, of the other not even the clustering began.
    for (kind, count) in [
        ("prepare", 1),
        ("cluster", 1),
        ("pretrain", 1),
        ("finetune", 4),
    ] {
        assert_eq!(place.digests(kind).len(), count, "{kind}");
    }
    let (status, states) = place.status();
    assert_eq!(status["state"], "finished");
    assert_eq!(status["failed"][0]["kind"], "prepare");
    assert_eq!(states["failed"], 1, "{states:?}");
    assert_eq!(
        states.keys().collect::<Vec<_>>(),
        ["done", "failed", "skipped"]
    );
    let said = place.run(4, &["watch"]);
    assert!(said.contains("failed: prepare"), "{said}");
    let cancelled = cluster
        .ended()
        .iter()
        .filter(|l| l.contains("JobState=CANCELLED"))
        .count();
    assert!(cancelled >= 5, "{:?}", cluster.ended());
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in read_dir(folder) {
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_cancelled_run_goes_on_by_retry() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let study = format!("{TINY}{SUP}{AMLP}");
    let quiet = Place::new("quiet", &study);
    quiet.run(0, &["study.toml", "-q"]);
    let place = Place::new("jobs", &(study + SLURM));
    place.submit();
    wait("a job is done", || place.events_so_far("done") >= 3);
    place.run(0, &["cancel"]);
    cluster.drain();
    let (status, states) = place.status();
    assert_eq!(status["state"], "interrupted", "{states:?}");
    assert!(states["lost"] > 0 && states["done"] >= 3, "{states:?}");
    assert!(
        !states.contains_key("running") && !states.contains_key("pending"),
        "{states:?}"
    );

    place.run(0, &["retry"]);
    place.run(0, &["watch"]);
    let (status, states) = place.status();
    assert_eq!(status["state"], "finished");
    assert_eq!(states.keys().collect::<Vec<_>>(), ["done"]);
    assert_eq!(place.tables(), quiet.tables());
}

/// One row whose pre-training takes about 40 s on one core of this machine, and the same study done
/// on this machine without Slurm.
fn slow() -> &'static (String, Place) {
    static SLOW: OnceLock<(String, Place)> = OnceLock::new();
    SLOW.get_or_init(|| {
        let study = |epochs: u32| {
            format!("{TINY}{AMLP}")
                .replace("width = 2\ndepth = 2", "width = 8\ndepth = 3")
                .replace("labels = [50, 100]", "labels = [100]")
                .replace("\"hecktor/CT\", ", "")
                .replace(
                    "[pretrain]\nepochs = 1\n",
                    &format!("[pretrain]\nepochs = {epochs}\n"),
                )
        };
        let trial = Place::new("trial", &study(40));
        trial.run(0, &["study.toml", "-q", "--jobs", "1", "--threads", "1"]);
        let record = read_dir(&trial.root.join(".amlp/store/pretrain"))
            .pop()
            .unwrap();
        let text = fs::read_to_string(record.join("stage.json")).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        let seconds = record["provenance"]["wall_s"].as_f64().unwrap();
        let epochs = (40.0 * 40.0 / seconds).clamp(100.0, 20_000.0) as u32;
        let quiet = Place::new("quiet", &study(epochs));
        quiet.run(0, &["study.toml", "-q", "--jobs", "1", "--threads", "1"]);
        (study(epochs), quiet)
    })
}

#[track_caller]
fn assert_same(place: &Place, quiet: &Place) {
    for kind in ["pretrain", "finetune", "evaluate", "tabulate"] {
        assert_eq!(place.digests(kind), quiet.digests(kind), "{kind}");
    }
    assert_eq!(place.tables(), quiet.tables());
}

#[test]
fn a_job_whose_node_is_lost_goes_on_elsewhere() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (study, quiet) = slow();
    let place = Place::new("jobs", &format!("{study}{SLURM}"));
    place.submit();
    let (worker, job) = place.training();
    let node = queue("%A %N")
        .iter()
        .find_map(|line| line.strip_prefix(&format!("{job} ")).map(str::to_owned))
        .unwrap();
    cluster.lose(&node, worker);
    wait("the job is back in the queue", || {
        scontrol(&["show", "job", &job]).contains("Restarts=1")
    });
    cluster.drain();
    cluster.bring_back(&node);
    assert_eq!(place.count("failed"), 0);
    assert_same(&place, quiet);
}

#[test]
fn a_training_goes_on_after_the_time_limit_of_its_job() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (study, quiet) = slow();
    // The smallest limit there is, and a warning that Slurm sends within the first half minute.
    let limit = "warn_seconds = 45\n[slurm.pretrain]\ntime = \"1\"\n";
    let place = Place::new("jobs", &format!("{study}{SLURM}{limit}"));
    place.submit();
    let (_, job) = place.training();
    wait("the training gave way", || {
        place.events_so_far("stopped") > 0
    });
    cluster.drain();
    assert_eq!(place.count("failed"), 0);
    let shown = scontrol(&["show", "job", &job]);
    assert!(
        !shown.contains("Restarts=0") && shown.contains("JobState=COMPLETED"),
        "{shown}"
    );
    assert_same(&place, quiet);
}
