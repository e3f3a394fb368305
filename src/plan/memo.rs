//! Stages that were already hashed, by what they are made of: thousands of runs share a few hundred
//! stages, and comparing a specification is much cheaper than serialising and hashing it.

use std::collections::HashMap;

use serde::Serialize;

use super::spec::{
    ClusterSpec, EvaluateSpec, FinetuneSpec, IndexSpec, MeasureSpec, PhantomSpec, PrepareSpec,
    PretrainSpec, SelectSpec, SplitSpec, TabulateSpec, TokenizeSpec,
};
use super::{Input, Key, StageKind};

/// What a kind of stage reads.
pub(super) trait StageSpec: Serialize {
    /// The kind.
    const KIND: StageKind;
    /// Whether its numbers depend on the device, which then enters the key.
    const COMPUTES: bool = false;
}

/// A specification that is looked up before it is hashed.
pub(super) trait Remembered: StageSpec + PartialEq + Sized {
    /// Its part of the memory.
    fn known(memo: &mut Memo) -> &mut Known<Self>;
}

/// Keys by input keys and specification. The specifications for the same inputs are few.
#[derive(Debug)]
pub(super) struct Known<S>(HashMap<Vec<Key>, Vec<(S, Key)>>);

impl<S> Default for Known<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<S: PartialEq> Known<S> {
    /// The key of the stage with these inputs, in this order, and this specification.
    pub fn get(&self, inputs: &[Input], spec: &S) -> Option<Key> {
        let keys: Vec<Key> = inputs.iter().map(|i| i.key.clone()).collect();
        let (_, key) = self.0.get(&keys)?.iter().find(|(s, _)| s == spec)?;
        Some(key.clone())
    }

    /// Remembers a stage.
    pub fn put(&mut self, inputs: Vec<Key>, spec: S, key: Key) {
        self.0.entry(inputs).or_default().push((spec, key));
    }
}

macro_rules! remembered {
    ($($spec:ident $field:ident $kind:ident $computes:literal,)*) => {
        /// Everything that was hashed so far.
        #[derive(Debug, Default)]
        pub(super) struct Memo {
            $($field: Known<$spec>,)*
        }

        $(
            impl StageSpec for $spec {
                const KIND: StageKind = StageKind::$kind;
                const COMPUTES: bool = $computes;
            }

            impl Remembered for $spec {
                fn known(memo: &mut Memo) -> &mut Known<Self> {
                    &mut memo.$field
                }
            }
        )*
    };
}

remembered! {
    PhantomSpec phantom Phantom false,
    IndexSpec index Index false,
    SplitSpec split Split false,
    PrepareSpec prepare Prepare false,
    ClusterSpec cluster Cluster false,
    TokenizeSpec tokenize Tokenize true,
    PretrainSpec pretrain Pretrain true,
    FinetuneSpec finetune Finetune true,
    EvaluateSpec evaluate Evaluate true,
    MeasureSpec measure Measure false,
    SelectSpec select Select false,
}

impl StageSpec for TabulateSpec {
    const KIND: StageKind = StageKind::Tabulate;
}
