//! Means over an epoch of what each step measures.

use burn::tensor::{Device, Tensor, TensorData};

use crate::nn::weights::{floats, host_values, little_endian};
use crate::train::{Keep, Scalars, TrainError};

/// What it is called among the parts that a task keeps.
pub const METER: &str = "meter";

/// Sums of named numbers, each weighted by the images of its step; kept on the device, so that no
/// step waits for them.
#[derive(Debug)]
pub struct Meter {
    names: &'static [&'static str],
    sums: Option<Tensor<1>>,
    seen: usize,
    device: Device,
}

impl Meter {
    /// A meter at zero; `device` is that of the network.
    #[must_use]
    pub fn new(names: &'static [&'static str], device: &Device) -> Self {
        Self {
            names,
            sums: None,
            seen: 0,
            device: device.clone().inner(),
        }
    }

    /// Adds what a step of `images` measured: one value per name, in order.
    pub fn add<const N: usize>(&mut self, images: usize, values: [Tensor<1>; N]) {
        let values = values.map(|v| v.detach().inner()).to_vec();
        let values = Tensor::cat(values, 0).mul_scalar(images as f64);
        self.sums = Some(match self.sums.take() {
            Some(sums) => sums + values,
            None => values,
        });
        self.seen += images;
    }

    /// The means since the last call.
    pub fn take(&mut self) -> Scalars {
        let seen = std::mem::take(&mut self.seen).max(1) as f64;
        let sums = self.sums.take().map(host_values).unwrap_or_default();
        let named = self.names.iter().zip(sums);
        named
            .map(|(name, sum)| ((*name).to_owned(), f64::from(sum) / seen))
            .collect()
    }
}

impl Keep for Meter {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        Ok(self.sums.clone().map(|sums| {
            let mut bytes = (self.seen as u64).to_le_bytes().to_vec();
            bytes.extend(little_endian(&host_values(sums)));
            bytes
        }))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        if let Some((seen, sums)) = bytes.split_first_chunk::<8>() {
            let values = floats(sums);
            let shape = [values.len()];
            self.sums = Some(Tensor::from_data(
                TensorData::new(values, shape),
                &self.device,
            ));
            self.seen = u64::from_le_bytes(*seen) as usize;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};

    #[test]
    fn means_are_weighted_and_survive_a_checkpoint() {
        on_each_device(|| {
            let device = device();
            let one = |v: f32| Tensor::<1>::from_floats([v], &device);
            let mut meter = Meter::new(&["a", "b"], &device);
            meter.add(3, [one(1.0), one(0.5)]);
            let bytes = meter.bytes().unwrap().unwrap();
            let mut other = Meter::new(&["a", "b"], &device);
            assert!(other.bytes().unwrap().is_none());
            other.restore(&bytes).unwrap();
            other.add(1, [one(5.0), one(0.5)]);
            let means = other.take();
            assert_eq!((means["a"], means["b"]), (2.0, 0.5));
            assert!(other.take().is_empty());
        });
    }
}
