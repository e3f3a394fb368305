//! The codebook of a vector quantiser with moving averages (`methods/masked.md` section 3.5, vectors
//! N11): codes and their update live on the host, distances are taken on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::random::{Purpose, Stream};

/// Rounds of the spherical k-means that makes the first codes.
const ROUNDS: usize = 10;
/// Vectors whose distances to all codes are held at once.
const AT_ONCE: usize = 4096;

/// Codes of length 1 and how often they were used.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook {
    dim: usize,
    decay: f32,
    /// `[codes, dim]`.
    codes: Vec<f32>,
    /// Uses per step, averaged over the steps of the epoch with the same decay.
    usage: Vec<f32>,
}

/// Vectors that were given the code nearest to them.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// Code of each vector.
    pub index: Tensor<1, Int>,
    /// The codes themselves in place of the vectors, with the gradient of the vectors.
    pub codes: Tensor<2>,
    /// Mean squared distance that the vectors are pulled by: `mean((sg(e) - z)^2)`.
    pub commitment: Tensor<1>,
}

impl Codebook {
    /// Given codes `[codes, dim]`; they are scaled to length 1.
    #[must_use]
    pub fn new(mut codes: Vec<f32>, dim: usize, decay: f64) -> Self {
        codes.chunks_exact_mut(dim).for_each(normalise);
        let usage = vec![0.0; codes.len() / dim];
        Self {
            dim,
            decay: decay as f32,
            codes,
            usage,
        }
    }

    /// `count` codes by k-means with cosine similarity on `vectors` `[n, dim]` of length 1: random
    /// vectors to begin with, drawn again where there are too few, 10 rounds, an empty cluster
    /// keeps its centre.
    #[must_use]
    pub fn fitted(vectors: &Tensor<2>, count: usize, decay: f64, seed: u64) -> Self {
        let [n, dim] = vectors.dims();
        let device = vectors.device();
        let host = crate::nn::weights::host_values(vectors.clone());
        let mut stream = Stream::new(Purpose::Codes, &[seed]);
        let mut picks = stream.clone().permutation(n);
        picks.truncate(count);
        while picks.len() < count {
            picks.push(stream.below(n));
        }
        let first = picks
            .iter()
            .flat_map(|&i| host[i * dim..(i + 1) * dim].iter().copied())
            .collect();
        let mut book = Self::new(first, dim, decay);
        for _ in 0..ROUNDS {
            let index = book.nearest(vectors.clone(), &device);
            let (sums, counts) = book.sums(&host, &to_host(index));
            let clusters = sums.chunks_exact(dim).zip(&counts);
            for (code, (sum, &n)) in book.codes.chunks_exact_mut(dim).zip(clusters) {
                if n > 0 {
                    code.copy_from_slice(sum);
                    normalise(code);
                }
            }
        }
        book
    }

    /// Number of codes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.usage.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty()
    }

    /// The codes, `[codes, dim]`.
    #[must_use]
    pub fn codes(&self) -> &[f32] {
        &self.codes
    }

    /// The codes on a device.
    fn tensor(&self, device: &Device) -> Tensor<2> {
        let shape = [self.len(), self.dim];
        Tensor::from_data(TensorData::new(self.codes.clone(), shape), device)
    }

    /// Code nearest to each of `vectors` `[n, dim]`; among codes of length 1 that is the one with
    /// the largest product.
    #[must_use]
    pub fn nearest(&self, vectors: Tensor<2>, device: &Device) -> Tensor<1, Int> {
        let codes = self.tensor(&device.clone().inner()).transpose();
        let parts = vectors
            .inner()
            .split(AT_ONCE, 0)
            .into_iter()
            .map(|part| part.matmul(codes.clone()).argmax(1).flatten(0, 1))
            .collect();
        Tensor::cat(parts, 0)
    }

    /// Quantises `vectors` `[n, dim]` of length 1: straight-through codes and commitment.
    #[must_use]
    pub fn quantise(&self, vectors: Tensor<2>) -> Quantised {
        let device = vectors.device();
        let index = self.nearest(vectors.clone(), &device);
        let plain = self.tensor(&device.clone().inner());
        let mut nearest = plain.select(0, index.clone());
        if device.is_autodiff() {
            nearest = nearest.autodiff();
        }
        let commitment = (nearest.clone() - vectors.clone()).square().mean();
        let step = (nearest - vectors.clone()).detach();
        Quantised {
            index,
            codes: vectors + step,
            commitment,
        }
    }

    /// Moves codes towards the mean of the vectors `[n, dim]` that were given them:
    /// `e <- normalise(decay e + (1 - decay) u)` with `u` the mean scaled to length 1; a code that
    /// was not used has itself as `u`.
    pub fn update(&mut self, vectors: &[f32], index: &[usize]) {
        let (sums, counts) = self.sums(vectors, index);
        let decay = self.decay;
        let clusters = sums.chunks_exact(self.dim).zip(&counts);
        for (code, (sum, &n)) in self.codes.chunks_exact_mut(self.dim).zip(clusters) {
            if n > 0 {
                let mut mean: Vec<f32> = sum.iter().map(|s| s / n as f32).collect();
                normalise(&mut mean);
                for (e, u) in code.iter_mut().zip(&mean) {
                    *e = *e * decay + u * (1.0 - decay);
                }
            }
            normalise(code);
        }
        for (usage, n) in self.usage.iter_mut().zip(counts) {
            *usage = *usage * decay + n as f32 * (1.0 - decay);
        }
    }

    /// Sum and number of the vectors of each code.
    fn sums(&self, vectors: &[f32], index: &[usize]) -> (Vec<f32>, Vec<usize>) {
        let mut sums = vec![0.0; self.codes.len()];
        let mut counts = vec![0; self.len()];
        for (vector, &k) in vectors.chunks_exact(self.dim).zip(index) {
            counts[k] += 1;
            let sum = &mut sums[k * self.dim..(k + 1) * self.dim];
            for (s, v) in sum.iter_mut().zip(vector) {
                *s += v;
            }
        }
        (sums, counts)
    }

    /// Averaged uses per step, one per code.
    #[must_use]
    pub fn usage(&self) -> &[f32] {
        &self.usage
    }

    /// Share of codes in use and the perplexity of their use, `exp(entropy)`: 1 where a single code
    /// takes everything, the number of codes where all are used alike.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let total: f64 = self.usage.iter().map(|&u| f64::from(u)).sum();
        let shares = self.usage.iter().map(|&u| f64::from(u) / total.max(1e-30));
        let (mut used, mut entropy) = (0, 0.0);
        for share in shares.filter(|&s| s > 0.0) {
            used += 1;
            entropy -= share * share.ln();
        }
        (used as f64 / self.len().max(1) as f64, entropy.exp())
    }

    /// Forgets the uses, at the end of an epoch.
    pub fn reset_usage(&mut self) {
        self.usage.fill(0.0);
    }

    /// Codes and uses as bytes, for a checkpoint.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = [self.codes.as_slice(), &self.usage].concat();
        crate::nn::weights::little_endian(&all)
    }

    /// [`Codebook::to_bytes`] taken back; `None` where the length is not a number of codes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], dim: usize, decay: f64) -> Option<Self> {
        let mut codes = crate::nn::weights::floats(bytes);
        if codes.is_empty() || !codes.len().is_multiple_of(dim + 1) {
            return None;
        }
        let usage = codes.split_off(codes.len() / (dim + 1) * dim);
        Some(Self {
            dim,
            decay: decay as f32,
            codes,
            usage,
        })
    }
}

/// Code numbers on the host.
#[must_use]
pub fn to_host(index: Tensor<1, Int>) -> Vec<usize> {
    // `convert` makes the type certain, so that the conversion cannot fail.
    let data = index.into_data().try_to_vec_as::<i64>().unwrap_or_default();
    data.into_iter()
        .map(|i| usize::try_from(i).unwrap_or(0))
        .collect()
}

/// Rows of `[n, dim]` scaled to length 1.
#[must_use]
pub fn unit_rows(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    x / norm
}

/// Scales to length 1; a zero vector stays.
fn normalise(vector: &mut [f32]) {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|v| *v /= norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::host_values;

    const Z: [f32; 8] = [2., 1., 1., 3., 0.5, 0.1, -0.2, 0.4];
    const CODES: [f32; 6] = [1., 0., 0., 1., -1., 0.];

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-6, "{found:?} {expected:?}");
        }
    }

    fn vectors(device: &Device) -> Tensor<2> {
        unit_rows(Tensor::from_data(
            TensorData::new(Z.to_vec(), [4, 2]),
            device,
        ))
    }

    #[test]
    fn spec_vectors_n11() {
        let device = Device::flex().autodiff();
        let z = vectors(&device).detach().require_grad();
        close(
            &host_values(z.clone()),
            &[
                0.894427, 0.447214, 0.316228, 0.948683, 0.980581, 0.196116, -0.447214, 0.894427,
            ],
        );
        let book = Codebook::new(CODES.to_vec(), 2, 0.99);
        let products = host_values(z.clone().matmul(book.tensor(&device).transpose()));
        let squared: Vec<f32> = products[..3].iter().map(|p| 2.0 - 2.0 * p).collect();
        close(&squared, &[0.211146, 1.105573, 3.788854]);
        let quantised = book.quantise(z.clone());
        let index = to_host(quantised.index);
        assert_eq!(index, [0, 1, 0, 1]);
        close(&host_values(quantised.commitment.clone()), &[0.070470]);
        let codes = host_values(quantised.codes.clone());
        close(&codes, &[1., 0., 0., 1., 1., 0., 0., 1.]);
        // Straight through: the identity, plus 2 (z - e) / numel of the commitment.
        let mut grads = (quantised.codes.sum() + quantised.commitment).backward();
        let grad = host_values(z.grad_remove(&mut grads).unwrap());
        let host = host_values(z);
        let expected: Vec<f32> = (0..8)
            .map(|i| 1.0 + 2.0 * (host[i] - codes[i]) / 8.0)
            .collect();
        close(&grad, &expected);

        let (sums, counts) = book.sums(&host, &index);
        assert_eq!(counts, [2, 2, 0]);
        let mut u0 = sums[..2].to_vec();
        normalise(&mut u0);
        close(&u0, &[0.945873, 0.324536]);
        let mut u1 = sums[2..4].to_vec();
        normalise(&mut u1);
        close(&u1, &[-0.070889, 0.997484]);
        for (decay, expected) in [
            (0.99, [0.999995, 0.003247, -0.000709, 1.000000, -1., 0.]),
            (0.9, [0.999468, 0.032613, -0.007091, 0.999975, -1., 0.]),
        ] {
            let mut book = Codebook::new(CODES.to_vec(), 2, decay);
            book.update(&host, &index);
            close(book.codes(), &expected);
            if decay == 0.99 {
                close(book.usage(), &[0.02, 0.02, 0.0]);
                let (used, perplexity) = book.spread();
                assert!((used - 2.0 / 3.0).abs() < 1e-9 && (perplexity - 2.0).abs() < 1e-5);
            }
            let back = Codebook::from_bytes(&book.to_bytes(), 2, decay).unwrap();
            assert_eq!(back, book);
        }
        assert!(Codebook::from_bytes(&[0; 4], 2, 0.99).is_none());
    }

    #[test]
    fn first_codes_are_the_centres_of_the_vectors() {
        let device = Device::flex();
        // Two directions with a little noise.
        let mut stream = Stream::new(Purpose::Weights, &[1]);
        let values: Vec<f32> = (0..200)
            .flat_map(|i| {
                let (x, y) = if i % 2 == 0 { (1.0, 0.0) } else { (0.0, -1.0) };
                [x + 0.05 * stream.normal(), y + 0.05 * stream.normal()]
            })
            .map(|v| v as f32)
            .collect();
        let z = unit_rows(Tensor::from_data(
            TensorData::new(values, [200, 2]),
            &device,
        ));
        let book = Codebook::fitted(&z, 2, 0.99, 4);
        for (x, y) in [(1.0, 0.0), (0.0, -1.0)] {
            let near = |e: &[f32]| (e[0] - x).abs() < 0.05 && (e[1] - y).abs() < 0.05;
            assert!(book.codes().chunks(2).any(near), "{:?}", book.codes());
        }
        // More codes than vectors: some are drawn twice.
        let many = Codebook::fitted(&z.slice([0..5, 0..2]), 9, 0.99, 4);
        assert_eq!(many.len(), 9);
        assert!(many.codes().iter().all(|v| v.is_finite()));
    }
}
