//! Reading the events of a run while it goes on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Entry, RunFolder};
use crate::engine::EngineError;
use crate::store::StoreError;

/// Longest line that is parsed; a longer one is none of ours.
const LINE_LIMIT: u64 = 8 << 20;

/// Reads each event of a run once. It only reads: any number may follow a run, from any machine
/// that sees its folder.
#[derive(Debug)]
pub struct Follower {
    folder: RunFolder,
    tails: HashMap<PathBuf, Tail>,
}

/// How far a file has been read.
#[derive(Debug, Default)]
struct Tail {
    offset: u64,
    /// Time of its latest event. A clock that is set back must not turn a file's order around.
    time: f64,
}

impl Follower {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(folder: &RunFolder) -> Self {
        Self {
            folder: folder.clone(),
            tails: HashMap::new(),
        }
    }

    /// The events that came since the last call: in order of time, those of a file in its own
    /// order. A last line without its end waits for the next call; what is no event is left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn poll(&mut self) -> Result<Vec<Entry>, EngineError> {
        let mut events = Vec::new();
        for path in self.folder.event_files()? {
            let tail = self.tails.entry(path.clone()).or_default();
            tail.read(&path, &mut events)
                .map_err(StoreError::reading(&path))?;
        }
        events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(events.into_iter().map(|(_, entry)| entry).collect())
    }
}

impl Tail {
    /// Appends the new entries of the file at `path`, each with its place in time.
    fn read(&mut self, path: &Path, events: &mut Vec<(f64, Entry)>) -> std::io::Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        if file.metadata()?.len() <= self.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        while let Some(length) = next_line(&mut lines, &mut line)? {
            self.offset += length;
            if let Ok(entry) = serde_json::from_slice::<Entry>(&line) {
                self.time = self.time.max(entry.time);
                events.push((self.time, entry));
            }
        }
        Ok(())
    }
}

/// Reads a line and returns its length with its end; `None` where no line has ended yet. Of a line
/// that is too long nothing is kept.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    let mut length = 0;
    loop {
        line.clear();
        let read = from.by_ref().take(LINE_LIMIT).read_until(b'\n', line)? as u64;
        let is_first = length == 0;
        length += read;
        if line.last() == Some(&b'\n') {
            if !is_first {
                line.clear();
            }
            return Ok(Some(length));
        }
        if read < LINE_LIMIT {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::engine::Event;
    use crate::plan::Key;
    use serde_json::json;

    fn line(name: &str, time: f64) -> String {
        let entry = Entry {
            time,
            event: Event::Note {
                key: Key::of(&json!(0)),
                text: name.to_owned(),
            },
        };
        serde_json::to_string(&entry).unwrap() + "\n"
    }

    fn texts(entries: &[Entry]) -> String {
        entries
            .iter()
            .map(|entry| match &entry.event {
                Event::Note { text, .. } => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn append(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn files_are_merged_by_time_and_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder {
            dir: dir.path().to_owned(),
        };
        let mut follower = folder.follow();
        assert!(follower.poll().unwrap().is_empty(), "nothing there yet");
        append(
            &folder.events_file(),
            &(line("a", 1.0) + &line("d", 4.0) + &line("f", 6.0)),
        );
        // The clock of this worker was set back after 'c'.
        append(
            &folder.jobs().join("2.jsonl"),
            &(line("c", 3.0) + "no event\n" + &line("e", 1.0) + &line("g", 7.0)),
        );
        append(&folder.jobs().join("1.jsonl"), &line("b", 3.0));
        append(&folder.jobs().join("1.txt"), &line("x", 3.0));
        assert_eq!(texts(&follower.poll().unwrap()), "abcedfg");
        assert!(follower.poll().unwrap().is_empty());
        assert_eq!(texts(&folder.events().unwrap()), "abcedfg");

        let torn = line("h", 8.0);
        append(&folder.events_file(), &torn[..9]);
        append(&folder.jobs().join("3.jsonl"), &line("i", 9.0));
        assert_eq!(texts(&follower.poll().unwrap()), "i");
        append(&folder.events_file(), &torn[9..]);
        assert_eq!(texts(&follower.poll().unwrap()), "h");
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let long = "x".repeat(2 * LINE_LIMIT as usize + 3) + "\n";
        let text = format!("{long}short\ntorn");
        let mut from = text.as_bytes();
        let mut line = Vec::new();
        let length = next_line(&mut from, &mut line).unwrap();
        assert_eq!((length, line.len()), (Some(long.len() as u64), 0));
        assert_eq!(next_line(&mut from, &mut line).unwrap(), Some(6));
        assert_eq!(line, b"short\n");
        assert_eq!(next_line(&mut from, &mut line).unwrap(), None);
    }
}
