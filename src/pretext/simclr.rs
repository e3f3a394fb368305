//! SimCLR: two views of a slice attract, all other views of the batch repel
//! (`methods/contrastive.md` section 3).

use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::{
    Branch, Jitter, METER, Meter, Recipe, Shift, Source, ViewBatch, Views, nt_xent, spread,
};
use super::{About, Family, Pretext, Setup};
use crate::nn::head::ProjectionKind;
use crate::nn::init::Initialiser;
use crate::nn::weights::Weights;
use crate::options::{
    self, Frame, Misfit, OptimiserKind, OptimiserOptions, TaskOptions, inside, is_default, up_to,
    within,
};
use crate::train::{Kept, Moment, Scalars, Task, TrainError};

/// Options of SimCLR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimClrOptions {
    /// Temperature.
    pub temperature: f64,
    /// Layers of the projection: 2 as first published, 3 as released.
    pub layers: usize,
    /// Length of an embedding.
    pub width: usize,
    /// Least and greatest share of a slice that a view shows.
    pub crop: [f64; 2],
    /// Strength of the jitter of brightness and contrast; 1 on photographs.
    pub jitter: f64,
    /// Chance of a blur.
    pub blur: f64,
    /// Whose optimiser it is trained with.
    #[serde(skip_serializing_if = "is_default")]
    pub recipe: options::Recipe,
}

impl Default for SimClrOptions {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            layers: 2,
            width: 128,
            crop: [0.08, 1.0],
            jitter: 0.5,
            blur: 0.5,
            recipe: options::Recipe::default(),
        }
    }
}

impl TaskOptions for SimClrOptions {
    fn check(&self, _: &Frame<'_>) -> Result<(), Misfit> {
        inside("simclr.temperature", self.temperature, 0.0, 100.0)?;
        within("simclr.layers", self.layers as f64, 2.0, 3.0)?;
        within("simclr.width", self.width as f64, 1.0, 65536.0)?;
        up_to("simclr.crop", self.crop[0], 0.0, self.crop[1])?;
        up_to("simclr.crop", self.crop[1], 0.0, 1.0)?;
        within("simclr.jitter", self.jitter, 0.0, 1.25)?;
        within("simclr.blur", self.blur, 0.0, 1.0)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            kind: OptimiserKind::Lars,
            weight_decay: 1e-4,
            warmup_epochs: 10.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 0.3, 256.0, original)
    }
}

/// SimCLR.
pub struct SimClr;

impl Pretext for SimClr {
    const ABOUT: About = About {
        doc: "pulls two views of a slice together and pushes all others of the batch apart",
        family: Family::Contrastive,
        year: 2020,
        paper: "Chen et al., ICML 2020, arXiv 2002.05709",
        version: 1,
    };

    type Options = SimClrOptions;
    type Model = Branch;
    type Task<'a> = SimClrTask<'a>;

    fn task<'a>(
        options: &SimClrOptions,
        setup: &Setup<'a>,
    ) -> Result<(SimClrTask<'a>, Branch), TrainError> {
        let [_, height, width] = setup.images.shape();
        let mut init = Initialiser::new(setup.seed, setup.device);
        let mut widths = vec![0; options.layers - 1];
        widths.push(options.width);
        // The shift of a normalisation takes the place of a bias.
        let kind = ProjectionKind {
            norm: true,
            last_norm: true,
            ..ProjectionKind::default()
        };
        let branch = Branch::init(setup, &widths, kind, &mut init)?;
        let task = SimClrTask {
            source: Source::new(setup),
            recipe: recipe(options, [height, width]),
            temperature: options.temperature,
            meter: Meter::new(&["emb_std", "retrieved"], setup.device),
            device: setup.device.clone(),
        };
        Ok((task, branch))
    }

    fn encoder(model: &Branch) -> Weights {
        Weights::of(&model.encoder)
    }
}

fn recipe(options: &SimClrOptions, size: [usize; 2]) -> Recipe {
    let strength = 0.8 * options.jitter;
    Recipe {
        size,
        crop: options.crop,
        jitter: Jitter {
            chance: 0.8,
            brightness: Shift::Multiply(strength),
            contrast: strength,
        },
        blur: options.blur,
        solarise: 0.0,
    }
}

/// SimCLR over a set of images.
pub struct SimClrTask<'a> {
    source: Source<'a>,
    recipe: Recipe,
    temperature: f64,
    meter: Meter,
    device: Device,
}

impl<'a> Task for SimClrTask<'a> {
    type Model = Branch;
    type Batch = ViewBatch;
    type Plan = Views<'a>;

    fn plan(&self, epoch: usize) -> Views<'a> {
        self.source.views(vec![self.recipe; 2], epoch)
    }

    fn step(
        &mut self,
        model: &Branch,
        batch: ViewBatch,
        _: &Moment,
    ) -> Result<Tensor<1>, TrainError> {
        let n = batch.n;
        // One pass: statistics of batch normalisation are those of both views together.
        let views = batch.join(&[0, 1], &self.device);
        let z = model.forward(views);
        let [_, d] = z.dims();
        let (a, b) = (
            z.clone().slice([0..n, 0..d]),
            z.clone().slice([n..2 * n, 0..d]),
        );
        let found = nt_xent(a, b, self.temperature);
        self.meter.add(n, [spread(z), found.retrieved]);
        Ok(found.loss)
    }

    fn after_epoch(&mut self, _: &Branch, _: usize) -> Result<Scalars, TrainError> {
        Ok(self.meter.take())
    }

    fn kept(&mut self) -> Kept<'_> {
        vec![(METER, &mut self.meter)]
    }
}
