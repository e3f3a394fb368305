//! A training in a worker process: start, events from its standard output, log from its standard
//! error, and what its end means.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::events::{Entry, RunFolder};
use super::execute::{self, Execution, LAST_LINES};
use super::memory;
use super::stage_log;
use super::worker::WorkerExit;
use super::{Event, EventSink, Stop};
use crate::plan::Stage;
use crate::store::{Failure, FailureKind, Store, StoreError, disk};

/// Longest line that is taken from a worker.
const LINE_LIMIT: u64 = 1 << 20;

/// How much of the end of a log is searched for its last lines, backtraces included.
const TAIL: u64 = 64 << 10;

/// The processes that run now, to be signalled.
#[derive(Default)]
pub(super) struct Processes {
    by_slot: Mutex<HashMap<usize, libc::pid_t>>,
}

impl Processes {
    /// Sends `signal` to every process and what it has started.
    pub(super) fn signal(&self, signal: libc::c_int) {
        for &pid in self.lock().values() {
            send(pid, signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, libc::pid_t>> {
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signals the process group of a child that has not been waited for, so that its id is its own.
fn send(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a plain system call on a process group that this process created.
    unsafe { libc::kill(-pid, signal) };
}

/// How to start workers.
pub(super) struct Launcher<'a> {
    pub exe: &'a Path,
    pub args: &'a [OsString],
    pub folder: &'a RunFolder,
    pub store: &'a Store,
    pub sink: &'a dyn EventSink,
    pub stop: &'a Stop,
    pub processes: &'a Processes,
    pub threads: usize,
}

impl Launcher<'_> {
    /// Runs `stage` in a worker, with `halve` at half the memory of the attempt before. What kills
    /// the worker is a failure of kind [`FailureKind::Died`] or [`FailureKind::OutOfMemory`]; the
    /// store does not know of it yet.
    pub(super) fn run(
        &self,
        stage: &Stage,
        slot: usize,
        gpu: Option<&str>,
        halve: bool,
    ) -> Execution {
        match self.try_run(stage, slot, gpu, halve) {
            Ok(execution) => execution,
            Err(error) => Execution::Failed(Box::new(self.store.failure(
                stage,
                FailureKind::Error,
                error.to_string(),
                Vec::new(),
            ))),
        }
    }

    fn try_run(
        &self,
        stage: &Stage,
        slot: usize,
        gpu: Option<&str>,
        halve: bool,
    ) -> Result<Execution, StoreError> {
        // A process is not worth starting for what is there or in other hands.
        let state = self.store.lookup(stage.kind, &stage.key)?;
        if let Some(execution) = execute::by_another(&state) {
            return Ok(execution);
        }
        let log = Log::open(self.folder, stage)?;
        let mut command = Command::new(self.exe);
        command
            .arg("work")
            .arg("--plan")
            .arg(self.folder.plan_file())
            .arg("--key")
            .arg(stage.key.as_str())
            .arg("--store")
            .arg(self.store.paths().root())
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.handle()?)
            // Of its own, so that an interrupt at the terminal reaches only us, and we pass it on.
            .process_group(0);
        for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(name, self.threads.to_string());
        }
        if halve {
            command.arg("--halve");
        }
        if let Some(gpu) = gpu {
            command.env("CUDA_VISIBLE_DEVICES", gpu);
        }
        let kills_before = memory::kills();
        let mut child = command
            .spawn()
            .map_err(StoreError::writing("start", self.exe))?;
        // Process ids are positive `pid_t` values.
        let pid = child.id() as libc::pid_t;
        self.processes.lock().insert(slot, pid);
        // The signal to all may have gone out before this one was known.
        match self.stop.level() {
            0 => {}
            1 => send(pid, libc::SIGTERM),
            _ => send(pid, libc::SIGKILL),
        }
        let mut end = None;
        if let Some(out) = child.stdout.take() {
            let mut lines = BufReader::new(out);
            let mut line = Vec::new();
            while next_line(&mut lines, &mut line) {
                match serde_json::from_slice::<Entry>(&line) {
                    Ok(Entry { event, .. }) if is_end(&event) => end = Some(event),
                    Ok(Entry { event, .. }) => self.sink.emit(&event),
                    // Somebody prints to the standard output: that belongs to the log.
                    Err(_) => log.append(&line),
                }
            }
        }
        // From here on its id may be given to another process.
        self.processes.lock().remove(&slot);
        let status = child
            .wait()
            .map_err(StoreError::writing("wait for", self.exe))?;
        let kernel_killed = memory::kills() > kills_before;
        self.judge(stage, status, end, &log, kernel_killed)
    }

    fn judge(
        &self,
        stage: &Stage,
        status: ExitStatus,
        end: Option<Event>,
        log: &Log,
        kernel_killed: bool,
    ) -> Result<Execution, StoreError> {
        let lines = log.last_lines();
        let failed = |kind: FailureKind, message: String| {
            log.append(stage_log::line(&message).trim_end().as_bytes());
            let failure = self.store.failure(stage, kind, message, lines.clone());
            Execution::Failed(Box::new(Failure {
                log_file: log.path(),
                ..failure
            }))
        };
        let died = |message: String| failed(FailureKind::Died, message);
        if let Some(signal) = status.signal() {
            if self.stop.is_raised() {
                return Ok(Execution::Stopped);
            }
            if let Some(line) = lines.iter().find(|line| memory::says_so(line))
                && signal == libc::SIGABRT
            {
                return Ok(failed(
                    FailureKind::OutOfMemory,
                    format!("out of memory: {line}"),
                ));
            }
            if signal == libc::SIGKILL && kernel_killed {
                return Ok(failed(
                    FailureKind::OutOfMemory,
                    "out of memory: the system killed the worker".to_owned(),
                ));
            }
            let hint = match signal {
                libc::SIGKILL => " (SIGKILL: by hand, or by the system)",
                libc::SIGSEGV => " (SIGSEGV: a fault in native code)",
                libc::SIGABRT => " (SIGABRT: aborted)",
                _ => "",
            };
            return Ok(died(format!(
                "the worker was killed by signal {signal}{hint}"
            )));
        }
        let code = status.code().unwrap_or(-1);
        Ok(match (WorkerExit::of_code(code), end) {
            (Some(WorkerExit::Done), Some(Event::Done { wall_s, .. })) => {
                if self.store.lookup(stage.kind, &stage.key)?.is_cached() {
                    Execution::Ran { wall_s }
                } else {
                    died("the worker said that it is done, but there is no artifact".to_owned())
                }
            }
            (Some(WorkerExit::Done), Some(Event::Cached { .. })) => Execution::Cached,
            (Some(WorkerExit::Claimed), Some(Event::Waiting { holder, .. })) => {
                Execution::Claimed { holder }
            }
            (Some(WorkerExit::Stopped), Some(Event::Stopped { .. })) => Execution::Stopped,
            (_, Some(Event::Failed { failure })) => {
                log.append(stage_log::line(&failure.message).trim_end().as_bytes());
                let log_lines = if lines.is_empty() { failure.log } else { lines };
                Execution::Failed(Box::new(Failure {
                    log: log_lines,
                    log_file: log.path(),
                    ..failure
                }))
            }
            _ => died(format!(
                "the worker ended with exit code {code} without saying why"
            )),
        })
    }
}

/// Whether a worker says with `event` how the stage ended.
fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::Done { .. }
            | Event::Cached { .. }
            | Event::Waiting { .. }
            | Event::Failed { .. }
            | Event::Stopped { .. }
    )
}

/// Reads a line without its end; false at the end of the stream. An endless line is cut.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    match from.take(LINE_LIMIT).read_until(b'\n', line) {
        Ok(0) | Err(_) => false,
        Ok(_) => {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            true
        }
    }
}

/// The log of a stage: what its workers of this run wrote to standard error. It is bounded in the
/// end, and stays with the run.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Where this attempt begins.
    start: u64,
}

impl Log {
    pub(super) fn open(run: &RunFolder, stage: &Stage) -> Result<Self, StoreError> {
        disk::create_dir(&run.logs())?;
        let path = run.log_file(&stage.key);
        let open = || -> io::Result<(File, u64)> {
            let file = File::options()
                .create(true)
                .append(true)
                .read(true)
                .open(&path)?;
            let start = file.metadata()?.len();
            Ok((file, start))
        };
        let (file, start) = open().map_err(StoreError::writing("open log", &path))?;
        Ok(Self { path, file, start })
    }

    /// Its file, if there is something in it: an empty one goes at the end.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let length = self.file.metadata().map_or(0, |meta| meta.len());
        (length > 0).then(|| self.path.clone())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn handle(&self) -> Result<Stdio, StoreError> {
        self.file
            .try_clone()
            .map(Stdio::from)
            .map_err(StoreError::writing("open log", &self.path))
    }

    fn append(&self, line: &[u8]) {
        let mut whole = line.to_owned();
        whole.push(b'\n');
        // A log that cannot be written must not end the training.
        let _ = (&self.file).write_all(&whole);
    }

    /// The last lines of this attempt, without backtraces.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let read = || -> io::Result<Vec<u8>> {
            let end = self.file.metadata()?.len();
            let mut file = &self.file;
            file.seek(SeekFrom::Start(self.start.max(end.saturating_sub(TAIL))))?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = read().unwrap_or_default();
        last_words(&String::from_utf8_lossy(&text))
    }
}

/// The last lines of `text` that say something. A backtrace says something to those who open the
/// whole log; here it would push the message before it out of sight.
fn last_words(text: &str) -> Vec<String> {
    let mut in_backtrace = false;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| {
            if line.starts_with("stack backtrace:") {
                in_backtrace = true;
            } else if !line.starts_with(' ') && !line.starts_with("note: Some details are") {
                in_backtrace = false;
            }
            !in_backtrace && !line.trim().is_empty()
        })
        .collect();
    lines[lines.len().saturating_sub(LAST_LINES)..]
        .iter()
        .map(|&line| line.to_owned())
        .collect()
}

impl Drop for Log {
    fn drop(&mut self) {
        stage_log::tidy(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_does_not_hide_the_message_before_it() {
        let frames: String = (0..40)
            .map(|i| format!("  {i:2}: f\n      at x.rs:{i}\n"))
            .collect();
        let text = format!(
            "step 7\n\nmemory allocation of 64 bytes failed\nstack backtrace:\n{frames}\
             note: Some details are omitted, run with `RUST_BACKTRACE=full`.\nbye\n"
        );
        let words = last_words(&text);
        assert_eq!(
            words,
            ["step 7", "memory allocation of 64 bytes failed", "bye"]
        );
        let many: String = (0..100).map(|i| format!("{i}\n")).collect();
        assert_eq!(last_words(&many).len(), LAST_LINES);
    }
}
