//! The script of a job and the options with which it is submitted.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Frozen;
use super::cut::{After, Job};
use super::queue::comment;
use super::quote::{pattern, shell};
use crate::engine::events::RunFolder;
use crate::options::{SlurmOptions, SlurmRequest};
use crate::plan::{Plan, Stage, StageKind};

/// What all jobs of a run share.
#[derive(Clone, Debug)]
pub struct Shared<'a> {
    /// The program.
    pub exe: &'a Path,
    /// Root of the project, where jobs run.
    pub root: &'a Path,
    /// Root of the store.
    pub store: &'a Path,
    /// The device of stages that compute on one.
    pub device: &'a str,
    /// What jobs ask for.
    pub options: &'a SlurmOptions,
    /// Further arguments of the worker.
    pub arguments: &'a [String],
    /// Folder of the run.
    pub folder: &'a RunFolder,
    /// The plan.
    pub plan: &'a Plan,
}

impl Shared<'_> {
    /// File of the job's script.
    #[must_use]
    pub fn script_file(&self, job: &Job) -> PathBuf {
        self.folder.jobs().join(format!("{}.sh", job.id))
    }

    /// What a job does.
    #[must_use]
    pub fn script(&self, job: &Job) -> String {
        let mut text = String::from("#!/bin/bash\n");
        // Writing to a string does not fail.
        let _ = self.write_script(job, &mut text);
        text
    }

    fn write_script(&self, job: &Job, text: &mut String) -> std::fmt::Result {
        let request = self.options.request(job.kind);
        for stage in self.stages(job) {
            // A label is one line for people; whatever it holds, it stays a comment.
            let label: String = stage.label.chars().filter(|c| !c.is_control()).collect();
            writeln!(text, "# {} {label}", stage.key.short())?;
        }
        writeln!(text, "cd -- {} || exit 1", shell(self.root))?;
        for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            writeln!(
                text,
                "export {name}=\"${{SLURM_CPUS_PER_TASK:-${{SLURM_CPUS_ON_NODE:-1}}}}\""
            )?;
        }
        if let Some(filter) = std::env::var_os("AMLP_LOG") {
            writeln!(text, "export AMLP_LOG={}", shell(filter))?;
        }
        for line in request.setup.iter().flatten() {
            writeln!(text, "{line}")?;
        }
        if job.is_array() {
            writeln!(text, "case \"$SLURM_ARRAY_TASK_ID\" in")?;
            for task in &job.tasks {
                writeln!(
                    text,
                    "{}) set -- {} ;;",
                    task.index,
                    self.task(&task.stages)
                )?;
            }
            writeln!(text, "*) exit 1 ;;\nesac")?;
        } else {
            writeln!(text, "set -- {}", self.task(&job.tasks[0].stages))?;
        }
        let further: String = self
            .arguments
            .iter()
            .map(|a| format!("{} ", shell(a)))
            .collect();
        // In place of the shell, so that Slurm's warning before the time limit reaches it.
        writeln!(
            text,
            "exec {} work --plan {} --store {} --device {} {further}\"$@\"",
            shell(self.exe),
            shell(self.folder.plan_file()),
            shell(self.store),
            shell(self.device),
        )
    }

    /// Arguments for the stages of one task.
    fn task(&self, stages: &[usize]) -> String {
        let stage = |i: &usize| &self.plan.stages[*i];
        let mut words: Vec<String> = stages
            .iter()
            .map(|i| format!("--key {}", stage(i).key))
            .collect();
        let events = self
            .folder
            .jobs()
            .join(format!("{}.jsonl", stage(&stages[0]).key));
        words.push(format!("--events {}", shell(events)));
        // Others wait for parts of what cheap jobs make: they fail by themselves, or not at all.
        if stages.len() > 1 && !stages.iter().any(|i| stage(i).kind.on_device()) {
            words.push("--lenient".to_owned());
        }
        if stages.iter().any(|i| stage(i).kind == StageKind::Tabulate) {
            words.push(format!("--tables {}", shell(Frozen::file(self.folder))));
        }
        words.join(" ")
    }

    /// Options of `sbatch` but for dependencies, the script last.
    #[must_use]
    pub fn arguments(&self, job: &Job, dependency: Option<&str>) -> Vec<OsString> {
        let mut all: Vec<OsString> = [
            "--parsable",
            "--requeue",
            "--open-mode=append",
            "--kill-on-invalid-dep=yes",
            "--nodes=1",
            "--ntasks=1",
        ]
        .map(OsString::from)
        .to_vec();
        let mut option = |name: &str, value: OsString| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            all.push(word);
        };
        option("job-name", job.name.clone().into());
        option("comment", comment(&self.folder.id(), &job.id).into());
        option("chdir", self.root.into());
        let output = self.folder.jobs().join(format!("{}.log", job.id));
        option("output", pattern(&output).into());
        let warning = self.options.warning();
        option("signal", format!("B:USR1@{warning}").into());
        for (name, value) in requested(&self.options.request(job.kind)) {
            option(name, value.into());
        }
        if job.is_array() {
            let indices: Vec<String> = job.tasks.iter().map(|t| t.index.to_string()).collect();
            option("array", indices.join(",").into());
        }
        if let Some(dependency) = dependency {
            option("dependency", dependency.into());
        }
        let extra = self.options.request(job.kind).extra;
        all.extend(extra.into_iter().flatten().map(OsString::from));
        all.push(self.script_file(job).into());
        all
    }

    /// Stages of a job, one after the other.
    pub fn stages<'s>(&'s self, job: &'s Job) -> impl Iterator<Item = &'s Stage> {
        let all = job.tasks.iter().flat_map(|task| &task.stages);
        all.map(|&i| &self.plan.stages[i])
    }
}

/// Options of `sbatch` for what is asked for.
fn requested(request: &SlurmRequest) -> Vec<(&'static str, String)> {
    let mut options = Vec::new();
    let named = [
        ("partition", &request.partition),
        ("account", &request.account),
        ("qos", &request.qos),
        ("time", &request.time),
        ("mem", &request.memory),
    ];
    for (name, value) in named {
        options.extend(value.clone().map(|value| (name, value)));
    }
    options.extend(request.cpus.map(|n| ("cpus-per-task", n.to_string())));
    if let Some(gpus) = request.gpus.filter(|&n| n > 0) {
        let resource = match &request.gpu_type {
            Some(kind) => format!("gpu:{kind}:{gpus}"),
            None => format!("gpu:{gpus}"),
        };
        options.push(("gres", resource));
    }
    options
}

/// The dependency of a job; `id` says which number Slurm gave to the job at a position.
#[must_use]
pub fn dependency(after: &[After], id: impl Fn(usize) -> String) -> Option<String> {
    let mut by_type: Vec<(&str, Vec<String>)> = Vec::new();
    for after in after {
        let (name, of) = match after {
            After::Live(place) => ("afterok", place.to_string()),
            After::Job(job) => ("afterok", id(*job)),
            After::Task(job, task) => ("afterok", format!("{}_{task}", id(*job))),
            After::SameTask(job) => ("aftercorr", id(*job)),
            After::SameLive(job) => ("aftercorr", job.to_string()),
            After::End(job) => ("afterany", id(*job)),
            After::LiveEnd(job) => ("afterany", job.to_string()),
        };
        match by_type.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(of),
            None => by_type.push((name, vec![of])),
        }
    }
    let all: Vec<String> = by_type
        .into_iter()
        .map(|(name, of)| format!("{name}:{}", of.join(":")))
        .collect();
    (!all.is_empty()).then(|| all.join(","))
}
