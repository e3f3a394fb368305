//! Where a training stands, in one file, whole or not at all.
//!
//! A single safetensors file (network, moments, task state as bytes; the position as JSON in its
//! header) is written beside, synced and renamed: there is no moment at which a reader finds
//! weights of one step beside moments of another, so no further marker is needed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::optimiser::Moments;
use super::run::EpochLog;
use super::{TaskState, TrainError};
use crate::nn::weights::{Array, Weights, floats, little_endian, write_whole};

/// Share of the time of a training that checkpoints at the ends of epochs may take.
const SHARE: f64 = 0.02;

/// Where checkpoints go, and how often.
///
/// Beside those in time there is one at the end of each epoch, unless epochs are so short that
/// writing would slow the training down, and one when the observer stops the run. Where they are
/// taken changes no result.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoints<'a> {
    /// The file, of this training alone.
    pub path: &'a Path,
    /// Least time between two of them; 0 writes one after every step.
    pub every: Duration,
}

impl Checkpoints<'_> {
    pub(super) fn due(&self, last: Instant) -> bool {
        last.elapsed() >= self.every
    }
}

/// Whether a checkpoint at the end of an epoch is worth what the one before it took to write:
/// `since` is the time that would be lost without. The first one tells what it takes.
pub(super) fn is_worth(cost: Option<Duration>, since: Duration) -> bool {
    cost.is_none_or(|cost| cost.as_secs_f64() <= SHARE * since.as_secs_f64())
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Digest of everything that defines the run; another run's checkpoint is not resumed.
    pub identity: String,
    /// Epoch in progress, from 1.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// Sum of the losses of these steps, weighted by images.
    pub loss: f64,
    /// Images of these steps.
    pub images: usize,
    /// Finished epochs.
    pub curve: Vec<EpochLog>,
    /// Updates per parameter.
    pub updates: BTreeMap<String, usize>,
    /// The last losses, oldest first.
    #[serde(default)]
    pub recent: VecDeque<f64>,
}

/// All of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub position: Position,
    pub weights: Weights,
    pub moments: Moments,
    pub task: TaskState,
}

const WEIGHTS: &str = "model/";
const FIRST: &str = "first/";
const SECOND: &str = "second/";
const TASK: &str = "task/";
const POSITION: &str = "position";

impl Snapshot {
    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let fail = |reason: String| TrainError::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (prefix, weights) in [
            (WEIGHTS, &self.weights),
            (FIRST, &self.moments.first),
            (SECOND, &self.moments.second),
        ] {
            for (name, array) in &weights.0 {
                let bytes = little_endian(&array.values);
                parts.push((
                    format!("{prefix}{name}"),
                    Dtype::F32,
                    array.shape.clone(),
                    bytes,
                ));
            }
        }
        for (name, bytes) in &self.task {
            let shape = vec![bytes.len()];
            parts.push((format!("{TASK}{name}"), Dtype::U8, shape, bytes.clone()));
        }
        let mut views = Vec::with_capacity(parts.len());
        for (name, dtype, shape, bytes) in &parts {
            let view = TensorView::new(*dtype, shape.clone(), bytes)
                .map_err(|e| fail(format!("'{name}': {e}")))?;
            views.push((name, view));
        }
        let position = serde_json::to_string(&self.position).map_err(|e| fail(e.to_string()))?;
        let header = HashMap::from([(POSITION.to_owned(), position)]);
        let bytes = safetensors::serialize(views, Some(header)).map_err(|e| fail(e.to_string()))?;
        write_whole(path, &bytes).map_err(|e| fail(e.to_string()))
    }

    /// Reads the file; `None` where there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, TrainError> {
        let fail = |reason: String| TrainError::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e.to_string())),
        };
        let invalid = |e: safetensors::SafeTensorError| fail(format!("not a checkpoint: {e}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(invalid)?;
        let position = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(POSITION))
            .ok_or_else(|| fail("not a checkpoint: it has no position".to_owned()))?;
        let position: Position = serde_json::from_str(position)
            .map_err(|e| fail(format!("its position does not read: {e}")))?;
        let file = SafeTensors::deserialize(&bytes).map_err(invalid)?;
        let mut snapshot = Self {
            moments: Moments {
                steps: position.updates.clone(),
                ..Moments::default()
            },
            position,
            weights: Weights::default(),
            task: TaskState::new(),
        };
        for (name, view) in file.iter() {
            if let Some(name) = name.strip_prefix(TASK) {
                snapshot.task.insert(name.to_owned(), view.data().to_vec());
                continue;
            }
            let (store, name) = if let Some(name) = name.strip_prefix(WEIGHTS) {
                (&mut snapshot.weights, name)
            } else if let Some(name) = name.strip_prefix(FIRST) {
                (&mut snapshot.moments.first, name)
            } else if let Some(name) = name.strip_prefix(SECOND) {
                (&mut snapshot.moments.second, name)
            } else {
                return Err(fail(format!("it holds '{name}'")));
            };
            if view.dtype() != Dtype::F32 {
                return Err(fail(format!("'{name}' is {:?}, not F32", view.dtype())));
            }
            let array = Array {
                shape: view.shape().to_vec(),
                values: floats(view.data()),
            };
            store.0.insert(name.to_owned(), array);
        }
        Ok(Some(snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let array = |v: f32| Array {
            shape: vec![2],
            values: vec![v, -v],
        };
        let weights = |v| Weights(BTreeMap::from([("a.weight".to_owned(), array(v))]));
        let updates = BTreeMap::from([("a.weight".to_owned(), 7)]);
        Snapshot {
            position: Position {
                identity: "id".to_owned(),
                epoch: 3,
                step: 1,
                loss: 0.1 + 0.2,
                images: 5,
                curve: vec![EpochLog {
                    epoch: 1,
                    loss: 1.0 / 3.0,
                    lr: 1e-4,
                    scalars: BTreeMap::from([("x".to_owned(), 0.7)]),
                }],
                updates: updates.clone(),
                recent: VecDeque::from([0.5, 0.1]),
            },
            weights: weights(1.5),
            moments: Moments {
                first: weights(2.5),
                second: weights(3.5),
                steps: updates,
            },
            task: TaskState::from([
                ("labels".to_owned(), vec![1, 2, 3]),
                ("none".to_owned(), vec![]),
            ]),
        }
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/c");
        assert!(Snapshot::load(&path).unwrap().is_none());
        snapshot().save(&path).unwrap();
        assert_eq!(Snapshot::load(&path).unwrap(), Some(snapshot()));
        // Nothing else is left in the folder.
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn ends_of_short_epochs_are_passed_over() {
        let seconds = Duration::from_secs;
        assert!(is_worth(None, seconds(0)));
        assert!(is_worth(Some(seconds(1)), seconds(60)));
        assert!(!is_worth(Some(seconds(1)), seconds(40)));
    }

    #[test]
    fn cut_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        snapshot().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(
                matches!(Snapshot::load(&path), Err(TrainError::Checkpoint { .. })),
                "cut at {cut}"
            );
        }
    }
}
