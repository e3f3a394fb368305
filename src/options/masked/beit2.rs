//! Options of BEiT v2 (`methods/masked.md` section 3.5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MaeOptions, Recipe, check};
use crate::options::{
    Frame, Misfit, Needs, OptimiserOptions, TaskOptions, Tokens, inside, is, is_default, up_to,
    within,
};

/// Blocks of the tokenizer's decoder by default.
const BLOCKS: usize = 3;

/// Whose features the tokenizer puts into codes. The original's teachers (CLIP, DINO) know other
/// images; these know none but the training slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenTeacher {
    /// The bottleneck of the study's own MAE, pre-trained on the same slices.
    #[default]
    OwnMae,
    /// Histograms of oriented gradients.
    Hog,
    /// The bottleneck of an average of the tokenizer's own encoder, which follows it. Nothing keeps
    /// it from collapsing: watch `emb_std` and `codes.perplexity`.
    OwnEma,
}

/// The tokenizer of BEiT v2: an autoencoder of a teacher's features with a codebook in the middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerOptions {
    /// Number of codes.
    pub codebook: usize,
    /// Length of a code.
    pub code_dim: usize,
    /// Decay of the codes, which follow the vectors that are given them.
    pub ema: f64,
    /// Whose features it learns.
    pub teacher: TokenTeacher,
    /// Momentum of the teacher `own_ema`; 0 is 0.999 for runs of at least 100,000 steps and 0.99 for
    /// shorter ones.
    #[serde(skip_serializing_if = "is_default")]
    pub momentum: f64,
    /// The MAE that is the teacher; with the options of the study's row it is the same stage.
    pub mae: MaeOptions,
    /// Residual blocks of the decoder to the teacher's features.
    #[serde(skip_serializing_if = "is::<BLOCKS>")]
    pub blocks: usize,
    /// Passes over the training slices.
    pub epochs: usize,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for TokenizerOptions {
    fn default() -> Self {
        Self {
            codebook: 8192,
            code_dim: 32,
            ema: 0.99,
            teacher: TokenTeacher::default(),
            momentum: 0.0,
            mae: MaeOptions::default(),
            blocks: BLOCKS,
            epochs: 100,
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for TokenizerOptions {
    fn canonical(&self) -> Self {
        let mut o = self.clone();
        match o.teacher {
            TokenTeacher::OwnMae => o.mae = o.mae.canonical(),
            TokenTeacher::Hog | TokenTeacher::OwnEma => o.mae = MaeOptions::default(),
        }
        if o.teacher != TokenTeacher::OwnEma {
            o.momentum = 0.0;
        }
        o
    }

    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        // Codes are stored in 16 bits.
        within(
            "beit2.tokenizer.codebook",
            self.codebook as f64,
            2.0,
            65536.0,
        )?;
        within(
            "beit2.tokenizer.code_dim",
            self.code_dim as f64,
            1.0,
            4096.0,
        )?;
        within("beit2.tokenizer.blocks", self.blocks as f64, 1.0, 64.0)?;
        within("beit2.tokenizer.momentum", self.momentum, 0.0, 1.0)?;
        inside("beit2.tokenizer.ema", self.ema, 0.0, 1.0)?;
        within("beit2.tokenizer.epochs", self.epochs as f64, 1.0, 1e6)?;
        self.mae.check(frame)
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            weight_decay: 1e-4,
            betas: [0.9, 0.99],
            warmup_epochs: 10.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 5e-5, 128.0, original)
    }
}

/// Options of BEiT v2 (`methods/masked.md` section 3.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Beit2Options {
    /// Side of a patch in pixels, a multiple of the network's stride `2^depth`; that stride where
    /// none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Share of masked patches, rounded.
    pub ratio: f64,
    /// Least size of a block of masked patches, as a share of the patches; 16 of 196 where none is
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_block: Option<f64>,
    /// Train a second prediction through the mean of the bottleneck, in place of the class token.
    pub class_branch: bool,
    /// The tokenizer, a stage of its own.
    pub tokenizer: TokenizerOptions,
    /// Whose optimiser it is trained with.
    pub recipe: Recipe,
}

impl Default for Beit2Options {
    fn default() -> Self {
        Self {
            patch: None,
            ratio: 75.0 / 196.0,
            min_block: None,
            class_branch: false,
            tokenizer: TokenizerOptions::default(),
            recipe: Recipe::default(),
        }
    }
}

impl TaskOptions for Beit2Options {
    fn canonical(&self) -> Self {
        Self {
            tokenizer: self.tokenizer.canonical(),
            ..self.clone()
        }
    }

    fn check(&self, frame: &Frame<'_>) -> Result<(), Misfit> {
        self.tokenizer.check(frame)?;
        if let Some(share) = self.min_block {
            up_to("beit2.min_block", share, 0.0, self.ratio)?;
        }
        check("beit2", self.patch, self.ratio, frame)
    }

    fn needs(&self) -> Needs {
        Needs {
            tokens: Some(Tokens {
                patch: self.patch,
                tokenizer: self.tokenizer.clone(),
            }),
            ..Needs::default()
        }
    }

    fn optimiser(&self, batch: usize) -> Option<OptimiserOptions> {
        let original = OptimiserOptions {
            betas: [0.9, 0.98],
            warmup_epochs: 10.0,
            clip_norm: 3.0,
            ..OptimiserOptions::pretraining()
        };
        self.recipe.scaled(batch, 1.5e-3, 2048.0, original)
    }
}
