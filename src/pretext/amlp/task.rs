//! The training task of AMLP.

use burn::tensor::{Device, Tensor, TensorData};

use super::batch::Sample;
use super::{
    Batch, Network, Plan, centroid_soft, consistency, literal_consistency, masked_mean,
    patch_losses, relative, soft_relative,
};
use crate::data::images::Images;
use crate::mask::labels::LabelTable;
use crate::mask::patch::Grid;
use crate::mask::schedule::{masked_count, ratio};
use crate::nn::backbone::{ENCODER, UNet};
use crate::nn::init::Initialiser;
use crate::nn::weights::{Weights, host_values};
use crate::options::{AmlpOptions, CclApply, CclMode, Reference, TaskOptions, Transfer};
use crate::pretext::part::{METER, Meter};
use crate::pretext::{About, Family, Pretext, Setup};
use crate::train::{Keep, Kept, Moment, Scalars, Task, TaskState, TrainError};

/// Mean loss below which an image is blank: its labels stay and it has no category consistency.
const BLANK_LOSS: f64 = 1e-8;

/// File of the label table after the last epoch.
pub const LABELS: &str = "labels.bin";

/// AMLP and the rows of its ablation.
pub struct Amlp;

impl Pretext for Amlp {
    const ABOUT: About = About {
        doc: "masks lesion patches by category, with an adjustable ratio and two losses on them",
        family: Family::Masked,
        year: 2025,
        paper: "X. Wang et al., arXiv 2309.04312v2",
        version: 1,
    };
    const TRAINS_DECODER: bool = true;

    type Options = AmlpOptions;
    type Model = Network;
    type Task<'a> = AmlpTask<'a>;

    fn task<'a>(
        options: &AmlpOptions,
        setup: &Setup<'a>,
    ) -> Result<(AmlpTask<'a>, Network), TrainError> {
        let task = AmlpTask::new(options, setup)?;
        let [channels, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let mut init = Initialiser::new(setup.seed, setup.device);
        let network = Network::init(&task.options, setup.backbone, channels, &mut init)?;
        Ok((task, network))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.unet).subset(ENCODER)
    }

    fn decoder(model: &Network, transfer: Transfer) -> Option<Weights> {
        (transfer == Transfer::Full).then(|| model.unet.decoder_blocks())
    }

    /// The last labels, where there are any.
    fn remains(task: &AmlpTask<'_>) -> TaskState {
        let table = task.labels().map(LabelTable::to_bytes);
        table.map(|t| (LABELS.to_owned(), t)).into_iter().collect()
    }
}

impl Keep for LabelTable {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        Ok(Some(self.to_bytes()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        *self = Self::from_bytes(bytes)?;
        Ok(())
    }
}

/// AMLP over a set of images.
pub struct AmlpTask<'a> {
    images: &'a dyn Images,
    options: AmlpOptions,
    grid: Grid,
    table: Option<LabelTable>,
    epochs: usize,
    seed: u64,
    device: Device,
    /// Of `L_pred`, `L_rrl` and `L_ccl`.
    meter: Meter,
}

impl<'a> AmlpTask<'a> {
    /// The task before its first epoch.
    ///
    /// # Errors
    /// A patch side that does not tile the images, labels that do not fit, or none where the
    /// options need some.
    pub fn new(options: &AmlpOptions, setup: &Setup<'a>) -> Result<Self, TrainError> {
        let options = options.canonical();
        let grid = Grid::new(setup.images.shape(), options.patch)?;
        let table = if options.uses_labels() {
            Some(label_table(&options, setup, grid)?)
        } else {
            None
        };
        Ok(Self {
            images: setup.images,
            options,
            grid,
            table,
            epochs: setup.pretrain.epochs,
            seed: setup.seed,
            device: setup.device.clone(),
            meter: Meter::new(&["l_pred", "l_rrl", "l_ccl"], setup.device),
        })
    }

    /// The label table, where labels are in use.
    #[must_use]
    pub fn labels(&self) -> Option<&LabelTable> {
        self.table.as_ref()
    }

    fn masked(&self, epoch: usize) -> usize {
        masked_count(epoch, self.epochs, self.grid.patches(), &self.options.amr)
    }

    fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// New labels of the masked patches by their losses (section 2.8), written into the table where
    /// it is updated. The losses are those of the training pass, detached.
    fn judge(
        &mut self,
        samples: &[Sample],
        losses: &[f32],
        epoch: usize,
    ) -> Result<Judgement, TrainError> {
        let patches = self.grid.patches();
        let mut judged = Judgement {
            new: vec![0.0; losses.len()],
            applied: vec![0.0; losses.len()],
            literal: 0.0,
        };
        let Some(table) = &mut self.table else {
            return Ok(judged);
        };
        let ccl = &self.options.ccl;
        let mut terms = 0.0;
        let mut masked = 0;
        for (i, (sample, row)) in samples.iter().zip(losses.chunks_exact(patches)).enumerate() {
            let l: Vec<f32> = sample.masked.iter().map(|&p| row[p]).collect();
            let (index, original) = (sample.index, &sample.original);
            let (seed, epoch, id) = (self.seed, epoch as u64, sample.id);
            let update = if self.options.labels.update {
                table.update_row(index, original, &l, seed, epoch, id)?
            } else {
                table.judge_row(index, original, &l, seed, epoch, id)?
            };
            masked += sample.masked.len();
            // Nothing is relative to the mean loss of a blank image.
            if mean(&l) < BLANK_LOSS {
                continue;
            }
            for (k, &patch) in sample.masked.iter().enumerate() {
                let (new, old) = (update.labels[k], update.original[k]);
                if ccl.apply == CclApply::Changed && !update.changed[k] {
                    continue;
                }
                terms += literal_consistency(new, old, ccl.xi);
                // Without two categories there is no centroid to be consistent with.
                if ccl.mode == CclMode::CentroidSoft && !sample.divided {
                    continue;
                }
                judged.new[i * patches + patch] = f32::from(new);
                judged.applied[i * patches + patch] = 1.0;
            }
        }
        judged.literal = terms / masked.max(1) as f64;
        Ok(judged)
    }
}

/// What the losses of a batch say about its labels; `[n, patches]`.
struct Judgement {
    /// New label.
    new: Vec<f32>,
    /// 1 where the category consistency loss is evaluated.
    applied: Vec<f32>,
    /// Its literal value: the mean over images.
    literal: f64,
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}

/// Labels before the first epoch: the clustering or the ground truth, some flipped on purpose.
fn label_table(
    options: &AmlpOptions,
    setup: &Setup<'_>,
    grid: Grid,
) -> Result<LabelTable, TrainError> {
    let images = setup.images;
    let labels = match (options.labels.reference, setup.labels) {
        (Reference::Gt, _) => lesion_labels(images, grid)?,
        (Reference::Kmeans, Some(labels)) => labels.to_vec(),
        (Reference::Kmeans, None) => {
            return Err(TrainError::Options {
                field: "mps",
                reason: "no patch categories were given".to_owned(),
            });
        }
    };
    let mut table = LabelTable::new(images.len(), grid.patches(), labels)?;
    let flips = options.labels.preset_flip;
    if flips > 0.0 {
        let ids: Vec<u64> = (0..images.len()).map(|i| images.id(i)).collect();
        table.preset_flips(flips, options.labels.freeze_flipped, setup.seed, &ids)?;
    }
    Ok(table)
}

/// 1 where a patch holds a pixel of any region.
fn lesion_labels(images: &dyn Images, grid: Grid) -> Result<Vec<u8>, TrainError> {
    let [_, h, w] = grid.shape();
    let mut masks = vec![0.0; images.regions() * h * w];
    let mut labels = Vec::with_capacity(images.len() * grid.patches());
    for index in 0..images.len() {
        images.masks(index, &mut masks);
        let mut any = vec![0.0f32; h * w];
        for region in masks.chunks_exact(h * w) {
            for (a, &m) in any.iter_mut().zip(region) {
                *a = a.max(m);
            }
        }
        labels.extend(grid.lesion_labels(&any)?);
    }
    Ok(labels)
}

impl<'a> Task for AmlpTask<'a> {
    type Model = Network;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        let labels = self.table.as_ref().map_or_else(Vec::new, |table| {
            (0..table.images())
                .flat_map(|i| table.row(i))
                .copied()
                .collect()
        });
        Plan {
            images: self.images,
            options: self.options.clone(),
            grid: self.grid,
            labels,
            masked: self.masked(epoch),
            seed: self.seed,
            epoch: epoch as u64,
        }
    }

    fn step(
        &mut self,
        model: &Network,
        batch: Batch,
        at: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let epoch = at.epoch;
        let [c, h, w] = self.grid.shape();
        let (n, patches, side) = (batch.samples.len(), self.grid.patches(), self.grid.side());
        let n_m = self.masked(epoch);
        let mask = self.tensor(batch.mask, [n, patches]);
        let pixels = (!batch.pixels.is_empty()).then(|| self.tensor(batch.pixels, [n, 1, h, w]));
        let input = self.tensor(batch.input, [n, c, h, w]);
        let (output, category) = model.forward(input, pixels);
        let target = self.tensor(batch.target, [n, c, h, w]);
        let l = patch_losses(output.clone(), target, side);

        let prediction = masked_mean(l.clone(), mask.clone(), n_m);
        let mut total = prediction.clone();
        let none = || Tensor::zeros([1], &self.device);
        let mut parts = [prediction, none(), none()];

        let rrl = &self.options.rrl;
        if let Some(loss) = relative(l.clone(), mask.clone(), n_m, rrl.mode, rrl.scope) {
            parts[1] = loss.clone();
            total = total + loss.mul_scalar(rrl.lambda);
        }

        let ccl = self.options.ccl.clone();
        if ccl.mode != CclMode::Off {
            let losses = host_values(l.clone());
            let judged = self.judge(&batch.samples, &losses, epoch)?;
            let new = self.tensor(judged.new, [n, patches]);
            let applied = self.tensor(judged.applied, [n, patches]);
            let soft = match ccl.mode {
                CclMode::SoftRelative => Some(soft_relative(l, mask, n_m, ccl.temperature)),
                CclMode::CentroidSoft => {
                    let direction = self.tensor(batch.direction, [n, c, h, w]);
                    let offset = self.tensor(batch.offset, [n, 1]);
                    Some(centroid_soft(
                        output,
                        direction,
                        offset,
                        side,
                        ccl.temperature,
                    ))
                }
                CclMode::Head => category,
                CclMode::Off | CclMode::Literal => None,
            };
            let loss = match soft {
                Some(q) => consistency(q, new, applied, n_m, ccl.xi),
                // A constant: it moves the value of the loss and no weight.
                None => self.tensor(vec![judged.literal as f32], [1]),
            };
            parts[2] = loss.clone();
            total = total + loss.mul_scalar(ccl.lambda);
        }
        self.meter.add(n, parts);
        Ok(total)
    }

    fn after_epoch(&mut self, _: &Network, epoch: usize) -> Result<Scalars, TrainError> {
        let mut scalars = self.meter.take();
        let n = self.grid.patches();
        scalars.insert("masked".to_owned(), self.masked(epoch) as f64);
        scalars.insert(
            "ratio".to_owned(),
            ratio(epoch, self.epochs, &self.options.amr),
        );
        if let Some(table) = &mut self.table {
            let stats = table.end_epoch();
            let images = table.images().max(1) as f64;
            for (name, count) in [
                ("foreground", stats.foreground),
                ("inconsistent", stats.inconsistent),
                ("changed", stats.changed),
            ] {
                scalars.insert(format!("labels.{name}"), count as f64 / images);
            }
            scalars.insert("labels.patches".to_owned(), n as f64);
        }
        Ok(scalars)
    }

    fn kept(&mut self) -> Kept<'_> {
        let mut kept: Kept<'_> = vec![(METER, &mut self.meter)];
        if let Some(table) = &mut self.table {
            kept.push(("labels", table));
        }
        kept
    }
}
