//! TensorBoard event files: TFRecords of the few fields of `tensorflow.Event` that scalars take.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::crc;
use crate::engine::events::Entry;
use crate::engine::{Event, EventSink, Progress};
use crate::plan::Key;

/// The version by which TensorBoard knows how a file marks a restart.
const VERSION: &str = "brain.Event:2";

/// `SessionLog.START`: what has this step or a later one so far is void.
const START: u64 = 1;

/// Protocol buffers: kinds of values on the wire.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A message of protocol buffers in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn field(mut self, number: u64, kind: u64, value: &[u8]) -> Self {
        self.varint(number << 3 | kind);
        if kind == BYTES {
            self.varint(value.len() as u64);
        }
        self.0.extend_from_slice(value);
        self
    }

    fn int(mut self, number: u64, value: u64) -> Self {
        self.varint(number << 3 | VARINT);
        self.varint(value);
        self
    }

    fn double(self, number: u64, value: f64) -> Self {
        self.field(number, FIXED64, &value.to_le_bytes())
    }

    fn float(self, number: u64, value: f32) -> Self {
        self.field(number, FIXED32, &value.to_le_bytes())
    }

    fn bytes(self, number: u64, value: &[u8]) -> Self {
        self.field(number, BYTES, value)
    }
}

/// An event file that is being written.
struct EventFile {
    out: BufWriter<File>,
    last_step: u64,
}

impl EventFile {
    fn create(path: &Path, time: f64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = Self {
            out: BufWriter::new(File::create(path)?),
            last_step: 0,
        };
        let version = Message::default()
            .double(1, time)
            .bytes(3, VERSION.as_bytes());
        file.record(&version.0)?;
        Ok(file)
    }

    /// A TFRecord: length, its check sum, the data, their check sum.
    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.out.write_all(&length)?;
        self.out.write_all(&crc::masked(&length).to_le_bytes())?;
        self.out.write_all(data)?;
        self.out.write_all(&crc::masked(data).to_le_bytes())
    }

    /// Scalars at a step. A step that lies behind the last one comes from a training that was
    /// resumed from a checkpoint.
    fn scalars(&mut self, time: f64, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let event = || Message::default().double(1, time).int(2, step);
        if step < self.last_step {
            let restart = Message::default().int(1, START);
            self.record(&event().bytes(7, &restart.0).0)?;
        }
        self.last_step = step;
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let value = Message::default()
                .bytes(1, tag.as_bytes())
                .float(2, *value as f32);
            summary = summary.bytes(1, &value.0);
        }
        self.record(&event().bytes(5, &summary.0).0)?;
        // Whoever looks wants to see what there is.
        self.out.flush()
    }
}

/// Writes the scalars of the trainings of a run below a folder: a folder for each training, whose
/// name says which, and in it a file for each run.
///
/// It takes events as they happen, as a sink, or those of a log.
pub struct TensorBoard {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Machine and process of the run, for the names of files.
    owner: String,
    trainings: HashMap<Key, Training>,
    /// Files written.
    files: usize,
    /// The first error: a full disk must not end the run.
    broken: Option<String>,
}

struct Training {
    folder: String,
    file: Option<EventFile>,
}

impl TensorBoard {
    /// Files below `dir`, which need not exist.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            state: Mutex::default(),
        }
    }

    /// Takes the next event of a log, or one that happens.
    pub fn take(&self, entry: &Entry) {
        let mut state = self.lock();
        if state.broken.is_none()
            && let Err(e) = self.write(&mut state, entry)
        {
            let text = format!("cannot write below '{}': {e}", self.dir.display());
            tracing::warn!("TensorBoard: {text}");
            state.broken = Some(text);
        }
    }

    /// How many files were written.
    #[must_use]
    pub fn files(&self) -> usize {
        self.lock().files
    }

    /// Why not everything was written, if so.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State, entry: &Entry) -> io::Result<()> {
        match &entry.event {
            Event::RunStarted { pid, host, .. } => state.owner = format!("{host}.{pid}"),
            Event::Started {
                key, kind, label, ..
            } if kind.is_training() => {
                // Of a stage that is tried again the file goes on.
                state
                    .trainings
                    .entry(key.clone())
                    .or_insert_with(|| Training {
                        folder: folder_name(label, key),
                        file: None,
                    });
            }
            Event::Progress { key, progress } => {
                let Some(training) = state.trainings.get_mut(key) else {
                    return Ok(());
                };
                let Some(step) = progress.global_step() else {
                    return Ok(());
                };
                let file = match &mut training.file {
                    Some(file) => file,
                    none => {
                        let name = format!(
                            "events.out.tfevents.{:010}.{}",
                            entry.time as u64, state.owner
                        );
                        let path = self.dir.join(&training.folder).join(name);
                        state.files += 1;
                        none.insert(EventFile::create(&path, entry.time)?)
                    }
                };
                file.scalars(entry.time, step, &scalars(progress))?;
            }
            Event::Done { key, .. } | Event::Cached { key, .. } => {
                state.trainings.remove(key);
            }
            _ => {}
        }
        Ok(())
    }
}

impl EventSink for TensorBoard {
    fn emit(&self, event: &Event) {
        self.take(&Entry::now(event.clone()));
    }
}

/// The numbers of a training by the names of TensorBoard's panels.
fn scalars(progress: &Progress) -> Vec<(&str, f64)> {
    [
        ("loss", progress.loss),
        ("learning_rate", progress.lr),
        ("images_per_second", progress.rate),
        ("waiting", progress.waiting),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .chain(
        progress
            .scalars
            .iter()
            .map(|(name, value)| (name.as_str(), *value)),
    )
    .collect()
}

/// A folder's name of a stage's: what people read, without what paths and shells take otherwise.
fn folder_name(label: &str, key: &Key) -> String {
    let name: String = label
        .chars()
        .map(|c| match c {
            c if c.is_alphanumeric() => c,
            '.' | '-' | '+' => c,
            _ => '_',
        })
        .collect();
    format!("{name}-{}", key.short())
}
