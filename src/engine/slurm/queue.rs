//! What Slurm has in its queue.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SlurmError;
use super::command::{self, Tool};

/// How the comments of our jobs begin.
const MARK: &str = "amlp:";

/// A job, or a task of an array, as Slurm names it: `12`, `12_3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The job; of an array the id of the whole.
    pub job: u64,
    /// The task, where it is an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{}_{task}", self.job),
            None => write!(f, "{}", self.job),
        }
    }
}

/// How a job in the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits.
    Pending,
    /// It runs, or is about to, or was suspended.
    Running,
    /// It is over, or will never start.
    Over,
}

/// One of our jobs, or a task of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueuedJob {
    /// Which.
    #[serde(flatten)]
    pub place: Place,
    /// How it is.
    pub state: JobState,
    /// Slurm's own word for its state: `PENDING`, `TIMEOUT`, ...
    pub word: String,
    /// Why it waits, or how it ended, in Slurm's word: `Resources`, `Dependency`, ...
    pub reason: String,
    /// Where it runs.
    pub nodes: String,
    /// The run that submitted it.
    pub run: String,
    /// Its identity in that run.
    pub id: String,
}

/// The comment by which jobs are known again.
#[must_use]
pub fn comment(run: &str, id: &str) -> String {
    format!("{MARK}{run}:{id}")
}

/// All jobs of this user that some run of this program has submitted.
///
/// # Errors
/// There is no Slurm, or it does not answer.
pub fn jobs() -> Result<Vec<QueuedJob>, SlurmError> {
    let mut squeue = Command::new(Tool::Squeue.name());
    squeue.args(["--json", "--me"]);
    let failed = match command::run(Tool::Squeue, squeue) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(value) => return Ok(of_json(&value)),
            Err(_) => None,
        },
        Err(error @ SlurmError::Missing { .. }) => return Err(error),
        Err(error) => Some(error),
    };
    // Before 21.08, or built without JSON.
    let mut squeue = Command::new(Tool::Squeue.name());
    squeue.args(["--noheader", "--array", "--states=all", "--user"]);
    squeue.arg(user());
    squeue.args(["--format", "%A|%F|%K|%T|%N|%r|%k"]);
    match command::run(Tool::Squeue, squeue) {
        Ok(text) => Ok(text.lines().filter_map(of_line).collect()),
        Err(error) => Err(failed.unwrap_or(error)),
    }
}

/// This user, by number.
fn user() -> String {
    // SAFETY: a plain system call that cannot fail.
    unsafe { libc::getuid() }.to_string()
}

/// The jobs of ours in the output of `squeue --json`, whose form changed over the years.
fn of_json(value: &Value) -> Vec<QueuedJob> {
    let jobs = value["jobs"].as_array().map_or(&[][..], Vec::as_slice);
    jobs.iter().flat_map(of_entry).collect()
}

fn of_entry(entry: &Value) -> Vec<QueuedJob> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let word = match &entry["job_state"] {
        // A state and its flags, since 23.11.
        Value::Array(words) => words.first().and_then(Value::as_str).unwrap_or_default(),
        other => other.as_str().unwrap_or_default(),
    };
    let reason = text("state_reason");
    let job = |place: Place| queued(place, word, reason, text("nodes"), text("comment"));
    let Some(id) = number(&entry["job_id"]) else {
        return Vec::new();
    };
    let array = number(&entry["array_job_id"]).filter(|&array| array != 0);
    let task = number(&entry["array_task_id"]).and_then(|t| u32::try_from(t).ok());
    let tasks = text("array_task_string");
    let places = match (array, task) {
        (None, _) => vec![Place {
            job: id,
            task: None,
        }],
        (Some(array), None) if !tasks.is_empty() => indices(tasks)
            .into_iter()
            .map(|task| Place {
                job: array,
                task: Some(task),
            })
            .collect(),
        (Some(array), task) => vec![Place { job: array, task }],
    };
    places.into_iter().filter_map(job).collect()
}

/// A number, which newer versions wrap to tell those that are not set.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Object(wrapped) => match wrapped.get("set") {
            Some(Value::Bool(true)) => wrapped.get("number")?.as_u64(),
            _ => None,
        },
        other => other.as_u64(),
    }
}

/// The tasks of an array that have no record of their own yet: `0-2,5`, `1-9:4%2`.
fn indices(text: &str) -> Vec<u32> {
    /// More tasks than any array has.
    const MOST: usize = 1 << 20;
    let text = text.split('%').next().unwrap_or_default();
    let mut all = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once(':').unwrap_or((part, "1"));
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (Ok(low), Ok(high), Ok(step)) = (
            low.parse::<u32>(),
            high.parse::<u32>(),
            step.parse::<usize>(),
        ) else {
            continue;
        };
        all.extend((low..=high).step_by(step.max(1)).take(MOST));
    }
    all
}

/// A line of the format above; the comment is last, for it may hold anything.
fn of_line(line: &str) -> Option<QueuedJob> {
    let mut fields = line.splitn(7, '|');
    let mut next = || fields.next();
    let (own, array, task) = (next()?, next()?, next()?);
    let (word, nodes, reason, comment) = (next()?, next()?, next()?, next()?);
    let place = match task.parse() {
        Ok(task) => Place {
            job: array.parse().ok()?,
            task: Some(task),
        },
        Err(_) => Place {
            job: own.parse().ok()?,
            task: None,
        },
    };
    queued(place, word, reason, nodes, comment)
}

fn queued(place: Place, word: &str, reason: &str, nodes: &str, comment: &str) -> Option<QueuedJob> {
    let (run, id) = comment.strip_prefix(MARK)?.rsplit_once(':')?;
    Some(QueuedJob {
        place,
        state: state(word, reason),
        word: word.to_owned(),
        reason: reason.to_owned(),
        nodes: nodes.to_owned(),
        run: run.to_owned(),
        id: id.to_owned(),
    })
}

fn state(word: &str, reason: &str) -> JobState {
    match word {
        // It stays in the queue for a moment, but nothing can come of it.
        "PENDING" if reason == "DependencyNeverSatisfied" => JobState::Over,
        "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT"
        | "RESV_DEL_HOLD" => JobState::Pending,
        "RUNNING" | "CONFIGURING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "RESIZING"
        | "SIGNALING" | "STAGE_OUT" => JobState::Running,
        _ => JobState::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(job: u64, task: Option<u32>) -> Place {
        Place { job, task }
    }

    #[test]
    fn the_json_of_old_and_new_versions() {
        let old = json!({ "jobs": [
            { "job_id": 7, "array_job_id": 0, "array_task_id": null, "array_task_string": "",
              "job_state": "PENDING", "state_reason": "Dependency", "nodes": "",
              "comment": "amlp:20261125T220000Z-5:abc" },
            { "job_id": 10, "array_job_id": 5, "array_task_id": 0, "array_task_string": "",
              "job_state": "RUNNING", "state_reason": "None", "nodes": "n1",
              "comment": "amlp:r:def" },
            { "job_id": 5, "array_job_id": 5, "array_task_id": null, "array_task_string": "1-2,4",
              "job_state": "PENDING", "state_reason": "Resources", "nodes": "",
              "comment": "amlp:r:def" },
            { "job_id": 8, "job_state": "RUNNING", "comment": "somebody else's" },
        ]});
        let jobs = of_json(&old);
        let found: Vec<_> = jobs
            .iter()
            .map(|j| (j.place.to_string(), j.state))
            .collect();
        let pending = JobState::Pending;
        let expected = [
            ("7", pending),
            ("5_0", JobState::Running),
            ("5_1", pending),
            ("5_2", pending),
            ("5_4", pending),
        ];
        assert_eq!(found, expected.map(|(p, s)| (p.to_owned(), s)));
        assert_eq!(
            (jobs[0].run.as_str(), jobs[0].id.as_str()),
            ("20261125T220000Z-5", "abc")
        );
        assert_eq!(jobs[1].nodes, "n1");

        let unset = json!({ "set": false, "infinite": false, "number": 0 });
        let new = json!({ "jobs": [
            { "job_id": 9, "array_job_id": unset, "array_task_id": unset, "array_task_string": "",
              "job_state": ["COMPLETED"], "state_reason": "None", "nodes": "n1",
              "comment": "amlp:r:x" },
            { "job_id": 11, "array_job_id": { "set": true, "number": 11 },
              "array_task_id": { "set": true, "number": 3 }, "array_task_string": "",
              "job_state": ["RUNNING"], "state_reason": "None", "nodes": "n2",
              "comment": "amlp:r:y" },
        ]});
        let jobs = of_json(&new);
        assert_eq!(
            (&jobs[0].place, jobs[0].state),
            (&place(9, None), JobState::Over)
        );
        assert_eq!(
            (&jobs[1].place, jobs[1].state),
            (&place(11, Some(3)), JobState::Running)
        );
    }

    #[test]
    fn the_lines_of_those_without_json() {
        let job = of_line("12|10|2|RUNNING|n1|None|amlp:r:abc").unwrap();
        assert_eq!(job.place, place(10, Some(2)));
        let job = of_line("12|12|N/A|PENDING||DependencyNeverSatisfied|amlp:r:a").unwrap();
        assert_eq!((job.place, job.state), (place(12, None), JobState::Over));
        assert_eq!(of_line("12|12|N/A|PENDING||Priority|(null)"), None);
        assert_eq!(of_line("slurm_load_jobs error"), None);
    }

    #[test]
    fn ranges() {
        assert_eq!(indices("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(indices("1-9:4%2"), [1, 5, 9]);
        assert_eq!(indices("x"), [0; 0]);
    }
}
