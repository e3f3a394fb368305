//! Randomness as a pure function of its coordinates (seed, purpose, epoch, step, sample).
//!
//! Counter-based and order-independent: nothing here has state that a resumed run would have to
//! restore. Source: `methods/masked.md` section 1.6 (SplitMix64), vectors N5.

/// One SplitMix64 step: a bijection on `u64` that scatters neighbouring inputs.
#[must_use]
pub fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Hash of a list of coordinates: `h = 0; for k: h = mix(h ^ k)`.
#[must_use]
pub fn hash(keys: &[u64]) -> u64 {
    keys.iter().fold(0, |h, &k| mix(h ^ k))
}

/// Uniform number in `[0, 1)` from the upper 53 bits.
#[must_use]
pub fn uniform(h: u64) -> f64 {
    (h >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Fair coin: the top bit.
#[must_use]
pub fn coin(h: u64) -> bool {
    h >> 63 == 1
}

/// What a draw is for; part of every key, so that two purposes never share numbers.
///
/// The label coins (seed, epoch, image, patch) of the specification carry no purpose: use
/// [`hash`] directly for those, as vector N5 fixes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights of a network.
    Weights = 0x5745_4947,
    /// Order of the samples within an epoch.
    Shuffle = 0x5348_5546,
    /// Random masks.
    Mask = 0x4D41_534B,
    /// Tie breaks between equal scores.
    Ties = 0x5449_4553,
    /// Augmentation.
    Augment = 0x4155_474D,
    /// Initial centres of a clustering.
    Cluster = 0x434C_5553,
    /// Data split and label subsets.
    Split = 0x5350_4C54,
    /// Phantom anatomy and noise.
    Phantom = 0x5048_414E,
    /// Noise fill of masked patches.
    Fill = 0x4649_4C4C,
    /// Labels flipped on purpose (Table IX).
    Flip = 0x464C_4950,
    /// First keys of a queue.
    Queue = 0x5155_4555,
    /// Mixtures of images and features.
    Mixture = 0x4D49_5854,
    /// Seeds and cases drawn again for an interval.
    Bootstrap = 0x424F_4F54,
    /// First codes of a vector quantiser.
    Codes = 0x434F_4445,
    /// Samples of a measurement.
    Sample = 0x5341_4D50,
}

/// A stream of numbers for one purpose and one set of coordinates.
///
/// The stream is `hash(purpose, coordinates.., 0), hash(purpose, coordinates.., 1), ...`: a pure
/// function of its arguments.
#[derive(Clone, Debug)]
pub struct Stream {
    base: u64,
    counter: u64,
}

impl Stream {
    /// Starts the stream of `purpose` at `coordinates`.
    #[must_use]
    pub fn new(purpose: Purpose, coordinates: &[u64]) -> Self {
        let base = coordinates
            .iter()
            .fold(mix(purpose as u64), |h, &k| mix(h ^ k));
        Self { base, counter: 0 }
    }

    /// Next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let value = mix(self.base ^ mix(self.counter));
        self.counter += 1;
        value
    }

    /// Next uniform number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        uniform(self.bits())
    }

    /// Next uniform number in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Next integer in `0..n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Next standard normal number (Box-Muller, cosine branch).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }

    /// A seeded permutation of `0..n`.
    #[must_use]
    pub fn permutation(mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_vectors_n5() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(1), 0x910a_2dec_8902_5cc1);
        let cases: [(&[u64], u64, f64, bool); 6] = [
            (&[42, 1, 0, 0], 0x3e4a_12d7_0b0a_f178, 0.243318, false),
            (&[42, 1, 0, 1], 0x7181_8ad8_3cba_8f05, 0.443383, false),
            (&[42, 1, 0, 2], 0xfcee_76b4_159b_e538, 0.988014, true),
            (&[42, 1, 0, 3], 0xf475_f3a1_0120_426a, 0.954925, true),
            (&[42, 2, 0, 0], 0x68fe_a42e_ee61_becd, 0.410136, false),
            (&[42, 1, 7, 0], 0x413f_f701_4e1b_1f95, 0.254882, false),
        ];
        for (keys, h, u, c) in cases {
            assert_eq!(hash(keys), h);
            assert!((uniform(h) - u).abs() < 1e-6);
            assert_eq!(coin(h), c);
        }
        let seven = [
            0x328b_43dc_0bf1_59e5,
            0xecf5_9703_37fc_f2a6,
            0x94be_a59d_b197_e55d,
            0x4a40_90e9_ab71_f98e,
        ];
        for (p, h) in seven.into_iter().enumerate() {
            assert_eq!(hash(&[7, 1, 0, p as u64]), h);
        }
    }

    #[test]
    fn streams_of_two_purposes_differ_and_repeat() {
        let mut a = Stream::new(Purpose::Mask, &[1, 2]);
        let mut b = Stream::new(Purpose::Ties, &[1, 2]);
        let first = a.bits();
        assert_ne!(first, b.bits());
        assert_eq!(first, Stream::new(Purpose::Mask, &[1, 2]).bits());
    }

    #[test]
    fn permutation_holds_every_index() {
        let mut p = Stream::new(Purpose::Shuffle, &[3]).permutation(17);
        p.sort_unstable();
        assert_eq!(p, (0..17).collect::<Vec<_>>());
    }
}
