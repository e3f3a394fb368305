//! Claims: who is making an artifact right now.
//!
//! A claim only saves work: that an artifact is published whole and once follows from the rename
//! (`publish`), even where two processes hold a claim on one key. So every doubt is decided for
//! going on.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{StoreError, clock, disk, host_name};

/// How often a holder shows that it is alive, by the modification time of its claim.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How long the claim of another machine outlives its last heartbeat.
pub(crate) const EXPIRY: Duration = Duration::from_secs(10 * 60);

/// How long a claim may stay without content, on a file system without hard links: the holder is
/// between creating and writing it.
const UNWRITTEN: Duration = Duration::from_secs(5);

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
    /// Slurm job, where it runs in one.
    #[serde(default)]
    pub job: Option<String>,
    /// When it claimed the stage: UTC, RFC 3339.
    pub since: String,
}

impl Holder {
    /// This process.
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            host: host_name(),
            process_start: process_start(pid),
            job: std::env::var("SLURM_JOB_ID").ok(),
            since: clock::rfc3339(SystemTime::now()),
        }
    }

    /// Whether the process runs. Of those of another machine nothing can be told, unless it was an
    /// earlier term of this very Slurm job: that has ended, or its node was lost.
    #[must_use]
    pub fn is_alive(&self) -> Option<bool> {
        if self.host == host_name() {
            return Some(is_alive(self.pid, self.process_start));
        }
        let own = std::env::var("SLURM_JOB_ID").ok();
        self.is_former_term(own.as_deref()).then_some(false)
    }

    /// Whether it ran in the Slurm job `own`.
    fn is_former_term(&self, own: Option<&str>) -> bool {
        self.job.is_some() && self.job.as_deref() == own
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        match &self.job {
            Some(job) => write!(f, " (job {job})"),
            None => Ok(()),
        }
    }
}

/// What stands at a claim's path.
enum Standing {
    Free,
    Held(Holder),
    /// Left by a process that is gone.
    Stale,
}

/// The living holder of the claim at `path`, if there is one. Never changes anything.
pub(crate) fn holder(path: &Path, expiry: Duration) -> Result<Option<Holder>, StoreError> {
    Ok(match standing(path, expiry)? {
        Standing::Held(holder) => Some(holder),
        Standing::Free | Standing::Stale => None,
    })
}

fn standing(path: &Path, expiry: Duration) -> Result<Standing, StoreError> {
    let Some(text) = disk::read_text(path)? else {
        return Ok(Standing::Free);
    };
    let age = match fs::metadata(path).and_then(|meta| meta.modified()) {
        // A clock that is ahead of ours makes a claim young, never old.
        Ok(time) => SystemTime::now().duration_since(time).unwrap_or_default(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Standing::Free),
        Err(e) => return Err(StoreError::reading(path)(e)),
    };
    let Ok(holder) = serde_json::from_str::<Holder>(&text) else {
        return Ok(if age < UNWRITTEN {
            Standing::Held(Holder {
                pid: 0,
                host: "unknown".to_owned(),
                process_start: None,
                job: None,
                since: String::new(),
            })
        } else {
            Standing::Stale
        });
    };
    let alive = holder.is_alive().unwrap_or(age < expiry);
    Ok(if alive {
        Standing::Held(holder)
    } else {
        Standing::Stale
    })
}

/// A claim of this process. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    /// The file that was created: its inode tells ours from one that replaced it.
    file: File,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

/// What came of trying to claim.
pub(crate) enum Claiming {
    Claimed(Claim),
    Held(Holder),
}

impl Claim {
    /// Claims `path`, replacing a claim whose holder is gone.
    pub(crate) fn take(path: &Path, expiry: Duration) -> Result<Claiming, StoreError> {
        loop {
            let claim = match standing(path, expiry)? {
                Standing::Held(holder) => return Ok(Claiming::Held(holder)),
                Standing::Free => Self::create(path)?,
                Standing::Stale => Self::replace(path, expiry)?,
            };
            if let Some(claim) = claim {
                return Ok(Claiming::Claimed(claim));
            }
        }
    }

    /// Creates a claim where there is none; `None` where somebody else was quicker. It appears with
    /// its content, by a hard link, where the file system has such.
    fn create(path: &Path) -> Result<Option<Self>, StoreError> {
        let (temporary, file) = Self::draft(path)?;
        let linked = fs::hard_link(&temporary, path);
        disk::remove_file(&temporary)?;
        match linked {
            Ok(()) => Ok(Some(Self::start(path, file))),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(_) => match File::create_new(path) {
                Ok(mut file) => {
                    write_holder(&mut file, path)?;
                    Ok(Some(Self::start(path, file)))
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
                Err(e) => Err(StoreError::writing("create claim", path)(e)),
            },
        }
    }

    /// A claim of ours beside `path`, to be put there.
    fn draft(path: &Path) -> Result<(PathBuf, File), StoreError> {
        let temporary = path.with_extension(format!("{}.tmp", disk::unique()));
        let mut file = File::create_new(&temporary)
            .map_err(StoreError::writing("create claim", &temporary))?;
        write_holder(&mut file, &temporary)?;
        Ok((temporary, file))
    }

    /// Puts a claim of ours in the place of a stale one. Of several processes that try, the one
    /// that locks the stale file replaces it; the others find another file at the path and look
    /// again (`None`). The lock ends with the process that holds it.
    fn replace(path: &Path, expiry: Duration) -> Result<Option<Self>, StoreError> {
        let stale = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::reading(path)(e)),
        };
        // Where locks are not supported the work might be done twice, which does no harm.
        let _ = stale.lock();
        if !is_at(&stale, path) || !matches!(standing(path, expiry)?, Standing::Stale) {
            return Ok(None);
        }
        let (temporary, file) = Self::draft(path)?;
        if let Err(e) = fs::rename(&temporary, path) {
            let _ = fs::remove_file(&temporary);
            return Err(StoreError::writing("replace claim", path)(e));
        }
        Ok(Some(Self::start(path, file)))
    }

    /// Keeps the claim fresh from now on.
    fn start(path: &Path, file: File) -> Self {
        let (stop, stopped) = mpsc::channel();
        // Without a heartbeat (no thread, no second handle) the claim still holds on this machine.
        let heart = file.try_clone().ok().and_then(|file| {
            std::thread::Builder::new()
                .name("claim".to_owned())
                .spawn(move || {
                    while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                        let _ = file.set_modified(SystemTime::now());
                    }
                })
                .ok()
        });
        Self {
            path: path.to_owned(),
            file,
            stop: Some(stop),
            heart,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_holder(file: &mut File, path: &Path) -> Result<(), StoreError> {
    let text = serde_json::to_vec(&Holder::current()).map_err(|e| StoreError::Format {
        what: "claim",
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    let written = file
        .write_all(&text)
        .map_err(StoreError::writing("write claim", path));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Whether `file` is what stands at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

/// Whether process `pid` runs on this machine.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    is_alive(pid, None)
}

/// Whether process `pid` of this machine runs and is the one that started at `start`.
fn is_alive(pid: u32, start: Option<u64>) -> bool {
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

fn process_start(pid: u32) -> Option<u64> {
    process_stat(pid).map(|(_, start)| start)
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

    fn hold(path: &Path, holder: &Holder, age: Duration) {
        fs::write(path, serde_json::to_vec(holder).unwrap()).unwrap();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn taken(path: &Path) -> bool {
        matches!(Claim::take(path, EXPIRY).unwrap(), Claiming::Claimed(_))
    }

    #[test]
    fn a_claim_excludes_and_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let Claiming::Claimed(claim) = Claim::take(&path, EXPIRY).unwrap() else {
            panic!("a free claim was refused")
        };
        match Claim::take(&path, EXPIRY).unwrap() {
            Claiming::Held(holder) => assert_eq!(holder.pid, std::process::id()),
            Claiming::Claimed(_) => panic!("claimed twice"),
        }
        drop(claim);
        assert!(!path.exists());
        assert!(taken(&path));
    }

    #[test]
    fn claims_of_dead_processes_expire() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let here = Holder::current();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = Holder {
            pid: child.id(),
            ..here.clone()
        };
        child.wait().unwrap();
        hold(&path, &dead, Duration::ZERO);
        assert!(holder(&path, EXPIRY).unwrap().is_none());
        assert!(taken(&path));

        // The same process id, but another process.
        let other = Holder {
            process_start: here.process_start.map(|t| t + 1),
            ..here.clone()
        };
        hold(&path, &other, Duration::ZERO);
        assert_eq!(taken(&path), here.process_start.is_some());

        // A living process keeps its claim however old the heartbeat is.
        hold(&path, &here, EXPIRY * 2);
        assert!(!taken(&path));
    }

    #[test]
    fn claims_of_other_machines_expire_by_heartbeat() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let elsewhere = Holder {
            host: "elsewhere".to_owned(),
            ..Holder::current()
        };
        hold(&path, &elsewhere, EXPIRY - Duration::from_secs(60));
        assert!(!taken(&path));
        hold(&path, &elsewhere, EXPIRY + Duration::from_secs(60));
        assert!(taken(&path));
    }

    #[test]
    fn a_job_takes_over_from_its_former_term() {
        let holder = Holder {
            job: Some("12".to_owned()),
            host: "elsewhere".to_owned(),
            ..Holder::current()
        };
        assert!(holder.is_former_term(Some("12")));
        assert!(!holder.is_former_term(Some("13")) && !holder.is_former_term(None));
        let outside = Holder {
            job: None,
            ..holder
        };
        assert!(!outside.is_former_term(None) && !outside.is_former_term(Some("12")));
    }

    #[test]
    fn a_claim_that_was_never_written_expires() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        fs::write(&path, "").unwrap();
        assert!(!taken(&path));
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - UNWRITTEN * 2)
            .unwrap();
        assert!(taken(&path));
    }

    #[test]
    fn one_of_many_replaces_a_stale_claim() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        for _ in 0..50 {
            let gone = Holder {
                pid: 0,
                ..Holder::current()
            };
            hold(&path, &gone, Duration::ZERO);
            let barrier = std::sync::Barrier::new(4);
            let claims: Vec<Claiming> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            Claim::take(&path, EXPIRY).unwrap()
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let ours = claims
                .iter()
                .filter(|c| matches!(c, Claiming::Claimed(_)))
                .count();
            assert_eq!(ours, 1);
        }
    }
}
