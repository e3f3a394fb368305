//! Options of the methods that hide patches and predict something of them (`methods/masked.md`
//! section 3), a file each.

mod beit2;
mod bootmae;
mod convmae;
mod mae;
mod maskfeat;
mod selfmedmae;
mod simmim;

pub use beit2::{Beit2Options, TokenTeacher, TokenizerOptions};
pub use bootmae::BootmaeOptions;
pub use convmae::ConvmaeOptions;
pub use mae::MaeOptions;
pub use maskfeat::MaskfeatOptions;
pub use selfmedmae::SelfmedmaeOptions;
pub use simmim::SimmimOptions;

use super::{Frame, Misfit, Recipe, inside, within};

/// Side of a patch: as given, or the stride of the bottleneck, so that a patch is a cell of it.
#[must_use]
pub fn patch_side(patch: Option<usize>, depth: usize) -> usize {
    patch.unwrap_or(1 << depth)
}

/// Whether patches and ratio of the method `name` fit the images and the network. Heads sit on the
/// cells of the bottleneck, and masked patches are hidden from it: a patch is a whole number of
/// cells.
fn check(name: &str, patch: Option<usize>, ratio: f64, frame: &Frame<'_>) -> Result<(), Misfit> {
    let [height, width] = frame.image;
    let stride = 1 << frame.backbone.depth;
    let side = patch_side(patch, frame.backbone.depth);
    let key = format!("{name}.patch");
    if side == 0 || !side.is_multiple_of(stride) {
        return Err(Misfit::new(
            &[&key, "backbone.depth"],
            format!("{key} = {side} is no multiple of the network's stride {stride} (2^depth)"),
        ));
    }
    if !height.is_multiple_of(side) || !width.is_multiple_of(side) {
        return Err(Misfit::new(
            &[&key, "prepare.crop.size"],
            format!("a patch of {side} does not divide the image of {height} x {width}"),
        )
        .hint(format!(
            "change {key}, or pad the image with prepare.crop.size"
        )));
    }
    if (height / side) * (width / side) < 4 {
        return Err(Misfit::new(
            &[&key, "prepare.crop.size"],
            format!(
                "a patch of {side} leaves fewer than 4 patches in an image of {height} x {width}"
            ),
        ));
    }
    inside(&format!("{name}.ratio"), ratio, 0.0, 1.0)
}

/// Whether the network of the method `name` has so many levels to skip from.
fn skips(name: &str, skips: Option<usize>, frame: &Frame<'_>) -> Result<(), Misfit> {
    let most = frame.backbone.depth as f64;
    skips.map_or(Ok(()), |count| {
        within(&format!("{name}.skips"), count as f64, 0.0, most)
    })
}
