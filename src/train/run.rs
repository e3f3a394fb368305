//! The loop: epochs, steps, checkpoints. No callbacks but the observer.

use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::checkpoint::{Position, Snapshot, is_worth};
use super::optimiser::drop_gradients;
use super::prefetch::prefetch;
use super::{
    Checkpoints, EpochPlan, Moment, Optimiser, Saved, Scalars, Task, TrainError, learning_rate,
};
use crate::nn::device::is_cpu;
use crate::nn::weights::{Weights, host_values};
use crate::options::OptimiserOptions;
use crate::random::{Purpose, Stream};

/// Finite losses that are kept for the message when one is not finite.
const MEMORY: usize = 5;
/// Steps between two readings of the loss on an accelerator, where each reading waits for it.
const READ_EVERY: usize = 16;

/// One finished epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean loss per image.
    pub loss: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// What the task adds.
    pub scalars: Scalars,
}

/// News from a running training.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps of the epoch that are done.
    pub step: usize,
    /// Steps per epoch.
    pub steps: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Throughput since the start or the resumption.
    pub images_per_second: f64,
    /// Share of the time of the epoch in which the training waited for its next batch, 0 to 1.
    pub waiting: f64,
    /// What the task adds at the end of an epoch; empty before.
    pub scalars: Scalars,
}

/// Hears of progress and may stop the run: a checkpoint is then written and the run ends with
/// [`TrainError::Stopped`].
pub type Observer<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// What the loop must know beside the task.
pub(super) struct Loop<'a> {
    /// Number of images.
    pub images: usize,
    /// Passes.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Images per pass through the network at most; a step is as many passes as it takes.
    pub pass: usize,
    /// Steps per epoch at most; 0 is no limit.
    pub max_steps: usize,
    /// Optimiser and schedule.
    pub optimiser: &'a OptimiserOptions,
    /// Seed of the order of the samples.
    pub seed: u64,
    /// Where it runs.
    pub device: &'a Device,
    /// Where checkpoints go, if anywhere.
    pub checkpoints: Option<Checkpoints<'a>>,
    /// Digest of what defines the run.
    pub identity: String,
}

impl Loop<'_> {
    /// The batches of `epoch`, from 1: a seeded permutation cut into pieces. A last piece of a
    /// single image is dropped, because batch statistics of it mean little, unless it is all there
    /// is.
    fn batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        let order =
            Stream::new(Purpose::Shuffle, &[self.seed, epoch as u64]).permutation(self.images);
        let size = self.batch.clamp(1, self.images.max(1));
        let mut batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
        if size > 1 && batches.len() > 1 && batches.last().is_some_and(|b| b.len() == 1) {
            batches.pop();
        }
        if self.max_steps > 0 {
            batches.truncate(self.max_steps);
        }
        batches
    }

    /// The passes of a step: as few as [`Loop::pass`] allows, of equal size but for one image.
    fn passes<'b>(&self, step: &'b [usize]) -> Vec<&'b [usize]> {
        let count = step.len().div_ceil(self.pass.max(1));
        let mut rest = step;
        (0..count)
            .map(|i| {
                let (pass, after) = rest.split_at(rest.len().div_ceil(count - i));
                rest = after;
                pass
            })
            .collect()
    }
}

/// Trains `model` on `task` to the end, from a checkpoint where there is one. A resumed run ends
/// with the same bits as an uninterrupted one wherever the device repeats its own results.
///
/// # Errors
/// No images, a loss that is not finite, a stop by the observer, or what the task meets.
pub(super) fn run<T: Task>(
    task: &mut T,
    model: T::Model,
    job: &Loop<'_>,
    observer: Observer<'_>,
) -> Result<(T::Model, Vec<EpochLog>), TrainError> {
    if job.images == 0 {
        return Err(TrainError::NoImages);
    }
    let (mut run, mut model) = Run::start(task, model, job)?;
    while run.position.epoch <= job.epochs {
        let epoch = run.position.epoch;
        let plan = task.plan(epoch);
        run.span = task.span(epoch, job.epochs);
        let batches = plan.steps(job.batches(epoch));
        let steps = batches.len();
        let todo = batches.get(run.position.step..).unwrap_or(&[]);
        let todo: Vec<Vec<&[usize]>> = todo.iter().map(|step| job.passes(step)).collect();
        let passes = todo.concat();
        run.epoch_began = Instant::now();
        run.waited = Duration::ZERO;
        model = std::thread::scope(|scope| {
            let mut made = prefetch(scope, &plan, &passes);
            let mut model = model;
            for step in &todo {
                model = run.step(task, model, step, &mut made, steps)?;
                run.waited = made.waited();
                run.report(task, &model, steps, observer)?;
            }
            Ok::<_, TrainError>(model)
        })?;
        run.end_epoch(task, &model, steps, observer)?;
    }
    Ok((model, run.position.curve))
}

/// A training in progress, but for its network: that goes by value from step to step, so that the
/// optimiser finds it in one hand and may write into its tensors.
struct Run<'a, 'j> {
    job: &'a Loop<'j>,
    optimiser: Optimiser,
    position: Position,
    /// Epochs, from 0, of the schedule that this one belongs to.
    span: Range<usize>,
    /// Losses that are still on the device, with their images.
    pending: Vec<(Tensor<1>, usize)>,
    read_every: usize,
    began: Instant,
    seen: usize,
    epoch_began: Instant,
    /// How long this epoch has waited for its batches.
    waited: Duration,
    /// The checkpoint on disk.
    saved: Option<Saved>,
    /// When it was written, or the run began.
    saved_at: Instant,
    /// How long writing it took.
    saving: Option<Duration>,
}

impl<'a, 'j> Run<'a, 'j> {
    fn start<T: Task>(
        task: &mut T,
        mut model: T::Model,
        job: &'a Loop<'j>,
    ) -> Result<(Self, T::Model), TrainError> {
        let position = Position {
            identity: job.identity.clone(),
            epoch: 1,
            step: 0,
            loss: 0.0,
            images: 0,
            curve: Vec::new(),
            updates: Default::default(),
            recent: Default::default(),
        };
        // On the CPU a reading costs nothing; elsewhere it waits for the device.
        let on_cpu = is_cpu(job.device);
        let each_step = job.checkpoints.is_some_and(|c| c.every.is_zero());
        let mut run = Self {
            job,
            optimiser: Optimiser::new(job.optimiser),
            position,
            span: 0..job.epochs,
            pending: Vec::new(),
            read_every: if on_cpu || each_step { 1 } else { READ_EVERY },
            began: Instant::now(),
            seen: 0,
            epoch_began: Instant::now(),
            waited: Duration::ZERO,
            saved: None,
            saved_at: Instant::now(),
            saving: None,
        };
        if let Some(snapshot) = run.snapshot_on_disk() {
            model = run.resume(task, model, snapshot)?;
        }
        run.optimiser.reserve(&model);
        Ok((run, model))
    }

    /// The checkpoint of this very run; anything else in its place is passed over with a warning.
    fn snapshot_on_disk(&self) -> Option<Snapshot> {
        let path = self.job.checkpoints?.path;
        match Snapshot::load(path) {
            Ok(Some(s)) if s.position.identity == self.job.identity => Some(s),
            Ok(Some(_)) => {
                tracing::warn!("{}: of another run, starting anew", path.display());
                None
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!("{error}; starting anew");
                None
            }
        }
    }

    fn resume<T: Task>(
        &mut self,
        task: &mut T,
        model: T::Model,
        snapshot: Snapshot,
    ) -> Result<T::Model, TrainError> {
        let model = snapshot.weights.load_into(model, "")?;
        self.optimiser
            .import(&model, &snapshot.moments)
            .map_err(|name| TrainError::Checkpoint {
                path: self
                    .job
                    .checkpoints
                    .map_or_else(Default::default, |c| c.path.to_owned()),
                reason: format!("its moments of '{name}' do not fit the network"),
            })?;
        task.load_state(&snapshot.task)?;
        self.position = snapshot.position;
        self.saved = self.here();
        Ok(model)
    }

    /// A checkpoint of where the run stands.
    fn here(&self) -> Option<Saved> {
        self.job.checkpoints.map(|checkpoints| Saved {
            path: checkpoints.path.to_owned(),
            epoch: self.position.epoch,
            step: self.position.step,
        })
    }

    /// One update from the batches of `passes`, which come from `made`.
    fn step<T: Task>(
        &mut self,
        task: &mut T,
        model: T::Model,
        passes: &[&[usize]],
        made: &mut impl Iterator<Item = Result<T::Batch, TrainError>>,
        steps: usize,
    ) -> Result<T::Model, TrainError> {
        let images: usize = passes.iter().map(|pass| pass.len()).sum();
        let at = Moment {
            epoch: self.position.epoch,
            epochs: self.job.epochs,
            step: self.position.step,
            steps,
        };
        let model = task.before_step(model, &at)?;
        let mut total: Option<Tensor<1>> = None;
        let mut gradients = GradientsAccumulator::new();
        for (pass, batch) in passes.iter().zip(made) {
            let mut loss = task.step(&model, batch?, &at)?;
            // A single pass keeps its bits.
            if passes.len() > 1 {
                loss = loss.mul_scalar(pass.len() as f64 / images as f64);
            }
            let value = loss.clone().inner();
            total = Some(match total {
                Some(total) => total + value,
                None => value,
            });
            let of_pass = GradientsParams::from_grads(loss.backward(), &model);
            gradients.accumulate(&model, of_pass);
        }
        self.pending.extend(total.map(|loss| (loss, images)));
        let mut gradients = gradients.grads();
        drop_gradients(&model, &mut gradients, &task.frozen(&model, &at));
        let lr = self.lr(self.position.step, steps);
        let model = self.optimiser.step(lr, model, gradients);
        task.after_step(&model, &at)?;
        self.position.step += 1;
        self.seen += images;
        Ok(model)
    }

    fn lr(&self, step: usize, steps: usize) -> f64 {
        let epoch = (self.position.epoch - 1).saturating_sub(self.span.start) as f64;
        let epoch = epoch + step as f64 / steps.max(1) as f64;
        learning_rate(epoch, self.span.len(), self.job.optimiser)
    }

    /// Reads losses when it is time, tells the observer, writes a checkpoint when it is due.
    fn report<T: Task>(
        &mut self,
        task: &mut T,
        model: &T::Model,
        steps: usize,
        observer: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        // The last step is told with the end of its epoch.
        if self.pending.len() < self.read_every || self.position.step >= steps {
            return Ok(());
        }
        self.read_losses()?;
        self.tell(task, model, self.progress(steps), observer)?;
        if self.job.checkpoints.is_some_and(|c| c.due(self.saved_at)) {
            self.try_save(task, model);
        }
        Ok(())
    }

    fn progress(&self, steps: usize) -> Progress {
        let step = self.position.step;
        Progress {
            epoch: self.position.epoch,
            epochs: self.job.epochs,
            step,
            steps,
            loss: self.position.loss / self.position.images.max(1) as f64,
            lr: self.lr(step.saturating_sub(1), steps),
            images_per_second: self.seen as f64 / self.began.elapsed().as_secs_f64().max(1e-9),
            waiting: self.waited.as_secs_f64() / self.epoch_began.elapsed().as_secs_f64().max(1e-9),
            scalars: Scalars::new(),
        }
    }

    /// Tells the observer, and stops with a checkpoint if it says so.
    fn tell<T: Task>(
        &mut self,
        task: &mut T,
        model: &T::Model,
        progress: Progress,
        observer: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        let (epoch, step) = (progress.epoch, progress.step);
        if observer(progress).is_break() {
            self.save(task, model)?;
            return Err(TrainError::Stopped { epoch, step });
        }
        Ok(())
    }

    fn read_losses(&mut self) -> Result<(), TrainError> {
        let count = self.pending.len();
        if count == 0 {
            return Ok(());
        }
        let (losses, images): (Vec<_>, Vec<_>) = self.pending.drain(..).unzip();
        let values = host_values(Tensor::cat(losses, 0));
        for (i, (value, images)) in values.into_iter().zip(images).enumerate() {
            let loss = f64::from(value);
            if !loss.is_finite() {
                return Err(TrainError::NotFinite {
                    epoch: self.position.epoch,
                    step: self.position.step + i + 1 - count,
                    loss,
                    last: self.position.recent.iter().copied().collect(),
                    saved: self.saved.clone(),
                });
            }
            if self.position.recent.len() == MEMORY {
                self.position.recent.pop_front();
            }
            self.position.recent.push_back(loss);
            self.position.loss += loss * images as f64;
            self.position.images += images;
        }
        Ok(())
    }

    fn end_epoch<T: Task>(
        &mut self,
        task: &mut T,
        model: &T::Model,
        steps: usize,
        observer: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        self.read_losses()?;
        let mut progress = self.progress(steps);
        progress.scalars = task.after_epoch(model, progress.epoch)?;
        self.position.curve.push(EpochLog {
            epoch: progress.epoch,
            loss: progress.loss,
            lr: self.lr(steps.saturating_sub(1), steps),
            scalars: progress.scalars.clone(),
        });
        self.position.epoch += 1;
        self.position.step = 0;
        self.position.loss = 0.0;
        self.position.images = 0;
        self.tell(task, model, progress, observer)?;
        let is_due = self.job.checkpoints.is_some_and(|c| c.due(self.saved_at));
        if is_due || is_worth(self.saving, self.saved_at.elapsed()) {
            self.try_save(task, model);
        }
        Ok(())
    }

    /// Keeps a checkpoint where that is possible. A disk that is full for an hour must not end a
    /// training of a day; the checkpoint before stays.
    fn try_save<T: Task>(&mut self, task: &mut T, model: &T::Model) {
        if let Err(error) = self.save(task, model) {
            tracing::warn!("no checkpoint: {error}; the training goes on without");
            self.saved_at = Instant::now();
        }
    }

    fn save<T: Task>(&mut self, task: &mut T, model: &T::Model) -> Result<(), TrainError> {
        let Some(checkpoints) = self.job.checkpoints else {
            return Ok(());
        };
        let start = Instant::now();
        let moments = self.optimiser.export(model);
        let mut position = self.position.clone();
        position.updates.clone_from(&moments.steps);
        let snapshot = Snapshot {
            position,
            weights: Weights::of(model),
            moments,
            task: task.state()?,
        };
        snapshot.save(checkpoints.path)?;
        self.saved = self.here();
        self.saving = Some(start.elapsed());
        self.saved_at = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(options: &OptimiserOptions, images: usize, batch: usize, max_steps: usize) -> usize {
        let device = Device::flex();
        let job = Loop {
            images,
            epochs: 1,
            batch,
            pass: batch,
            max_steps,
            optimiser: options,
            seed: 3,
            device: &device,
            checkpoints: None,
            identity: String::new(),
        };
        let first = job.batches(1);
        assert_eq!(first, job.batches(1));
        if images > 3 {
            assert_ne!(first, job.batches(2));
        }
        let mut all: Vec<usize> = first.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), first.concat().len());
        first.len()
    }

    #[test]
    fn batches_cover_the_images() {
        let o = OptimiserOptions::default();
        assert_eq!(job(&o, 10, 4, 0), 3);
        // A last batch of one is dropped.
        assert_eq!(job(&o, 9, 4, 0), 2);
        // Fewer images than a batch holds: one batch.
        assert_eq!(job(&o, 5, 56, 0), 1);
        assert_eq!(job(&o, 1, 56, 0), 1);
        // Single images per batch as asked for.
        assert_eq!(job(&o, 5, 1, 0), 5);
        assert_eq!(job(&o, 100, 4, 7), 7);
    }

    #[test]
    fn passes_cover_a_step_evenly() {
        let (options, device) = (OptimiserOptions::default(), Device::flex());
        let sizes = |pass: usize, images: usize| -> Vec<usize> {
            let job = Loop {
                images,
                epochs: 1,
                batch: images,
                pass,
                max_steps: 0,
                optimiser: &options,
                seed: 3,
                device: &device,
                checkpoints: None,
                identity: String::new(),
            };
            let step: Vec<usize> = (0..images).collect();
            let passes = job.passes(&step);
            assert_eq!(passes.concat(), step);
            passes.iter().map(|pass| pass.len()).collect()
        };
        assert_eq!(sizes(16, 16), [16]);
        assert_eq!(sizes(99, 16), [16]);
        assert_eq!(sizes(8, 16), [8, 8]);
        assert_eq!(sizes(5, 16), [4, 4, 4, 4]);
        assert_eq!(sizes(4, 9), [3, 3, 3]);
        assert_eq!(sizes(0, 2), [1, 1]);
    }
}
