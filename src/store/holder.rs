//! Processes that hold claims: who they are, and whether one of this machine still lives.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{clock, host_name};

/// The process that holds a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Machine.
    pub host: String,
    /// Start of the process in ticks since boot, which tells it from a later one with the same id.
    #[serde(default)]
    pub process_start: Option<u64>,
    /// Which boot of which kernel it runs on: machines may share a name.
    #[serde(default)]
    pub boot: Option<String>,
    /// In which namespace its process id counts: containers may share a name and a kernel.
    #[serde(default)]
    pub pid_namespace: Option<u64>,
    /// Slurm job, where it runs in one.
    #[serde(default)]
    pub job: Option<String>,
    /// How often Slurm has requeued that job.
    #[serde(default)]
    pub restart: u32,
    /// When it claimed the stage: UTC, RFC 3339.
    pub since: String,
    /// For how many seconds it has shown no sign of life, where that is doubtful.
    #[serde(skip)]
    pub silent_s: Option<u64>,
}

/// How a holder's process can be told to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Its process id means a process that we can see.
    Here,
    /// Only its heartbeat tells.
    Elsewhere,
    /// It was an earlier start of our own job, which is over.
    Past,
}

impl Holder {
    /// This process.
    pub(crate) fn current() -> Self {
        static THIS: OnceLock<Holder> = OnceLock::new();
        let this = THIS.get_or_init(|| {
            let pid = std::process::id();
            let variable = |name| std::env::var(name).ok();
            Self {
                pid,
                host: host_name(),
                process_start: process_stat(pid).map(|(_, start)| start),
                boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                    .ok()
                    .map(|id| id.trim().to_owned()),
                pid_namespace: fs::metadata("/proc/self/ns/pid").ok().map(|m| m.ino()),
                job: variable("SLURM_JOB_ID"),
                restart: variable("SLURM_RESTART_COUNT")
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0),
                since: String::new(),
                silent_s: None,
            }
        });
        Self {
            since: clock::rfc3339(SystemTime::now()),
            ..this.clone()
        }
    }

    /// Whether the process runs. Nothing can be told of those of another machine.
    #[must_use]
    pub fn is_alive(&self) -> Option<bool> {
        match self.whereabouts() {
            Whereabouts::Here => Some(is_alive(self.pid, self.process_start)),
            Whereabouts::Elsewhere => None,
            Whereabouts::Past => Some(false),
        }
    }

    /// A process of which nothing is known yet.
    pub(super) fn unknown() -> Self {
        Self {
            pid: 0,
            host: "unknown".to_owned(),
            process_start: None,
            boot: None,
            pid_namespace: None,
            job: None,
            restart: 0,
            since: String::new(),
            silent_s: None,
        }
    }

    /// How this process can tell whether the holder lives.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        self.seen_from(&Self::current())
    }

    /// The same for another process than this.
    pub(super) fn seen_from(&self, here: &Self) -> Whereabouts {
        // What only one of the two knows tells nothing.
        fn differ<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        if self.job.is_some() && self.job == here.job && self.restart < here.restart {
            Whereabouts::Past
        } else if self.host != here.host
            || differ(self.boot.as_ref(), here.boot.as_ref())
            || differ(self.pid_namespace.as_ref(), here.pid_namespace.as_ref())
        {
            Whereabouts::Elsewhere
        } else {
            Whereabouts::Here
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        if let Some(job) = &self.job {
            write!(f, " (job {job})")?;
        }
        match self.silent_s {
            Some(seconds @ ..7200) => write!(f, ", silent for {} min", seconds / 60),
            Some(seconds) => write!(f, ", silent for {} h", seconds / 3600),
            None => Ok(()),
        }
    }
}

/// Whether process `pid` runs on this machine.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    is_alive(pid, None)
}

/// Whether process `pid` of this machine runs and is the one that started at `start`.
pub(super) fn is_alive(pid: u32, start: Option<u64>) -> bool {
    let Ok(id) = libc::pid_t::try_from(pid) else {
        return false;
    };
    if id <= 0 {
        return false;
    }
    // SAFETY: signal 0 is not delivered; the call only asks whether the process exists.
    let status = unsafe { libc::kill(id, 0) };
    if status != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) {
        return false;
    }
    match (process_stat(pid), start) {
        (Some((b'Z' | b'X', _)), _) => false,
        (Some((_, now)), Some(then)) => now == then,
        _ => true,
    }
}

/// State letter and start time in ticks since boot of a process, where the system tells (Linux).
fn process_stat(pid: u32) -> Option<(u8, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // State is field 3, start time field 22 (proc(5)).
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_says_where_it_is_and_how_long_it_is_silent() {
        let mut holder = Holder {
            pid: 7,
            host: "node1".to_owned(),
            ..Holder::unknown()
        };
        assert_eq!(holder.to_string(), "process 7 on node1");
        holder.job = Some("12".to_owned());
        holder.silent_s = Some(600);
        assert_eq!(
            holder.to_string(),
            "process 7 on node1 (job 12), silent for 10 min"
        );
        holder.silent_s = Some(3 * 3600);
        assert!(holder.to_string().ends_with("silent for 3 h"));
    }
}
