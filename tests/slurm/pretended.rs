//! What is submitted, refused and adopted, with an `sbatch` that only notes what it was given.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::project::{Project, Ran, tiny};

const SBATCH: &str = r#"#!/bin/bash
read -r taken <"$FAKE/taken"
read -r limit <"$FAKE/limit"
if [ "$taken" -ge "$limit" ]; then
    echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting policy" >&2
    exit 1
fi
taken=$((taken + 1))
echo "$taken" >"$FAKE/taken"
printf '%s\0' "$@" >"$FAKE/job.$taken"
echo "$((100 + taken));cluster"
"#;

const SQUEUE: &str = r#"#!/bin/bash
if [ "$1" = --json ]; then
    [ -e "$FAKE/old" ] && { echo "squeue: unrecognized option '--json'" >&2; exit 1; }
    exec /bin/cat "$FAKE/queue.json"
fi
exec /bin/cat "$FAKE/queue.txt"
"#;

const SCANCEL: &str = r#"#!/bin/bash
printf '%s\n' "$@" >>"$FAKE/cancelled"
"#;

/// A project beside programs that pretend to be Slurm's.
struct Pretended {
    project: Project,
    fake: PathBuf,
}

/// A job that was submitted.
struct Job {
    number: u64,
    options: Vec<String>,
    script: String,
}

impl Job {
    fn option(&self, name: &str) -> Option<&str> {
        let prefix = format!("--{name}=");
        self.options.iter().find_map(|o| o.strip_prefix(&prefix))
    }
}

impl Pretended {
    fn new(manifest: &str) -> Self {
        let project = Project::empty();
        project.write("tiny.toml", manifest);
        let fake = project.path("fake");
        let programs = [
            ("bin/sbatch", SBATCH),
            ("bin/squeue", SQUEUE),
            ("bin/scancel", SCANCEL),
        ];
        for (name, text) in programs {
            project.write(&format!("fake/{name}"), text);
            let path = fake.join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in [("taken", "0\n"), ("limit", "1000\n")] {
            project.write(&format!("fake/{name}"), text);
        }
        let pretended = Self { project, fake };
        pretended.queue("COMPLETED");
        pretended
    }

    /// Submits what is missing.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["run", "tiny.toml", "--engine", "slurm"];
        all.extend(arguments);
        self.call(&all)
    }

    /// The program with these arguments, to its end.
    fn call(&self, arguments: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.fake.join("bin").display());
        let mut command = self.project.command(arguments);
        let output = command
            .env("FAKE", &self.fake)
            .env("PATH", path)
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The status of the last run, and how many stages stand in each way.
    fn status(&self) -> (Value, BTreeMap<String, usize>) {
        let ran = self.call(&["status", "--format", "json"]).expect(0);
        let status: Value = serde_json::from_str(&ran.out).unwrap();
        let mut counts = BTreeMap::new();
        for stage in status["stages"].as_array().unwrap() {
            let state = stage["state"].as_str().unwrap().to_owned();
            *counts.entry(state).or_default() += 1;
        }
        (status, counts)
    }

    fn limit(&self, limit: usize) {
        fs::write(self.fake.join("limit"), format!("{limit}\n")).unwrap();
    }

    fn jobs(&self) -> Vec<Job> {
        (1..)
            .map_while(|n| {
                fs::read_to_string(self.fake.join(format!("job.{n}")))
                    .ok()
                    .map(|t| (n, t))
            })
            .map(|(n, text)| {
                let mut options: Vec<String> =
                    text.split_terminator('\0').map(str::to_owned).collect();
                let script = options.pop().unwrap();
                Job {
                    number: 100 + n,
                    options,
                    script: fs::read_to_string(script).unwrap(),
                }
            })
            .collect()
    }

    /// Puts all jobs that were taken into the queue, in this state.
    fn queue(&self, state: &str) {
        let mut entries = Vec::new();
        let mut lines = String::new();
        for job in self.jobs() {
            let comment = job.option("comment").unwrap();
            entries.push(json!({
                "job_id": job.number,
                "array_job_id": if job.option("array").is_some() { job.number } else { 0 },
                "array_task_id": Value::Null,
                "array_task_string": job.option("array").unwrap_or_default(),
                "job_state": state, "state_reason": "None", "nodes": "", "comment": comment,
            }));
            let n = job.number;
            for task in job.option("array").unwrap_or("N/A").split(',') {
                lines.push_str(&format!("{n}|{n}|{task}|{state}||None|{comment}\n"));
            }
        }
        let text = json!({ "jobs": entries }).to_string();
        fs::write(self.fake.join("queue.json"), text).unwrap();
        fs::write(self.fake.join("queue.txt"), lines).unwrap();
    }
}

fn two_seeds() -> String {
    tiny().replace("seeds = [1]", "seeds = [1, 7]")
}

#[test]
fn jobs_arrays_and_what_they_wait_for() {
    let slurm = "\n[slurm]\npartition = \"gpu\"\ntime = \"12:00:00\"\ncpus = 8\ngpus = 1\n\
                 gpu_type = \"a100\"\nextra = [\"--constraint=big mem\"]\nsetup = [\"module load x\"]\n\
                 warn_seconds = 60\n[slurm.cheap]\npartition = \"cpu\"\nextra = []\n\
                 [slurm.pretrain]\ntime = \"2-00:00:00\"\nmemory = \"64G\"\n";
    let pretended = Pretended::new(&(two_seeds() + slurm));
    let ran = pretended.run(&[]).expect(0);
    assert!(
        ran.err
            .contains("51 stages in 15 jobs (10 arrays), 0 in the store"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("name their device with --device"),
        "{}",
        ran.err
    );
    let jobs = pretended.jobs();
    assert_eq!(jobs.len(), 15);
    let named = |name: &str| -> Vec<&Job> {
        let is = |job: &&Job| job.option("job-name").unwrap().starts_with(name);
        jobs.iter().filter(is).collect()
    };
    let source = named("phantom")[0];
    assert_eq!(
        (source.option("dependency"), source.option("array")),
        (None, None)
    );
    assert_eq!(
        (source.option("partition"), source.option("gres")),
        (Some("cpu"), None)
    );
    assert!(!source.options.contains(&"--constraint=big mem".to_owned()));
    let pretrain = named("pretrain")[0];
    assert_eq!(pretrain.option("array"), Some("0,1"));
    assert_eq!(pretrain.option("dependency"), Some("afterok:101:103"));
    assert_eq!(pretrain.option("time"), Some("2-00:00:00"));
    assert_eq!(
        (pretrain.option("mem"), pretrain.option("cpus-per-task")),
        (Some("64G"), Some("8"))
    );
    assert_eq!(pretrain.option("gres"), Some("gpu:a100:1"));
    assert_eq!(pretrain.option("signal"), Some("B:USR1@60"));
    assert!(
        pretrain
            .options
            .contains(&"--constraint=big mem".to_owned())
    );
    assert!(
        pretrain.script.contains("\nmodule load x\n"),
        "{}",
        pretrain.script
    );
    let finetune = named("finetune");
    assert_eq!(finetune.len(), 8);
    assert_eq!(
        finetune[4].option("dependency"),
        Some("afterok:101:103,aftercorr:105")
    );
    assert_eq!(finetune[4].option("time"), Some("12:00:00"));
    let table = named("tabulate")[0];
    assert_eq!(
        table.option("dependency"),
        Some("afterany:107:108:109:110:111:112:113:114")
    );
    for job in &jobs {
        for option in [
            "--parsable",
            "--requeue",
            "--kill-on-invalid-dep=yes",
            "--open-mode=append",
        ] {
            assert!(job.options.iter().any(|o| o == option), "{option}");
        }
        let check = Command::new("bash")
            .arg("-n")
            .arg("-c")
            .arg(&job.script)
            .status();
        assert!(check.unwrap().success(), "{}", job.script);
        assert!(job.script.contains("exec ") && !job.script.contains(" plan "));
    }
}

#[test]
fn a_run_goes_on_where_sbatch_failed_and_nothing_is_submitted_twice() {
    for old in [false, true] {
        let pretended = Pretended::new(&two_seeds());
        if old {
            pretended.project.write("fake/old", "");
        }
        pretended.limit(0);
        let refused = pretended.run(&[]).expect(1);
        assert!(
            refused.err.contains("sbatch says: QOSMax"),
            "{}",
            refused.err
        );
        assert!(pretended.project.runs().is_empty(), "nothing came of it");
        pretended.limit(6);
        let first = pretended.run(&[]).expect(1);
        assert!(
            first
                .err
                .contains("sbatch says: QOSMaxSubmitJobPerUserLimit"),
            "{}",
            first.err
        );
        assert!(
            first.err.contains(
                "6 jobs were submitted and stay (101, 102, 103, 104, 105, 106), 9 were not"
            ),
            "{}",
            first.err
        );
        pretended.queue("PENDING");
        pretended.limit(1000);
        let second = pretended.run(&[]).expect(0);
        assert!(
            second.err.contains("stages in 9 jobs (8 arrays)"),
            "{}",
            second.err
        );
        assert!(
            second
                .err
                .contains("101, 102, 103, 104, 105_0, 105_1, 106_0, 106_1")
        );
        let jobs = pretended.jobs();
        assert_eq!(jobs.len(), 15);
        let waits: Vec<&str> = jobs[6..]
            .iter()
            .filter_map(|j| j.option("dependency"))
            .collect();
        assert_eq!(waits[0], "afterok:101:103");
        assert_eq!(waits[4], "afterok:101:103,aftercorr:105");
        pretended.queue("RUNNING");
        let third = pretended.run(&[]).expect(0);
        assert!(
            third
                .err
                .contains("nothing to submit: 51 stages in the queue"),
            "{}",
            third.err
        );
        assert_eq!(pretended.jobs().len(), jobs.len());
        assert_eq!(pretended.project.runs().len(), 2);

        // What has ended without leaving anything is lost, and submitted anew.
        pretended.queue("NODE_FAIL");
        pretended.run(&[]).expect(0);
        assert_eq!(pretended.jobs().len(), jobs.len() + 15);
    }
}

#[test]
fn jobs_of_another_store_are_none_of_ours() {
    let pretended = Pretended::new(&two_seeds());
    pretended.run(&[]).expect(0);
    pretended.queue("PENDING");
    pretended.run(&["--store", "elsewhere"]).expect(0);
    let jobs = pretended.jobs();
    assert_eq!(jobs.len(), 30);
    let store = fs::canonicalize(pretended.project.path("elsewhere")).unwrap();
    assert!(
        jobs[20]
            .script
            .contains(&format!("--store {}", store.display()))
    );
}

#[test]
fn a_dry_run_shows_scripts_without_slurm() {
    let project = Project::empty();
    project.write("tiny.toml", &two_seeds());
    let nothing = project.path("nothing");
    fs::create_dir(&nothing).unwrap();
    let run = |arguments: &[&str]| {
        let output = project
            .command(arguments)
            .env("PATH", &nothing)
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    run(&["tiny.toml", "--engine", "slurm", "--dry-run"])
        .expect(0)
        .shows(&[
            "# JOB5\nsbatch --parsable",
            "--dependency=afterok:JOB1:JOB3",
            "aftercorr:JOB5",
            "    case \"$SLURM_ARRAY_TASK_ID\" in",
            "    exec ",
        ])
        .says(&["51 stages in 15 jobs (10 arrays), 0 in the store"]);
    assert!(!project.path(".amlp").exists());
    run(&["tiny.toml", "--engine", "slurm", "--jobs", "2"])
        .expect(2)
        .says(&["--jobs is for --engine local", "[slurm] table"]);
    run(&["tiny.toml", "--engine", "slurm"])
        .expect(1)
        .says(&["there is no 'squeue' on the PATH", "login node"]);
    assert!(!project.path(".amlp/runs").exists());
}

#[test]
fn status_cancel_and_retry_go_by_store_and_queue() {
    let pretended = Pretended::new(&two_seeds());
    pretended.run(&[]).expect(0);
    pretended.queue("PENDING");
    let (status, counts) = pretended.status();
    assert_eq!(
        (&status["engine"], &status["state"]),
        (&json!("slurm"), &json!("running"))
    );
    assert_eq!(counts, BTreeMap::from([("pending".to_owned(), 51)]));
    assert_eq!(status["stages"][0]["job"], "101");
    assert_eq!(status["stages"][0]["reason"], "None");
    let mut jobs: Vec<&str> = status["stages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["kind"] == "pretrain")
        .map(|s| s["job"].as_str().unwrap())
        .collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["105_0", "105_1", "106_0", "106_1"]);
    pretended.call(&["status"]).expect(0).shows(&[
        "is running for",
        "(on Slurm)",
        "0 of 51 stages done",
        "waiting: 51 None",
    ]);
    // Nothing of it failed: there is nothing to try again.
    pretended
        .call(&["retry"])
        .expect(0)
        .shows(&["nothing is left"]);

    // The first job has run; then all is cancelled.
    let script = &pretended.jobs()[0].script;
    let ran = Command::new("bash").arg("-c").arg(script).status().unwrap();
    assert!(ran.success());
    pretended
        .call(&["cancel"])
        .expect(0)
        .shows(&["cancelled 25 jobs of run"]);
    let cancelled = fs::read_to_string(pretended.fake.join("cancelled")).unwrap();
    assert!(
        cancelled.starts_with("101\n102\n103\n104\n105_0\n105_1\n"),
        "{cancelled}"
    );
    pretended.queue("CANCELLED");
    let (status, counts) = pretended.status();
    assert_eq!(
        (&status["state"], &status["done"]),
        (&json!("interrupted"), &json!(4))
    );
    let expected = [("done", 4), ("lost", 2), ("skipped", 45)];
    assert_eq!(counts, expected.map(|(k, n)| (k.to_owned(), n)).into());
    pretended.call(&["status"]).expect(0).shows(&[
        "was interrupted",
        "4 of 51 stages done",
        "lost (neither done nor",
        "phantom",
    ]);
    pretended
        .call(&["cancel"])
        .expect(0)
        .shows(&["has no job in the queue"]);
    pretended
        .call(&["watch"])
        .expect(130)
        .says(&["interrupted: 4 ran, 0 cached, 45 skipped, 2 not finished"]);

    pretended
        .call(&["retry"])
        .expect(0)
        .says(&["47 stages in 14 jobs"]);
    pretended.queue("PENDING");
    let (status, counts) = pretended.status();
    assert_eq!(status["state"], "running");
    assert_eq!(counts, BTreeMap::from([("pending".to_owned(), 47)]));
    assert_eq!(status["retry_of"], json!(pretended.project.runs()[0]));
}

#[test]
fn what_a_job_runs_it_runs_once() {
    // The jobs themselves, without a queue: each script in turn, and once more.
    let pretended = Pretended::new(&tiny());
    pretended.run(&[]).expect(0);
    let run_all = |jobs: &[Job]| {
        for job in jobs {
            let output = Command::new("bash")
                .arg("-c")
                .arg(&job.script)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    };
    let jobs = pretended.jobs();
    run_all(&jobs);
    let records = pretended.project.records();
    assert_eq!(records.len(), 29);
    run_all(&jobs);
    assert_eq!(pretended.project.records(), records);
    let tables = pretended.project.tables();
    let quiet = Project::done();
    assert_eq!(tables, quiet.tables());
    assert_eq!(started(&pretended.project), 29);
}

/// How often a stage was begun, by the events of the jobs of the last run.
fn started(project: &Project) -> usize {
    let run = project.runs().pop().unwrap();
    let folder = project.path(&format!(".amlp/runs/{run}/jobs"));
    let is_log = |path: &Path| path.extension().is_some_and(|e| e == "jsonl");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_log(path))
        .map(|path| {
            fs::read_to_string(path)
                .unwrap()
                .matches("\"type\":\"started\"")
                .count()
        })
        .sum()
}
