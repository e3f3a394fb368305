//! The training task of G-L: two stages, one after the other.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::super::part::{METER, Meter, Source, spread};
use super::super::{About, Family, Pretext, Setup};
use super::{Batch, GlOptions, Network, Plan, global_loss, local_loss};
use crate::data::images::Images;
use crate::nn::backbone::UNet;
use crate::nn::weights::Weights;
use crate::options::Transfer;
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// G-L.
pub struct Gl;

impl Pretext for Gl {
    const ABOUT: About = About {
        doc: "pulls slices of the same height of different volumes together; then regions, if asked",
        family: Family::Contrastive,
        year: 2020,
        paper: "Chaitanya et al., NeurIPS 2020, arXiv 2006.10511",
        version: 1,
    };

    type Options = GlOptions;
    type Model = Network;
    type Task<'a> = GlTask<'a>;

    fn task<'a>(
        options: &GlOptions,
        setup: &Setup<'a>,
    ) -> Result<(GlTask<'a>, Network), TrainError> {
        let [_, height, width] = setup.images.shape();
        UNet::check(setup.backbone, height, width)?;
        let volumes = volumes(setup.images, options.parts);
        if volumes.len() < 2 {
            return Err(TrainError::Options {
                field: "gl.parts",
                reason: format!(
                    "{} volumes have {} slices or more, two are needed",
                    volumes.len(),
                    options.parts
                ),
            });
        }
        let task = GlTask {
            source: Source::new(setup),
            volumes: Arc::new(volumes),
            options: options.clone(),
            global_epochs: options.local.global_epochs(setup.pretrain.epochs),
            meter: Meter::new(&["emb_std"], setup.device),
            device: setup.device.clone(),
        };
        Ok((task, Network::init(options, setup)?))
    }

    fn encoder(model: &Network) -> Weights {
        Weights::of(&model.encoder)
    }

    /// The local stage trains nothing else: its blocks are always handed on.
    fn decoder(model: &Network, _transfer: Transfer) -> Option<Weights> {
        model.local.as_ref().map(|local| local.decoder.blocks())
    }
}

/// G-L over a set of images.
pub struct GlTask<'a> {
    source: Source<'a>,
    volumes: Arc<Vec<Vec<usize>>>,
    options: GlOptions,
    /// Epochs of the global stage; the local one has the rest.
    global_epochs: usize,
    meter: Meter,
    device: Device,
}

impl GlTask<'_> {
    /// Images on the device.
    fn images(&self, values: Vec<f32>) -> Tensor<4> {
        let [channels, height, width] = self.source.images.shape();
        let n = values.len() / (channels * height * width).max(1);
        let data = TensorData::new(values, [n, channels, height, width]);
        Tensor::from_data(data, &self.device)
    }
}

impl<'a> Task for GlTask<'a> {
    type Model = Network;
    type Batch = Batch;
    type Plan = Plan<'a>;

    fn plan(&self, epoch: usize) -> Plan<'a> {
        Plan {
            source: self.source.clone(),
            volumes: self.volumes.clone(),
            options: self.options.clone(),
            epoch: epoch as u64,
            local: epoch > self.global_epochs,
        }
    }

    /// Each stage has a schedule of its own.
    fn span(&self, epoch: usize, epochs: usize) -> Range<usize> {
        if epoch > self.global_epochs {
            self.global_epochs..epochs
        } else {
            0..self.global_epochs
        }
    }

    fn step(&mut self, model: &Network, batch: Batch, _: &Moment) -> Result<Tensor<1>, TrainError> {
        let o = &self.options;
        match batch {
            Batch::Global { volumes, values } => {
                let z = model.embed(self.images(values));
                self.meter.add(volumes * o.parts, [spread(z.clone())]);
                let loss = global_loss(z, o.attraction, volumes, o.parts, o.temperature);
                Ok(loss)
            }
            Batch::Local { n, values } => {
                let vectors = model.regions(self.images(values));
                let vectors = vectors.ok_or_else(|| TrainError::Options {
                    field: "gl.local",
                    reason: "the network has no local stage".to_owned(),
                })?;
                let [_, places, d] = vectors.dims();
                let rows = vectors.clone().reshape([2 * n * places, d]);
                self.meter.add(n, [spread(rows)]);
                let copy = |from: usize| vectors.clone().slice([from..from + n, 0..places, 0..d]);
                Ok(local_loss(copy(0), copy(n), o.temperature))
            }
        }
    }

    fn after_epoch(&mut self, _: &Network, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![(METER, &mut self.meter)]
    }
}

/// The images of each volume that has at least `parts` of them, in order of z.
fn volumes(images: &dyn Images, parts: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for index in 0..images.len() {
        let volume = images.volume(index);
        if all.len() <= volume {
            all.resize(volume + 1, Vec::new());
        }
        all[volume].push(index);
    }
    all.retain(|slices| slices.len() >= parts);
    all
}
