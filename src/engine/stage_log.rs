//! The logs of stages: a file for each in the folder of the run, bounded, and only where there is
//! something to say.
//!
//! A worker process writes to its standard error, which is such a file. Of stages that share this
//! process, what their threads say is routed to their files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::panics::{self, Watch};
use crate::store::rfc3339;

/// What is kept of a log: as much of its begin as of its end.
const LIMIT: u64 = 8 << 20;

/// The logs of the stages that run on threads, by who watches those.
static ROUTES: Mutex<Option<HashMap<u64, StageLog>>> = Mutex::new(None);

/// The log of a stage that runs on threads of this process. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct StageLog {
    path: Arc<PathBuf>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    written: u64,
}

impl StageLog {
    /// The log of the stage that runs on this thread, if one does.
    #[must_use]
    pub fn current() -> Option<Self> {
        let watch = panics::watching()?;
        let routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
        routes.as_ref()?.get(&watch.id).cloned()
    }

    /// A line with the time.
    pub(super) fn say(&self, text: &str) {
        let _ = self.append(line(text).as_bytes());
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.written >= LIMIT {
            return Ok(());
        }
        state.written += bytes.len() as u64;
        let is_full = state.written >= LIMIT;
        let file = match &mut state.file {
            Some(file) => file,
            none => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = File::options()
                    .create(true)
                    .append(true)
                    .open(&*self.path)?;
                none.insert(file)
            }
        };
        file.write_all(bytes)?;
        if is_full {
            file.write_all(b"the log is full; the rest is left out\n")?;
        }
        Ok(())
    }
}

impl Write for StageLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that cannot be written must not end the stage.
        let _ = self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of a log, with the time.
pub(super) fn line(text: &str) -> String {
    format!("{} {text}\n", rfc3339(SystemTime::now()))
}

/// What the threads of a watcher say goes to a file until this is dropped.
pub(super) struct Route {
    watch: Watch,
    log: StageLog,
}

impl Route {
    /// Routes to `path`, which is created when there is something to write.
    pub(super) fn new(watch: Watch, path: PathBuf) -> Self {
        let log = StageLog {
            path: Arc::new(path),
            state: Arc::default(),
        };
        let mut routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get_or_insert_default().insert(watch.id, log.clone());
        Self { watch, log }
    }

    /// A line with the time, from whoever runs the stage.
    pub(super) fn say(&self, text: &str) {
        self.log.say(text);
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let mut routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(routes) = routes.as_mut() {
            routes.remove(&self.watch.id);
        }
    }
}

/// Bounds the log of a process that has ended: an empty one goes, and of a long one the middle.
pub(super) fn tidy(path: &Path) {
    // A log is no reason for a failure.
    let _ = bound(path, LIMIT);
}

fn bound(path: &Path, limit: u64) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    if length == 0 {
        return fs::remove_file(path);
    }
    if length <= limit {
        return Ok(());
    }
    let mut file = File::open(path)?;
    let mut kept = Vec::new();
    Read::by_ref(&mut file)
        .take(limit / 2)
        .read_to_end(&mut kept)?;
    let out = length - limit;
    kept.extend_from_slice(format!("\n... {out} bytes are left out here ...\n").as_bytes());
    file.seek(SeekFrom::Start(length - limit / 2))?;
    file.take(limit / 2).read_to_end(&mut kept)?;
    fs::write(path, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_stage_write_to_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch {
            id: u64::MAX - 1,
            print: false,
        };
        let say = |text: &str| {
            if let Some(mut log) = StageLog::current() {
                log.write_all(text.as_bytes()).unwrap();
            }
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .start_handler(move |_| panics::watch_thread(watch))
            .build()
            .unwrap();
        for (name, text) in [("logs/a", "one\n"), ("logs/b", "two\n"), ("logs/c", "")] {
            let route = Route::new(watch, folder.path().join(name));
            pool.install(|| {
                if !text.is_empty() {
                    rayon::join(|| say(text), || ());
                }
            });
            say("not of the stage");
            drop(route);
        }
        pool.install(|| say("nobody listens"));
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("logs/a"), read("logs/b")),
            ("one\n".into(), "two\n".into())
        );
        assert!(!folder.path().join("logs/c").exists());
    }

    #[test]
    fn a_long_log_keeps_its_begin_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, format!("begin{}end", "x".repeat(1000))).unwrap();
        bound(&path, 10).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "begin\n... 998 bytes are left out here ...\nxxend"
        );
        fs::write(&path, "short").unwrap();
        bound(&path, 10).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        fs::write(&path, "").unwrap();
        bound(&path, 10).unwrap();
        assert!(!path.exists(), "nothing was said");
    }
}
