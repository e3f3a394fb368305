//! The category of every patch of every image, and how the losses of an epoch change it.

use std::ops::AddAssign;

use thiserror::Error;

use crate::random::{Purpose, Stream, coin, hash};

/// Mean loss below which an image changes no label: on a blank image every loss equals the mean, and
/// half of all background labels would flip.
const BLANK_LOSS: f64 = 1e-8;

/// First bytes of a stored table; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"AMLPLBL1";

/// Magic, images, patches, inconsistent, changed.
const HEADER: usize = 8 + 4 * 8;

/// What a label table refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// A list of labels that does not fill the table.
    #[error("{found} labels do not fill {images} images of {patches} patches")]
    Size {
        /// Images of the table.
        images: usize,
        /// Patches of an image.
        patches: usize,
        /// Labels given.
        found: usize,
    },
    /// A label that is neither 0 nor 1.
    #[error("label {value} of patch {patch} of image {image} is neither 0 nor 1")]
    Value {
        /// Row of the table.
        image: usize,
        /// Patch.
        patch: usize,
        /// The label.
        value: u8,
    },
    /// A row that the table does not have.
    #[error("image {image} is outside of a label table of {images} images")]
    Image {
        /// Row asked for.
        image: usize,
        /// Images of the table.
        images: usize,
    },
    /// A patch that an image does not have.
    #[error("patch {patch} is outside of an image of {patches} patches")]
    Patch {
        /// Patch asked for.
        patch: usize,
        /// Patches of an image.
        patches: usize,
    },
    /// Masked patches and losses that do not pair up.
    #[error("{losses} losses do not belong to {masked} masked patches")]
    Losses {
        /// Masked patches.
        masked: usize,
        /// Losses.
        losses: usize,
    },
    /// A share of labels outside of `0..=1`.
    #[error("the share of flipped labels, {0}, is not between 0 and 1")]
    Share(String),
    /// Bytes that are not a label table.
    #[error("the stored label table is not valid: {0}")]
    Bytes(&'static str),
}

/// What one image learnt from one forward pass; one entry per masked patch, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Label before.
    pub original: Vec<u8>,
    /// Label by the loss alone: 1 where it is at least the mean loss of the image.
    pub hard: Vec<u8>,
    /// Label after; it replaces the old one when the epoch ends.
    pub labels: Vec<u8>,
    /// Where the loss disagrees with the label before.
    pub inconsistent: Vec<bool>,
    /// Where the label changes.
    pub changed: Vec<bool>,
}

/// What happened to the labels in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochStats {
    /// Labels in the table.
    pub labels: u64,
    /// Labels that are 1 after the epoch.
    pub foreground: u64,
    /// Masked patches whose loss disagreed with their label.
    pub inconsistent: u64,
    /// Labels that changed.
    pub changed: u64,
}

/// Agreement of label 1 with lesion patches; for evaluation only, training never sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Patches labelled 1 that hold a lesion.
    pub true_positive: u64,
    /// Patches labelled 1 without one.
    pub false_positive: u64,
    /// Patches labelled 0 that hold a lesion.
    pub false_negative: u64,
    /// Patches labelled 0 without one.
    pub true_negative: u64,
}

impl Agreement {
    /// Share of patches labelled 1 that hold a lesion; `None` where none is labelled 1.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positive, self.false_positive)
    }

    /// Share of lesion patches that are labelled 1; `None` where there is no lesion.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positive, self.false_negative)
    }

    /// Share of patches labelled 0 that hold a lesion; `None` where none is labelled 0.
    #[must_use]
    pub fn background_lesions(&self) -> Option<f64> {
        share(self.false_negative, self.true_negative)
    }

    /// Share of all patches with the wrong label; `None` without patches.
    #[must_use]
    pub fn misclassified(&self) -> Option<f64> {
        share(
            self.false_positive + self.false_negative,
            self.true_positive + self.true_negative,
        )
    }
}

impl AddAssign for Agreement {
    fn add_assign(&mut self, other: Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.true_negative += other.true_negative;
    }
}

fn share(part: u64, rest: u64) -> Option<f64> {
    (part + rest > 0).then(|| part as f64 / (part + rest) as f64)
}

/// Labels of all patches of all images, 1 is foreground.
///
/// Rows are read during an epoch; updates go to a second table, which replaces the first when the
/// epoch ends. Patches that were not masked, or whose image was not seen, keep their label. Coins
/// are a function of (seed, epoch, image, patch), so a resumed run tosses the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelTable {
    images: usize,
    patches: usize,
    labels: Vec<u8>,
    shadow: Vec<u8>,
    frozen: Vec<bool>,
    inconsistent: u64,
    changed: u64,
}

impl LabelTable {
    /// Table of `images` rows of `patches` labels, row-major, each 0 or 1.
    ///
    /// # Errors
    /// [`LabelError::Size`] and [`LabelError::Value`].
    pub fn new(images: usize, patches: usize, labels: Vec<u8>) -> Result<Self, LabelError> {
        if images.checked_mul(patches) != Some(labels.len()) {
            return Err(LabelError::Size {
                images,
                patches,
                found: labels.len(),
            });
        }
        if let Some(at) = labels.iter().position(|&l| l > 1) {
            return Err(LabelError::Value {
                image: at / patches,
                patch: at % patches,
                value: labels[at],
            });
        }
        Ok(Self {
            images,
            patches,
            shadow: labels.clone(),
            frozen: vec![false; labels.len()],
            labels,
            inconsistent: 0,
            changed: 0,
        })
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Patches of an image.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// Labels of image `image` in this epoch; empty where there is no such image.
    #[must_use]
    pub fn row(&self, image: usize) -> &[u8] {
        self.range(image)
            .and_then(|range| self.labels.get(range))
            .unwrap_or(&[])
    }

    /// Whether the label of a patch never changes.
    #[must_use]
    pub fn is_frozen(&self, image: usize, patch: usize) -> bool {
        patch < self.patches
            && self
                .range(image)
                .and_then(|range| self.frozen.get(range.start + patch))
                .is_some_and(|&f| f)
    }

    fn range(&self, image: usize) -> Option<std::ops::Range<usize>> {
        (image < self.images).then(|| image * self.patches..(image + 1) * self.patches)
    }

    /// Flips `round(share * N)` labels of every image before the first epoch (Table IX), drawn
    /// uniformly by (seed, image); with `freeze` exactly these never change. The flipped patches of
    /// a small share are among those of a larger one.
    ///
    /// `image_ids` are the identities of the rows. The draw starts from the labels as they are, so
    /// it belongs before the first update.
    ///
    /// # Errors
    /// [`LabelError::Share`] outside of `0..=1`; [`LabelError::Size`] where there is not one
    /// identity per image.
    pub fn preset_flips(
        &mut self,
        share: f64,
        freeze: bool,
        seed: u64,
        image_ids: &[u64],
    ) -> Result<(), LabelError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(LabelError::Share(share.to_string()));
        }
        if image_ids.len() != self.images {
            return Err(LabelError::Size {
                images: self.images,
                patches: self.patches,
                found: image_ids.len(),
            });
        }
        let flips = (share * self.patches as f64).round() as usize;
        for (image, &id) in image_ids.iter().enumerate() {
            let order = Stream::new(Purpose::Flip, &[seed, id]).permutation(self.patches);
            for patch in order.into_iter().take(flips) {
                let at = image * self.patches + patch;
                self.labels[at] ^= 1;
                self.shadow[at] = self.labels[at];
                self.frozen[at] |= freeze;
            }
        }
        Ok(())
    }

    /// What the reconstruction losses of the `masked` patches of an image say about their labels.
    /// Changes nothing: where labels stay as they were made (`labels.update = false`), this alone
    /// serves the category consistency loss.
    ///
    /// Where the loss rule (`loss >= mean loss of these patches`) agrees with the label, the label
    /// stays; elsewhere a fair coin decides, `hash(seed, epoch, image_id, patch)`. Frozen patches
    /// stay. No label changes where the mean loss is below 1e-8 or not finite.
    ///
    /// # Errors
    /// A row, a patch or a number of losses that does not fit.
    pub fn judge_row(
        &self,
        image: usize,
        masked: &[usize],
        losses: &[f32],
        seed: u64,
        epoch: u64,
        image_id: u64,
    ) -> Result<Update, LabelError> {
        let range = self.range(image).ok_or(LabelError::Image {
            image,
            images: self.images,
        })?;
        if masked.len() != losses.len() {
            return Err(LabelError::Losses {
                masked: masked.len(),
                losses: losses.len(),
            });
        }
        if let Some(&patch) = masked.iter().find(|&&p| p >= self.patches) {
            return Err(LabelError::Patch {
                patch,
                patches: self.patches,
            });
        }
        let mean = losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64;
        let usable = mean.is_finite() && mean >= BLANK_LOSS;
        let mut update = Update::default();
        for (&patch, &loss) in masked.iter().zip(losses) {
            let at = range.start + patch;
            let original = self.labels[at];
            let hard = if usable {
                u8::from(f64::from(loss) >= mean)
            } else {
                original
            };
            let label = if hard == original || self.frozen[at] {
                original
            } else {
                u8::from(coin(hash(&[seed, epoch, image_id, patch as u64])))
            };
            update.original.push(original);
            update.hard.push(hard);
            update.labels.push(label);
            update.inconsistent.push(hard != original);
            update.changed.push(label != original);
        }
        Ok(update)
    }

    /// [`Self::judge_row`], and the labels that it gives become those of the next epoch. A second
    /// call for the same image in an epoch starts from the labels of the epoch again, not from the
    /// first call.
    ///
    /// # Errors
    /// As [`Self::judge_row`]; the table is then unchanged.
    pub fn update_row(
        &mut self,
        image: usize,
        masked: &[usize],
        losses: &[f32],
        seed: u64,
        epoch: u64,
        image_id: u64,
    ) -> Result<Update, LabelError> {
        let update = self.judge_row(image, masked, losses, seed, epoch, image_id)?;
        for (&patch, &label) in masked.iter().zip(&update.labels) {
            self.shadow[image * self.patches + patch] = label;
        }
        let count = |flags: &[bool]| flags.iter().filter(|&&f| f).count() as u64;
        self.inconsistent += count(&update.inconsistent);
        self.changed += count(&update.changed);
        Ok(update)
    }

    /// Ends the epoch: the updates become the labels. Returns what happened and starts new counts.
    pub fn end_epoch(&mut self) -> EpochStats {
        self.labels.copy_from_slice(&self.shadow);
        EpochStats {
            labels: self.labels.len() as u64,
            foreground: self.foreground(),
            inconsistent: std::mem::take(&mut self.inconsistent),
            changed: std::mem::take(&mut self.changed),
        }
    }

    /// Number of labels that are 1.
    #[must_use]
    pub fn foreground(&self) -> u64 {
        self.labels.iter().map(|&l| u64::from(l)).sum()
    }

    /// Compares the labels of one image with its lesion patches; add up over images.
    ///
    /// # Errors
    /// [`LabelError::Image`] and [`LabelError::Size`].
    pub fn agreement(&self, image: usize, lesion: &[u8]) -> Result<Agreement, LabelError> {
        if image >= self.images {
            return Err(LabelError::Image {
                image,
                images: self.images,
            });
        }
        if lesion.len() != self.patches {
            return Err(LabelError::Size {
                images: 1,
                patches: self.patches,
                found: lesion.len(),
            });
        }
        let mut counts = Agreement::default();
        for (&label, &truth) in self.row(image).iter().zip(lesion) {
            match (label != 0, truth != 0) {
                (true, true) => counts.true_positive += 1,
                (true, false) => counts.false_positive += 1,
                (false, true) => counts.false_negative += 1,
                (false, false) => counts.true_negative += 1,
            }
        }
        Ok(counts)
    }

    /// The table, the updates of a running epoch, and the frozen bits, one bit per patch each.
    ///
    /// Layout, little-endian: `AMLPLBL1`; images, patches, inconsistent, changed as `u64`; labels,
    /// next labels, frozen bits, each packed from the lowest bit up and padded with zeros.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + 3 * self.labels.len().div_ceil(8));
        bytes.extend_from_slice(MAGIC);
        for value in [
            self.images as u64,
            self.patches as u64,
            self.inconsistent,
            self.changed,
        ] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        pack(&mut bytes, self.labels.iter().map(|&l| l != 0));
        pack(&mut bytes, self.shadow.iter().map(|&l| l != 0));
        pack(&mut bytes, self.frozen.iter().copied());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LabelError::Bytes`]. Nothing is allocated before the length fits the header.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelError> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(LabelError::Bytes("it does not start with AMLPLBL1"))?;
        let (fields, body) = rest
            .split_at_checked(HEADER - MAGIC.len())
            .ok_or(LabelError::Bytes("its header is cut short"))?;
        let (fields, _) = fields.as_chunks::<8>();
        let mut fields = fields.iter().map(|&field| u64::from_le_bytes(field));
        let mut next = || fields.next().unwrap_or(0);
        let (images, patches, inconsistent, changed) = (next(), next(), next(), next());
        let size = |v: u64| usize::try_from(v).ok();
        let (images, patches, len) = size(images)
            .zip(size(patches))
            .and_then(|(i, p)| Some((i, p, i.checked_mul(p)?)))
            .ok_or(LabelError::Bytes("its header claims an impossible size"))?;
        let packed = len.div_ceil(8);
        if packed.checked_mul(3) != Some(body.len()) {
            return Err(LabelError::Bytes("its length does not fit its header"));
        }
        let (labels, body) = body.split_at(packed);
        let (shadow, frozen) = body.split_at(packed);
        let labels = unpack(labels, len)?.into_iter().map(u8::from).collect();
        let shadow = unpack(shadow, len)?.into_iter().map(u8::from).collect();
        Ok(Self {
            images,
            patches,
            labels,
            shadow,
            frozen: unpack(frozen, len)?,
            inconsistent,
            changed,
        })
    }
}

/// Appends bits, lowest first, padded with zeros to a byte.
fn pack(bytes: &mut Vec<u8>, bits: impl Iterator<Item = bool>) {
    for (i, bit) in bits.enumerate() {
        if i % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(bit) << (i % 8);
        }
    }
}

/// Reads `len` bits; the padding must be zero, so that equal tables have equal bytes.
fn unpack(bytes: &[u8], len: usize) -> Result<Vec<bool>, LabelError> {
    let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
    if (len..bytes.len() * 8).any(bit) {
        return Err(LabelError::Bytes("its padding is not zero"));
    }
    Ok((0..len).map(bit).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOSSES: [f32; 4] = [0.05, 0.01, 0.09, 0.02];

    fn n3_table() -> LabelTable {
        LabelTable::new(1, 4, vec![1, 0, 0, 1]).unwrap()
    }

    #[test]
    fn spec_vector_n3_seed_7() {
        let mut table = n3_table();
        let update = table
            .update_row(0, &[0, 1, 2, 3], &LOSSES, 7, 1, 0)
            .unwrap();
        assert_eq!(update.original, [1, 0, 0, 1]);
        assert_eq!(update.hard, [1, 0, 1, 0]);
        assert_eq!(update.inconsistent, [false, false, true, true]);
        assert!(coin(hash(&[7, 1, 0, 2])) && !coin(hash(&[7, 1, 0, 3])));
        assert_eq!(update.labels, [1, 0, 1, 0]);
        assert_eq!(update.changed, [false, false, true, true]);
        // The row of the epoch stays until the epoch ends.
        assert_eq!(table.row(0), [1, 0, 0, 1]);
        let stats = table.end_epoch();
        assert_eq!(table.row(0), [1, 0, 1, 0]);
        assert_eq!(
            stats,
            EpochStats {
                labels: 4,
                foreground: 2,
                inconsistent: 2,
                changed: 2
            }
        );
    }

    #[test]
    fn spec_vector_n3_seed_42() {
        let mut table = n3_table();
        let update = table
            .update_row(0, &[0, 1, 2, 3], &LOSSES, 42, 1, 0)
            .unwrap();
        assert!(coin(hash(&[42, 1, 0, 2])) && coin(hash(&[42, 1, 0, 3])));
        assert_eq!(update.hard, [1, 0, 1, 0]);
        assert_eq!(update.labels, [1, 0, 1, 1]);
        assert_eq!(update.changed, [false, false, true, false]);
        let stats = table.end_epoch();
        assert_eq!((stats.foreground, stats.changed), (3, 1));
    }

    #[test]
    fn coins_do_not_depend_on_the_order_of_the_mask() {
        let mut a = n3_table();
        let mut b = n3_table();
        a.update_row(0, &[0, 1, 2, 3], &LOSSES, 7, 1, 0).unwrap();
        b.update_row(0, &[3, 1, 0, 2], &[0.02, 0.01, 0.05, 0.09], 7, 1, 0)
            .unwrap();
        a.end_epoch();
        b.end_epoch();
        assert_eq!(a, b);
    }

    #[test]
    fn blank_and_broken_images_change_nothing() {
        for losses in [
            [0.0; 4],
            [1e-9; 4],
            [f32::NAN, 1.0, 1.0, 1.0],
            [f32::INFINITY; 4],
        ] {
            let mut table = n3_table();
            for epoch in 1..20 {
                let update = table
                    .update_row(0, &[0, 1, 2, 3], &losses, 7, epoch, 0)
                    .unwrap();
                assert!(!update.inconsistent.contains(&true));
                table.end_epoch();
            }
            assert_eq!(table, n3_table());
        }
        let mut table = n3_table();
        assert_eq!(
            table.update_row(0, &[], &[], 7, 1, 0).unwrap(),
            Update::default()
        );
    }

    #[test]
    fn judging_alone_keeps_the_table_constant() {
        let mut table = n3_table();
        for epoch in 1..50 {
            let judged = table
                .judge_row(0, &[0, 1, 2, 3], &LOSSES, 7, epoch, 0)
                .unwrap();
            let updated = table
                .clone()
                .update_row(0, &[0, 1, 2, 3], &LOSSES, 7, epoch, 0)
                .unwrap();
            assert_eq!(judged, updated);
            assert_eq!(table.end_epoch().changed, 0);
            assert_eq!(table, n3_table());
        }
    }

    #[test]
    fn equal_losses_are_all_at_least_their_mean() {
        let mut table = LabelTable::new(1, 3, vec![1; 3]).unwrap();
        let update = table.update_row(0, &[0, 1, 2], &[0.1; 3], 0, 1, 0).unwrap();
        assert_eq!(update.hard, [1, 1, 1]);
    }

    #[test]
    fn misfits_are_errors_and_leave_the_table_alone() {
        assert!(LabelTable::new(2, 3, vec![0; 5]).is_err());
        assert!(LabelTable::new(usize::MAX, 2, vec![]).is_err());
        assert_eq!(
            LabelTable::new(2, 2, vec![0, 0, 0, 2]),
            Err(LabelError::Value {
                image: 1,
                patch: 1,
                value: 2
            })
        );
        let mut table = n3_table();
        let before = table.clone();
        assert!(table.update_row(1, &[0], &[1.0], 7, 1, 0).is_err());
        assert!(table.update_row(0, &[2, 4], &[1.0, 2.0], 7, 1, 0).is_err());
        assert!(table.update_row(0, &[0, 1], &[1.0], 7, 1, 0).is_err());
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(table.preset_flips(share, true, 1, &[0]).is_err());
        }
        assert!(table.preset_flips(0.5, true, 1, &[0, 1]).is_err());
        assert!(table.agreement(0, &[1]).is_err());
        assert!(table.agreement(1, &[1; 4]).is_err());
        assert_eq!(table, before);
        assert!(table.row(1).is_empty());
    }

    #[test]
    fn agreement_counts() {
        let table = n3_table();
        let found = table.agreement(0, &[1, 1, 0, 0]).unwrap();
        assert_eq!(found.precision(), Some(0.5));
        assert_eq!(found.recall(), Some(0.5));
        let none = LabelTable::new(1, 2, vec![0, 0]).unwrap();
        let found = none.agreement(0, &[0, 0]).unwrap();
        assert_eq!((found.precision(), found.recall()), (None, None));
        assert_eq!(found.true_negative, 2);
    }

    #[test]
    fn agreement_reproduces_the_rates_of_table_vii() {
        // Per 100 patches: 15.47 foreground with 7.39 lesion patches, 84.53 background with 4.88.
        let mut sum = Agreement::default();
        sum += Agreement {
            true_positive: 739,
            false_positive: 808,
            ..Agreement::default()
        };
        sum += Agreement {
            false_negative: 488,
            true_negative: 7965,
            ..Agreement::default()
        };
        for (found, printed) in [
            (sum.precision(), 0.4777),
            (sum.background_lesions(), 0.0577),
            (sum.recall(), 0.602),
            (sum.misclassified(), 0.1296),
        ] {
            assert!((found.unwrap() - printed).abs() < 5e-4);
        }
        assert_eq!(Agreement::default().misclassified(), None);
    }

    #[test]
    fn preset_flips_raise_the_foreground_as_table_ix_expects() {
        // 15 or 16 foreground patches of 100, 15.47 on average.
        let rows = 300;
        let mut labels = Vec::new();
        for image in 0..rows {
            let foreground = if image % 100 < 47 { 16 } else { 15 };
            labels.extend((0..100).map(|p| u8::from(p < foreground)));
        }
        let ids: Vec<u64> = (0..rows as u64).collect();
        for (share, expected) in [(0.0, 15.47), (0.1, 22.4), (0.2, 29.3), (0.3, 36.2)] {
            let mut table = LabelTable::new(rows, 100, labels.clone()).unwrap();
            table.preset_flips(share, true, 5, &ids).unwrap();
            let mean = table.foreground() as f64 / rows as f64;
            assert!((mean - expected).abs() < 0.5, "{share}: {mean}");
            for image in 0..rows {
                let flipped = (0..100).filter(|&p| table.is_frozen(image, p)).count();
                assert_eq!(flipped, (share * 100.0).round() as usize);
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = n3_table().to_bytes();
        for end in 0..bytes.len() {
            assert!(LabelTable::from_bytes(&bytes[..end]).is_err());
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(LabelTable::from_bytes(&long).is_err());
        let mut padded = bytes.clone();
        *padded.last_mut().unwrap() |= 0x80;
        assert!(LabelTable::from_bytes(&padded).is_err());
        // A header that claims more than there is, or more than there can be.
        for size in [1u64 << 20, u64::MAX] {
            let mut huge = bytes.clone();
            huge[8..16].copy_from_slice(&size.to_le_bytes());
            assert!(LabelTable::from_bytes(&huge).is_err());
        }
    }

    /// Epochs of random losses and masks, with some patches frozen by flips.
    fn train(table: &mut LabelTable, epochs: std::ops::Range<u64>, ids: &[u64]) {
        for epoch in epochs {
            for (image, &id) in ids.iter().enumerate() {
                let mut stream = Stream::new(Purpose::Phantom, &[epoch, id]);
                let order = stream.clone().permutation(table.patches());
                let masked = &order[..table.patches() / 2];
                let losses: Vec<f32> = masked.iter().map(|_| stream.uniform() as f32).collect();
                table
                    .update_row(image, masked, &losses, 11, epoch, id)
                    .unwrap();
            }
            table.end_epoch();
        }
    }

    proptest! {
        #[test]
        fn resumed_equals_uninterrupted(
            patches in 2usize..40, ids in prop::collection::vec(any::<u64>(), 1..5),
            share in 0.0f64..0.5
        ) {
            let mut whole = LabelTable::new(ids.len(), patches, vec![0; ids.len() * patches]).unwrap();
            whole.preset_flips(share, true, 3, &ids).unwrap();
            let mut first = whole.clone();
            train(&mut whole, 1..5, &ids);
            train(&mut first, 1..3, &ids);
            let mut second = LabelTable::from_bytes(&first.to_bytes()).unwrap();
            prop_assert_eq!(&second, &first);
            train(&mut second, 3..5, &ids);
            prop_assert_eq!(second, whole);
        }

        #[test]
        fn a_running_epoch_survives_storing(
            masked in prop::collection::btree_set(0usize..30, 2..30), seed in any::<u64>()
        ) {
            let masked: Vec<usize> = masked.into_iter().collect();
            let losses: Vec<f32> = masked.iter().map(|&p| p as f32).collect();
            let mut table = LabelTable::new(1, 30, vec![0; 30]).unwrap();
            table.update_row(0, &masked, &losses, seed, 1, 4).unwrap();
            let mut stored = LabelTable::from_bytes(&table.to_bytes()).unwrap();
            prop_assert_eq!(stored.end_epoch(), table.end_epoch());
            prop_assert_eq!(stored, table);
        }

        #[test]
        fn frozen_and_unmasked_patches_never_change(
            labels in prop::collection::vec(0u8..2, 24), share in 0.0f64..0.9, seed in any::<u64>()
        ) {
            let mut table = LabelTable::new(1, 24, labels).unwrap();
            table.preset_flips(share, true, seed, &[5]).unwrap();
            let before = table.row(0).to_vec();
            let mut touched = [false; 24];
            for epoch in 1..30 {
                let masked: Vec<usize> = (0..12).map(|p| (p * 2) % 24).collect();
                let losses: Vec<f32> = masked
                    .iter()
                    .map(|&p| f32::from(hash(&[epoch, p as u64]) as u8))
                    .collect();
                let update = table.update_row(0, &masked, &losses, seed, epoch, 5).unwrap();
                for (&patch, &changed) in masked.iter().zip(&update.changed) {
                    touched[patch] |= changed;
                }
                table.end_epoch();
            }
            for patch in 0..24 {
                if patch % 2 == 1 || table.is_frozen(0, patch) {
                    prop_assert!(!touched[patch]);
                }
                if !touched[patch] {
                    prop_assert_eq!(table.row(0)[patch], before[patch]);
                }
            }
        }

        #[test]
        fn flips_of_a_smaller_share_are_among_those_of_a_larger(
            n in 1usize..120, a in 0.0f64..1.0, b in 0.0f64..1.0, seed in any::<u64>()
        ) {
            let flipped = |share: f64| {
                let mut table = LabelTable::new(1, n, vec![0; n]).unwrap();
                table.preset_flips(share, false, seed, &[8]).unwrap();
                assert!((0..n).all(|p| !table.is_frozen(0, p)));
                table.row(0).to_vec()
            };
            let (small, large) = (flipped(a.min(b)), flipped(a.max(b)));
            prop_assert!(small.iter().zip(&large).all(|(s, l)| s <= l));
            prop_assert_eq!(
                small.iter().map(|&v| v as usize).sum::<usize>(),
                (a.min(b) * n as f64).round() as usize
            );
        }
    }
}
