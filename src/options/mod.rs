//! Every option of a run, one file per concept: the plain values that the manifest fills, that the
//! stages read, and that enter the keys. Defaults are the paper's; where the paper is silent the
//! default is ours and stands in `docs/deviations.md`.

mod amlp;
mod backbone;
mod claim;
mod cluster;
mod evaluate;
mod layout;
mod masked;
mod measure;
mod optimiser;
mod phantom;
mod prepare;
mod recipe;
mod slurm;
mod sparse;
mod split;
mod task;
mod training;
mod views;

pub use amlp::{
    AmlpOptions, AmrOptions, AugmentOptions, CclApply, CclMode, CclOptions, LabelOptions, MaskFill,
    MpsOptions, Rank, Reference, RrlMode, RrlOptions, RrlScope, SpatialAugment, Strategy, Tau,
};
pub use backbone::{BackboneKind, BackboneOptions, Norm};
pub use claim::{ClaimKind, ClaimOver};
pub use cluster::{ClusterMethod, ClusterOptions, Foreground, KmeansInit};
pub use evaluate::{Aggregation, EmptyPolicy, EvaluateOptions, HausdorffMode, MetricOptions};
pub use layout::LayoutOptions;
pub use masked::{
    Beit2Options, BootmaeOptions, ConvmaeOptions, MaeOptions, MaskfeatOptions, SelfmedmaeOptions,
    SimmimOptions, TokenTeacher, TokenizerOptions, patch_side,
};
pub use measure::{MeasureKind, MeasureOptions};
pub use optimiser::{LrDecay, OptimiserKind, OptimiserOptions};
pub use phantom::{PhantomKind, PhantomOptions};
pub use prepare::{
    ClipBase, ClipOptions, CropMode, CropOptions, Interpolation, Precision, PrepareOptions,
    ResampleOptions, SliceOptions, SliceUse, ZscoreMask, ZscoreOptions,
};
pub use recipe::Recipe;
pub use slurm::{SlurmJobKind, SlurmOptions, SlurmRequest};
pub use sparse::{DensifyKind, SparseEncoder, SparseOptions, SparseStatistics};
pub use split::SplitOptions;
pub use task::{Frame, Misfit, Needs, PatchClusters, TaskOptions, Tokens, inside, up_to, within};
pub use training::{
    ComputePrecision, FinetuneOptions, InitOptions, InitPart, LightAugment, OnOutOfMemory,
    PretrainOptions, SegmentationLoss, Transfer, TransferOptions, ValidationSelect,
};
pub use views::{Border, IntensityRange, ViewOptions};

/// Options that came later leave the keys of those who do not use them alone.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// [`is_default`] of a count whose default is `N`.
pub(crate) fn is<const N: usize>(value: &usize) -> bool {
    *value == N
}
