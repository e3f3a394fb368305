//! Which patches are hidden (`methods/masked.md` section 1.5).

use crate::mask::block::{Blocks, rolled};
use crate::mask::patch::Grid;
use crate::mask::random::random_mask;
use crate::random::{Purpose, Stream};

/// How the masked patches of an image are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hiding {
    /// So many patches, each as likely as any other.
    Random(usize),
    /// Blocks of patches.
    Blocks(Blocks),
    /// Blocks and single patches, some of them exchanged; so many in all.
    Rolled(Blocks, usize),
}

impl Hiding {
    /// Masked patches of an image in an epoch, in ascending order.
    #[must_use]
    pub fn draw(&self, grid: Grid, seed: u64, epoch: u64, image: u64) -> Vec<usize> {
        let mut stream = Stream::new(Purpose::Mask, &[seed, epoch, image]);
        match self {
            Self::Random(masked) => random_mask(grid.patches(), *masked, &mut stream),
            Self::Blocks(blocks) => blocks.draw(grid.rows(), grid.cols(), &mut stream),
            Self::Rolled(blocks, masked) => {
                let part = blocks.draw(grid.rows(), grid.cols(), &mut stream);
                rolled(grid.patches(), &part, *masked, &mut stream)
            }
        }
    }
}
