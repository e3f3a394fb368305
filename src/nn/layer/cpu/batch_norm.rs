//! Batch normalisation with an optional ReLU behind it: forward and backward.

use super::map::{self, Affine, NormGrad};
use super::tasks;

/// Images in planes: `[batch, channels, area]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct Planes {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a plane.
    pub area: usize,
}

impl Planes {
    /// Of images `[n, c, h, w]`.
    pub fn of([batch, channels, height, width]: [usize; 4]) -> Self {
        Self {
            batch,
            channels,
            area: height * width,
        }
    }

    /// Numbers in all.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.area
    }

    fn values_per_channel(&self) -> f64 {
        (self.batch * self.area) as f64
    }

    /// What `f` gives per plane, summed over the images, per channel.
    fn sum<const N: usize>(&self, f: impl Fn(usize) -> [f32; N] + Sync + Send) -> Vec<[f64; N]> {
        let parts = tasks::map(self.batch * self.channels, self.area, f);
        let mut sums = vec![[0.0; N]; self.channels];
        for (i, part) in parts.iter().enumerate() {
            for (sum, value) in sums[i % self.channels].iter_mut().zip(part) {
                *sum += f64::from(*value);
            }
        }
        sums
    }

    /// Plane `i` of `image`.
    fn plane<'a>(&self, image: &'a [f32], i: usize) -> &'a [f32] {
        &image[i * self.area..][..self.area]
    }

    /// Sum of each channel.
    pub(in crate::nn::layer) fn channel_sums(&self, image: &[f32]) -> Vec<f32> {
        let sums = self.sum(|i| [map::total(self.plane(image, i))]);
        sums.into_iter().map(|[sum]| sum as f32).collect()
    }
}

/// The parameters of a normalisation.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn::layer) struct Norm<'a> {
    /// Scale of the normalised value.
    pub gamma: &'a [f32],
    /// Shift of the normalised value.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f64,
    /// ReLU behind it.
    pub relu: bool,
}

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(in crate::nn::layer) struct Statistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance.
    pub variance: Vec<f32>,
}

/// Mean and biased variance of each channel.
pub(in crate::nn::layer) fn statistics(input: &[f32], planes: &Planes) -> Statistics {
    let area = planes.area as f64;
    let count = planes.values_per_channel();
    let parts = tasks::map(planes.batch * planes.channels, planes.area, |i| {
        map::moments(planes.plane(input, i))
    });
    let of_channel = |c: usize| parts.iter().skip(c).step_by(planes.channels.max(1));
    let (mean, variance) = (0..planes.channels)
        .map(|c| {
            let mean = of_channel(c).map(|p| f64::from(p.0) * area).sum::<f64>() / count;
            // Squares about the plane's mean, plus those of the plane's mean about the channel's.
            let squares: f64 = of_channel(c)
                .map(|p| f64::from(p.1) + area * (f64::from(p.0) - mean).powi(2))
                .sum();
            (mean as f32, (squares / count) as f32)
        })
        .unzip();
    Statistics { mean, variance }
}

impl Norm<'_> {
    /// Per channel: reciprocal of the standard deviation, and the affine map that normalises.
    fn affine(&self, statistics: &Statistics, c: usize) -> (f64, Affine) {
        let inverse = 1.0 / (f64::from(statistics.variance[c]) + self.epsilon).sqrt();
        let scale = f64::from(self.gamma[c]) * inverse;
        let shift = f64::from(self.beta[c]) - f64::from(statistics.mean[c]) * scale;
        let affine = Affine {
            scale: scale as f32,
            shift: shift as f32,
            relu: self.relu,
        };
        (inverse, affine)
    }

    /// What normalises each channel.
    pub(in crate::nn::layer) fn maps(&self, statistics: &Statistics) -> Vec<Affine> {
        let channels = 0..statistics.mean.len();
        channels.map(|c| self.affine(statistics, c).1).collect()
    }

    /// Normalised `input`, into `output`.
    pub(in crate::nn::layer) fn forward(
        &self,
        input: &[f32],
        statistics: &Statistics,
        planes: &Planes,
        output: &mut [f32],
    ) {
        let maps = self.maps(statistics);
        tasks::for_each_chunk(output, planes.area, planes.area, |(), i, output| {
            map::apply(planes.plane(input, i), maps[i % planes.channels], output);
        });
    }

    /// Whether there is a number for each channel.
    pub(in crate::nn::layer) fn fits(&self, statistics: &Statistics, planes: &Planes) -> bool {
        let (mean, variance) = (&statistics.mean, &statistics.variance);
        let all = [self.gamma, self.beta, mean, variance];
        all.iter().all(|numbers| numbers.len() == planes.channels)
    }

    /// Gradients of gamma and beta; that of the input takes the place of `grad`.
    pub(in crate::nn::layer) fn backward(
        &self,
        input: &[f32],
        grad: &mut [f32],
        statistics: &Statistics,
        planes: &Planes,
    ) -> (Vec<f32>, Vec<f32>) {
        let sums = planes.sum(|i| {
            let c = i % planes.channels;
            let (_, affine) = self.affine(statistics, c);
            let (input, grad) = (planes.plane(input, i), planes.plane(grad, i));
            map::grad_sums(input, grad, affine, statistics.mean[c])
        });
        let count = planes.values_per_channel();
        let rules: Vec<NormGrad> = (0..planes.channels)
            .map(|c| {
                let (inverse, affine) = self.affine(statistics, c);
                let [sum, product] = sums[c];
                let scale = f64::from(affine.scale);
                let slope = -scale * inverse * inverse * product / count;
                let constant = -scale * sum / count - slope * f64::from(statistics.mean[c]);
                NormGrad {
                    affine,
                    slope: slope as f32,
                    constant: constant as f32,
                }
            })
            .collect();
        tasks::for_each_chunk(grad, planes.area, planes.area, |(), i, grad| {
            map::grad(planes.plane(input, i), rules[i % planes.channels], grad);
        });
        (0..planes.channels)
            .map(|c| {
                let (inverse, _) = self.affine(statistics, c);
                ((sums[c][1] * inverse) as f32, sums[c][0] as f32)
            })
            .unzip()
    }
}
