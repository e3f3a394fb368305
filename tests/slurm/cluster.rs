//! The Slurm that `.ci/slurm` brings up: its daemons, nodes and jobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(200);

/// A Slurm of two nodes, for one test at a time.
pub struct Cluster {
    folder: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// The one that is up; `None`, with a word about it, where there is none.
    pub fn find() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let Some(folder) = std::env::var_os("AMLP_SLURM") else {
            println!("skipped: there is no Slurm; .ci/slurm brings one up");
            return None;
        };
        Some(Self {
            folder: folder.into(),
            _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// Starts a daemon anew, as it was.
    fn start(&self, daemon: &str, arguments: &[&str]) {
        let status = Command::new(daemon)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{daemon} {arguments:?}");
    }

    /// The process id of a daemon, by the name of its file.
    fn pid(&self, name: &str) -> i32 {
        let path = self.folder.join("run").join(format!("{name}.pid"));
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    /// Restarts the controller as an administrator does. (One that is killed may have forgotten
    /// what its nodes told it last, and takes minutes to hear of it again.)
    pub fn restart_controller(&self) {
        let pid = self.pid("slurmctld");
        send(pid, libc::SIGTERM);
        wait("the controller ends", || !is_alive(pid));
        self.start("slurmctld", &[]);
    }

    /// Takes a node away: its daemon, the job's worker and what watches over it.
    pub fn lose(&self, node: &str, worker: i32) {
        let watcher = parent(worker);
        for pid in [self.pid(&format!("slurmd.{node}")), watcher, worker] {
            send(pid, libc::SIGKILL);
        }
        scontrol(&[
            "update",
            &format!("nodename={node}"),
            "state=down",
            "reason=lost",
        ]);
    }

    /// Brings it back.
    pub fn bring_back(&self, node: &str) {
        self.start("slurmd", &["-N", node]);
        wait("the node comes back", || {
            let _ = Command::new("scontrol")
                .args(["update", &format!("nodename={node}"), "state=resume"])
                .output();
            text_of("sinfo", &["-h", "-n", node, "-N", "-o", "%T"]).trim() == "idle"
        });
    }

    /// Waits until no job of ours is left.
    pub fn drain(&self) {
        wait("the queue is empty", || {
            queue("%k").iter().all(|c| !c.starts_with("amlp:"))
        });
    }

    /// What it said of all jobs that ended: a line each.
    pub fn ended(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("log/jobs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A line for each task in the queue.
pub fn queue(format: &str) -> Vec<String> {
    let text = text_of("squeue", &["-h", "-r", "-o", format]);
    text.lines().map(str::to_owned).collect()
}

pub fn scontrol(arguments: &[&str]) -> String {
    let output = Command::new("scontrol").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "scontrol {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program prints; nothing where it fails, as it does while the controller is away.
fn text_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    if output.status.success() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        "amlp:unknown".to_owned()
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < PATIENCE,
            "waited in vain until {what}: {:?}",
            queue("%i %j %T %r")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn send(pid: i32, signal: i32) {
    // SAFETY: sends a signal to a process of this test's own Slurm.
    unsafe {
        libc::kill(pid, signal);
    }
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn parent(pid: i32) -> i32 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap();
    let fields = &text[text.rfind(')').unwrap() + 2..];
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}
