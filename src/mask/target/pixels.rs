//! Targets of masked reconstruction that are normalised per patch (`methods/masked.md` sections 3.1,
//! 3.6 and 3.7, vectors N7), and the mean of a loss over masked patches. AMLP itself reconstructs
//! raw intensities (section 2.1).

use crate::mask::patch::{Grid, PatchError};

/// How a patch is normalised: `(v - mean) / sqrt(var + eps)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalisation {
    /// MAE: variance divided by `n - 1`, eps 1e-6.
    Mae,
    /// BootMAE: variance divided by `n`, eps 1e-5.
    BootMae,
    /// `LayerNorm` without affine part (SelfMedMAE): variance divided by `n`, eps 1e-6.
    LayerNorm,
}

/// Normalises the values of one patch (of one channel, for BootMAE) in f64.
#[must_use]
pub fn normalise(patch: &[f32], kind: Normalisation) -> Vec<f32> {
    let n = patch.len() as f64;
    let mean = patch.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let square: f64 = patch.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let (variance, eps) = match kind {
        Normalisation::Mae => (square / (n - 1.0).max(1.0), 1e-6),
        Normalisation::BootMae => (square / n, 1e-5),
        Normalisation::LayerNorm => (square / n, 1e-6),
    };
    let scale = (variance + eps).sqrt();
    patch
        .iter()
        .map(|&v| ((f64::from(v) - mean) / scale) as f32)
        .collect()
}

/// Normalises every patch of `image` `[c, h, w]` in place: its channels together, or one by one for
/// BootMAE.
///
/// # Errors
/// An image that does not fit the grid.
pub fn normalise_patches(
    grid: Grid,
    kind: Normalisation,
    image: &mut [f32],
) -> Result<(), PatchError> {
    let [channels, height, width] = grid.shape();
    if kind == Normalisation::BootMae && channels > 1 {
        let plane = Grid::new([1, height, width], grid.side())?;
        for channel in image.chunks_exact_mut(height * width) {
            normalise_patches(plane, kind, channel)?;
        }
        return Ok(());
    }
    let patches = grid.patchify(image)?;
    let normal: Vec<f32> = patches
        .chunks_exact(grid.dim())
        .flat_map(|patch| normalise(patch, kind))
        .collect();
    image.copy_from_slice(&grid.unpatchify(&normal)?);
    Ok(())
}

/// Mean of the losses of masked patches: `sum(l * mask) / sum(mask)`; `None` where nothing is
/// masked.
#[must_use]
pub fn masked_mean(losses: &[f64], masked: &[bool]) -> Option<f64> {
    let mut sum = 0.0;
    let mut count = 0usize;
    for (loss, _) in losses.iter().zip(masked).filter(|(_, m)| **m) {
        sum += loss;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn spec_vectors_n7() {
        let v = [1.0, 2.0, 3.0, 6.0];
        near(
            &normalise(&v, Normalisation::Mae),
            &[-0.925_82, -0.462_91, 0.0, 1.388_73],
        );
        near(
            &normalise(&v, Normalisation::BootMae),
            &[-1.069_043, -0.534_522, 0.0, 1.603_565],
        );
        near(
            &normalise(&v, Normalisation::LayerNorm),
            &[-1.069_045, -0.534_522, 0.0, 1.603_567],
        );
        let flat = [0.0, 0.0, 0.0, 0.001];
        let [low, high] = [-0.223_607, 0.670_82];
        near(
            &normalise(&flat, Normalisation::Mae),
            &[low, low, low, high],
        );
        let [low, high] = [-0.078_326, 0.234_978];
        near(
            &normalise(&flat, Normalisation::BootMae),
            &[low, low, low, high],
        );
    }

    #[test]
    fn a_constant_patch_becomes_zero() {
        for kind in [
            Normalisation::Mae,
            Normalisation::BootMae,
            Normalisation::LayerNorm,
        ] {
            near(&normalise(&[0.0; 4], kind), &[0.0; 4]);
        }
    }

    #[test]
    fn masked_mean_of_n7() {
        let losses = [0.075, 12.5, 1.0];
        assert_eq!(masked_mean(&losses, &[false, true, true]), Some(6.75));
        assert_eq!(masked_mean(&losses, &[false; 3]), None);
    }

    #[test]
    fn channels_are_normalised_together_or_apart() {
        let grid = Grid::new([2, 2, 4], 2).unwrap();
        let image: Vec<f32> = (0..16).map(|v| (v * v) as f32).collect();
        let run = |kind| {
            let mut image = image.clone();
            normalise_patches(grid, kind, &mut image).unwrap();
            image
        };
        let patch = |image: &[f32], c: usize| -> Vec<f32> {
            [0, 1, 4, 5].iter().map(|i| image[8 * c + i]).collect()
        };
        let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
        let apart = run(Normalisation::BootMae);
        assert!(mean(&patch(&apart, 0)).abs() < 1e-6 && mean(&patch(&apart, 1)).abs() < 1e-6);
        let expected = normalise(&patch(&image, 1), Normalisation::BootMae);
        near(&patch(&apart, 1), &expected);
        let together = run(Normalisation::LayerNorm);
        let both = [patch(&together, 0), patch(&together, 1)].concat();
        assert!(mean(&both).abs() < 1e-6 && mean(&both[..4]) < -0.5);
        assert!(normalise_patches(grid, Normalisation::Mae, &mut [0.0; 3]).is_err());
    }
}
