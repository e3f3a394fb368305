//! Claims: who is making an artifact right now.
//!
//! A claim only saves work: that an artifact is published whole and once follows from the rename
//! (`publish`), even where two processes hold a claim on one key. So a doubt that cannot be decided
//! is decided for going on, but only after a wait that a living holder would have ended.
//!
//! Whether the holder lives is told by its process id where that means something here: on the same
//! machine, since the same boot, in the same namespace of process ids. Otherwise by its heartbeat,
//! whose time is compared with nothing but itself: the clocks of two machines may be apart, and a
//! clock may jump, so what counts is how long we have watched it stand still by our own steady clock
//! (`sighting`).

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::StoreError;
use super::disk;
use super::holder::Holder;
use super::sighting::{Look, Stamp};

/// How often a holder shows that it is alive, by the modification time of its claim.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How long a heartbeat that is watched from elsewhere may stand still.
pub(super) const EXPIRY: Duration = Duration::from_secs(10 * 60);

/// How long it may stand still where the claim looks older than [`EXPIRY`] already: several beats,
/// and what a network file system keeps attributes for.
const DOUBT: Duration = Duration::from_secs(90);

/// How long a claim may stay without content, on a file system without hard links: the holder is
/// between creating and writing it.
const UNWRITTEN: Duration = Duration::from_secs(5);

/// Longest claim that is read.
const LIMIT: u64 = 64 << 10;

/// What stands at a claim's path.
enum Standing {
    Free,
    Held(Holder),
    /// Left by a process that is gone.
    Stale,
}

/// The living holder of the claim at `path`, if there is one. Never changes anything.
pub(super) fn holder(path: &Path, look: &Look<'_>) -> Result<Option<Holder>, StoreError> {
    Ok(match standing(path, look)? {
        Standing::Held(holder) => Some(holder),
        Standing::Free | Standing::Stale => None,
    })
}

fn standing(path: &Path, look: &Look<'_>) -> Result<Standing, StoreError> {
    // Opening, not asking for the attributes of the path: a network file system answers that from
    // its memory.
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            look.sightings.forget(path);
            return Ok(Standing::Free);
        }
        Err(e) => return Err(StoreError::reading(path)(e)),
    };
    let mut text = Vec::new();
    let meta = file
        .metadata()
        .and_then(|meta| {
            Read::by_ref(&mut file)
                .take(LIMIT)
                .read_to_end(&mut text)
                .map(|_| meta)
        })
        .map_err(StoreError::reading(path))?;
    let still = look.sightings.still_for(path, Stamp::of(&meta), look.now);
    // A clock that is ahead of ours makes a claim young, never old.
    let age = meta
        .modified()
        .ok()
        .and_then(|time| look.wall.duration_since(time).ok())
        .unwrap_or_default();
    let Ok(mut holder) = serde_json::from_slice::<Holder>(&text) else {
        let abandoned = age.max(still) >= UNWRITTEN;
        return Ok(if abandoned {
            Standing::Stale
        } else {
            Standing::Held(Holder::unknown())
        });
    };
    let alive = holder.is_alive().unwrap_or_else(|| {
        let silent = age.max(still);
        if silent >= DOUBT {
            holder.silent_s = Some(silent.as_secs());
        }
        still < look.expiry && (age < look.expiry || still < DOUBT)
    });
    Ok(if alive {
        Standing::Held(holder)
    } else {
        Standing::Stale
    })
}

/// A claim of this process. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// The file that was created: its inode tells ours from one that replaced it.
    file: File,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

/// What came of trying to claim.
pub(super) enum Claiming {
    Claimed(Claim),
    Held(Holder),
}

impl Claim {
    /// Claims `path`, replacing a claim whose holder is gone.
    pub(super) fn take(path: &Path, look: &Look<'_>) -> Result<Claiming, StoreError> {
        loop {
            let claim = match standing(path, look)? {
                Standing::Held(holder) => return Ok(Claiming::Held(holder)),
                Standing::Free => Self::create(path)?,
                Standing::Stale => Self::replace(path, look)?,
            };
            if let Some(claim) = claim {
                return Ok(Claiming::Claimed(claim));
            }
        }
    }

    /// Whether another process has taken the stage over, thinking this one dead.
    pub(super) fn is_lost(&self) -> bool {
        !is_at(&self.file, &self.path)
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

    /// Puts a claim of ours in the place of a stale one; `None` where somebody else was quicker.
    fn replace(path: &Path, look: &Look<'_>) -> Result<Option<Self>, StoreError> {
        with_stale(path, look, || {
            let (temporary, file) = Self::draft(path)?;
            if let Err(e) = fs::rename(&temporary, path) {
                let _ = fs::remove_file(&temporary);
                return Err(StoreError::writing("replace claim", path)(e));
            }
            Ok(Self::start(path, file))
        })
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
                        beat(&file);
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
        if !self.is_lost() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the claim at `path` if its holder is gone; says whether it did.
pub(super) fn clear(path: &Path, look: &Look<'_>) -> Result<bool, StoreError> {
    with_stale(path, look, || disk::remove_file(path)).map(|done| done.is_some())
}

/// Does `act` on the stale claim at `path`. Of several processes that want to, the one that locks
/// the stale file does; the others find another file at the path, or none, and get `None`. The lock
/// ends with the process that holds it.
fn with_stale<T>(
    path: &Path,
    look: &Look<'_>,
    act: impl FnOnce() -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let stale = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::reading(path)(e)),
    };
    // Where locks are not supported the work might be done twice, which does no harm.
    let _ = stale.lock();
    if !is_at(&stale, path) || !matches!(standing(path, look)?, Standing::Stale) {
        return Ok(None);
    }
    act().map(Some)
}

/// Sets the time of `file` to now, by the clock of the file system: on a network file system that
/// is the server's, the same for all who watch.
fn beat(file: &File) {
    // SAFETY: the descriptor is open as long as `file` lives; a null pointer means now.
    unsafe { libc::futimens(file.as_raw_fd(), std::ptr::null()) };
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

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::super::holder::Whereabouts;
    use super::super::sighting::Sightings;
    use super::*;

    /// A watcher whose two clocks are set by hand.
    struct Watcher {
        sightings: Sightings,
        start: Instant,
        /// Steady clock, in seconds since the start.
        steady: u64,
        /// Wall clock, in seconds from the real one.
        jump: i64,
    }

    impl Watcher {
        fn new() -> Self {
            Self {
                sightings: Sightings::default(),
                start: Instant::now(),
                steady: 0,
                jump: 0,
            }
        }

        fn look(&self) -> Look<'_> {
            let now = SystemTime::now();
            let by = Duration::from_secs(self.jump.unsigned_abs());
            Look {
                sightings: &self.sightings,
                now: self.start + Duration::from_secs(self.steady),
                wall: if self.jump < 0 { now - by } else { now + by },
                expiry: EXPIRY,
            }
        }

        /// Whether the claim is held, looked at `seconds` later.
        fn held_after(&mut self, seconds: u64, path: &Path) -> bool {
            self.steady += seconds;
            self.jump += i64::try_from(seconds).unwrap();
            holder(path, &self.look()).unwrap().is_some()
        }
    }

    /// A claim whose heart beat `age` seconds ago; negative is the future.
    fn hold(path: &Path, holder: &Holder, age: i64) {
        fs::write(path, serde_json::to_vec(holder).unwrap()).unwrap();
        set_age(path, age);
    }

    fn set_age(path: &Path, age: i64) {
        let by = Duration::from_secs(age.unsigned_abs());
        let now = SystemTime::now();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(if age < 0 { now + by } else { now - by })
            .unwrap();
    }

    fn taken(path: &Path) -> bool {
        let watcher = Watcher::new();
        matches!(
            Claim::take(path, &watcher.look()).unwrap(),
            Claiming::Claimed(_)
        )
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        (folder, path)
    }

    fn elsewhere() -> Holder {
        Holder {
            host: "elsewhere".to_owned(),
            ..Holder::current()
        }
    }

    const MINUTE: u64 = 60;
    const DAY: i64 = 24 * 3600;

    #[test]
    fn a_claim_excludes_and_is_given_back() {
        let (_folder, path) = place();
        let watcher = Watcher::new();
        let Claiming::Claimed(claim) = Claim::take(&path, &watcher.look()).unwrap() else {
            panic!("a free claim was refused")
        };
        match Claim::take(&path, &watcher.look()).unwrap() {
            Claiming::Held(holder) => assert_eq!(holder.pid, std::process::id()),
            Claiming::Claimed(_) => panic!("claimed twice"),
        }
        assert!(!claim.is_lost());
        drop(claim);
        assert!(!path.exists());
        assert!(taken(&path));
    }

    #[test]
    fn claims_of_dead_processes_are_void_at_once() {
        let (_folder, path) = place();
        let here = Holder::current();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = Holder {
            pid: child.id(),
            ..here.clone()
        };
        child.wait().unwrap();
        // Whatever the clock says.
        for age in [0, -DAY, DAY] {
            hold(&path, &dead, age);
            assert!(holder(&path, &Watcher::new().look()).unwrap().is_none());
            assert!(taken(&path));
        }

        // The same process id, but another process.
        let other = Holder {
            process_start: here.process_start.map(|t| t + 1),
            ..here.clone()
        };
        hold(&path, &other, 0);
        assert_eq!(taken(&path), here.process_start.is_some());
    }

    #[test]
    fn a_living_process_keeps_its_claim_whatever_the_clock_says() {
        let (_folder, path) = place();
        for age in [-400 * DAY, -DAY, 0, DAY, 400 * DAY] {
            hold(&path, &Holder::current(), age);
            assert!(!taken(&path));
            let mut watcher = Watcher::new();
            assert!(watcher.held_after(0, &path) && watcher.held_after(24 * 60 * MINUTE, &path));
        }
    }

    #[test]
    fn a_silent_claim_of_another_machine_ends_after_it_was_watched() {
        let (_folder, path) = place();
        // Its clock may be ahead of ours, with it, or its last beat may be long ago.
        for (age, watched) in [
            (-365 * DAY, EXPIRY),
            (-DAY, EXPIRY),
            (0, EXPIRY),
            (DAY, DOUBT),
            (365 * DAY, DOUBT),
        ] {
            hold(&path, &elsewhere(), age);
            assert!(!taken(&path), "one look proves nothing");
            let mut watcher = Watcher::new();
            assert!(watcher.held_after(0, &path));
            let almost = watched.as_secs() - 2;
            assert!(watcher.held_after(almost, &path), "age {age}");
            assert!(!watcher.held_after(4, &path), "age {age}");
            let claim = Claim::take(&path, &watcher.look()).unwrap();
            assert!(matches!(claim, Claiming::Claimed(_)), "age {age}");
        }
    }

    #[test]
    fn a_beating_claim_of_another_machine_lives_whatever_the_clocks_say() {
        let (_folder, path) = place();
        for ahead in [-400 * DAY, -DAY, 0, DAY, 400 * DAY] {
            let mut watcher = Watcher::new();
            hold(&path, &elsewhere(), -ahead);
            assert!(watcher.held_after(0, &path));
            for beat in 1..60 {
                set_age(&path, -ahead - beat);
                // Our own clock jumps to and fro meanwhile.
                watcher.jump += if beat % 2 == 0 { DAY } else { -DAY };
                assert!(watcher.held_after(MINUTE, &path), "ahead {ahead}");
            }
            assert!(!watcher.held_after(EXPIRY.as_secs() + 1, &path));
        }
    }

    #[test]
    fn a_namesake_in_another_container_or_boot_is_judged_by_its_heartbeat() {
        let (_folder, path) = place();
        let here = Holder::current();
        let (Some(boot), Some(namespace)) = (&here.boot, here.pid_namespace) else {
            println!("skipped: the system tells no boot id or no namespace");
            return;
        };
        // Process 1 of another container: its id says nothing about a process here.
        let mut other = Holder {
            pid: u32::MAX,
            pid_namespace: Some(namespace + 1),
            ..here.clone()
        };
        hold(&path, &other, 0);
        assert!(!taken(&path), "no such process here, but it may live there");
        other = Holder {
            pid: std::process::id(),
            boot: Some(format!("{boot}0")),
            ..here.clone()
        };
        hold(&path, &other, 0);
        let mut watcher = Watcher::new();
        assert!(watcher.held_after(0, &path));
        let after = EXPIRY.as_secs() + 1;
        assert!(!watcher.held_after(after, &path), "our id, not our process");
        // A claim of an older version tells neither; the name of the machine decides.
        other = Holder {
            pid: u32::MAX,
            boot: None,
            pid_namespace: None,
            ..here
        };
        hold(&path, &other, 0);
        assert!(taken(&path));
    }

    #[test]
    fn an_earlier_start_of_a_requeued_job_is_over() {
        let now = Holder {
            job: Some("7".to_owned()),
            restart: 2,
            ..Holder::current()
        };
        for (job, restart, over) in [("7", 1, true), ("7", 2, false), ("8", 1, false)] {
            let before = Holder {
                job: Some(job.to_owned()),
                restart,
                ..elsewhere()
            };
            assert_eq!(before.seen_from(&now) == Whereabouts::Past, over);
        }
    }

    #[test]
    fn a_claim_that_was_never_written_expires() {
        let (_folder, path) = place();
        fs::write(&path, "").unwrap();
        assert!(!taken(&path));
        set_age(&path, 10);
        assert!(taken(&path));
        // Also where the clock has jumped back since.
        fs::write(&path, "{").unwrap();
        set_age(&path, -DAY);
        let mut watcher = Watcher::new();
        assert!(watcher.held_after(0, &path) && watcher.held_after(4, &path));
        assert!(!watcher.held_after(2, &path));
    }

    #[test]
    fn only_a_stale_claim_is_cleared() {
        let (_folder, path) = place();
        assert!(!clear(&path, &Watcher::new().look()).unwrap());
        hold(&path, &Holder::current(), 0);
        assert!(!clear(&path, &Watcher::new().look()).unwrap() && path.exists());
        hold(&path, &elsewhere(), DAY);
        let mut watcher = Watcher::new();
        assert!(watcher.held_after(0, &path) && !watcher.held_after(100, &path));
        assert!(clear(&path, &watcher.look()).unwrap() && !path.exists());
    }

    #[test]
    fn a_claim_knows_that_it_was_taken_over() {
        let (_folder, path) = place();
        let watcher = Watcher::new();
        let Claiming::Claimed(first) = Claim::take(&path, &watcher.look()).unwrap() else {
            panic!("a free claim was refused")
        };
        fs::remove_file(&path).unwrap();
        let Claiming::Claimed(second) = Claim::take(&path, &watcher.look()).unwrap() else {
            panic!("a free claim was refused")
        };
        assert!(first.is_lost() && !second.is_lost());
        drop(first);
        assert!(path.exists(), "the other's claim stays");
    }

    #[test]
    fn one_of_many_replaces_a_stale_claim() {
        let (_folder, path) = place();
        for _ in 0..50 {
            let gone = Holder {
                pid: 0,
                ..Holder::current()
            };
            hold(&path, &gone, 0);
            let barrier = std::sync::Barrier::new(4);
            let claims: Vec<Claiming> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            Claim::take(&path, &Watcher::new().look()).unwrap()
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
