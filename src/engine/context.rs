//! What a stage gets to run with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::events::Throttle;
use super::{Event, EventSink, Progress, StageError, Stop};
use crate::plan::{Key, Stage};
use crate::store::CHECKPOINT;

/// Progress within an epoch is passed on this often.
const INTERVAL: Duration = Duration::from_millis(200);

/// Does what stages are for. The engine knows nothing of what that is.
pub trait RunStage: Sync {
    /// Runs `stage`: reads its inputs, leaves the files of its artifact in the output folder.
    ///
    /// Called in a process of its own for trainings, on a thread among others for the rest.
    ///
    /// # Errors
    /// The stage's failure, or [`StageError::Stopped`] after a checkpoint was written because
    /// [`StageContext::should_stop`] said so.
    fn run(&self, stage: &Stage, cx: &mut StageContext<'_>) -> Result<(), StageError>;

    /// Whether `stage` may be tried once more at half the memory after it ran out of it. Its worker
    /// is then told `--halve`.
    fn may_halve(&self, _stage: &Stage) -> bool {
        false
    }
}

/// An artifact that a stage reads.
#[derive(Clone, Debug)]
pub(super) struct InputDir {
    pub role: String,
    pub key: Key,
    pub dir: PathBuf,
}

/// Folders, threads, and lines to the outside of a stage that runs.
pub struct StageContext<'a> {
    key: Key,
    output: PathBuf,
    work: PathBuf,
    inputs: Vec<InputDir>,
    threads: usize,
    sink: &'a dyn EventSink,
    stop: Stop,
    throttle: Throttle,
    device: Option<String>,
    micro_batch: Option<usize>,
}

impl<'a> StageContext<'a> {
    /// A context of given folders; `inputs` are role, key and folder of artifacts.
    #[must_use]
    pub fn new(
        key: &Key,
        output: impl Into<PathBuf>,
        work: impl Into<PathBuf>,
        inputs: Vec<(String, Key, PathBuf)>,
        threads: usize,
        sink: &'a dyn EventSink,
        stop: &Stop,
    ) -> Self {
        let inputs = inputs
            .into_iter()
            .map(|(role, key, dir)| InputDir { role, key, dir })
            .collect();
        Self {
            key: key.clone(),
            output: output.into(),
            work: work.into(),
            inputs,
            threads,
            sink,
            stop: stop.clone(),
            throttle: Throttle::new(INTERVAL),
            device: None,
            micro_batch: None,
        }
    }

    /// Folder for the files of the artifact. It exists and is empty.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Folder for checkpoints. It exists; earlier attempts may have left something in it.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// File for where a training stands, in [`work`](Self::work).
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.work.join(CHECKPOINT)
    }

    /// Folder of the only input with `role`.
    ///
    /// # Errors
    /// The stage has no such input, or several: a fault of the planner.
    pub fn input(&self, role: &str) -> Result<&Path, StageError> {
        let mut found = self.inputs.iter().filter(|input| input.role == role);
        match (found.next(), found.next()) {
            (Some(input), None) => Ok(&input.dir),
            (None, _) => Err(StageError::new(format!("the stage has no input '{role}'"))),
            (Some(_), Some(_)) => Err(StageError::new(format!(
                "the stage has several inputs '{role}'"
            ))),
        }
    }

    /// Keys and folders of all inputs with `role`, in the order of the plan.
    pub fn inputs(&self, role: &str) -> impl Iterator<Item = (&Key, &Path)> {
        self.inputs
            .iter()
            .filter(move |input| input.role == role)
            .map(|input| (&input.key, input.dir.as_path()))
    }

    /// How many threads it may keep busy. Rayon's pool has as many already.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Tells how far the stage is. Cheap to call often: only some of what happens within an epoch
    /// is passed on, and every end of an epoch.
    pub fn progress(&self, progress: Progress) {
        if progress.is_milestone() || self.throttle.ready() {
            self.sink.emit(&Event::Progress {
                key: self.key.clone(),
                progress,
            });
        }
    }

    /// Passes on every step from now on, however many there are.
    pub fn tell_every_step(&mut self) {
        self.throttle = Throttle::new(Duration::ZERO);
    }

    /// Says something that is worth a line in the log of the run.
    pub fn note(&self, text: impl Into<String>) {
        self.sink.emit(&Event::Note {
            key: self.key.clone(),
            text: text.into(),
        });
    }

    /// Whether to write a checkpoint and return [`StageError::Stopped`].
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.stop.is_raised()
    }

    /// The flag behind [`should_stop`](Self::should_stop), to hand on.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Records the device that the stage computes on.
    pub fn set_device(&mut self, device: impl Into<String>) {
        self.device = Some(device.into());
    }

    /// Records how many images go through the network at a time, where it is fewer than a step
    /// has.
    pub fn set_micro_batch(&mut self, images: usize) {
        self.micro_batch = Some(images);
    }

    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    pub(super) fn micro_batch(&self) -> Option<usize> {
        self.micro_batch
    }
}
