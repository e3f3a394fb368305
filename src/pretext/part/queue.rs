//! A queue of old keys (`methods/contrastive.md` section 6).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::nn::weights::{Array, Weights, host_values};
use crate::random::{Purpose, Stream};
use crate::train::{Keep, TrainError};

const ROWS: &str = "rows";

/// The last `len` keys `[len, d]`, oldest overwritten first. A plain tensor without gradients.
#[derive(Clone, Debug)]
pub struct Queue {
    rows: Tensor<2>,
    /// Keys that were pushed so far.
    pushed: u64,
}

impl Queue {
    /// Random directions; `which` tells the queues of a task apart. `device` is that of the
    /// network.
    #[must_use]
    pub fn random(len: usize, width: usize, seed: u64, which: u64, device: &Device) -> Self {
        let mut stream = Stream::new(Purpose::Queue, &[seed, which]);
        let mut values = Vec::with_capacity(len * width);
        for _ in 0..len {
            let row: Vec<f64> = (0..width).map(|_| stream.normal()).collect();
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            values.extend(row.into_iter().map(|v| (v / length) as f32));
        }
        let data = TensorData::new(values, [len, width]);
        Self {
            rows: Tensor::from_data(data, &device.clone().inner()),
            pushed: 0,
        }
    }

    /// Zeros, for a queue that is used once it is full.
    #[must_use]
    pub fn zeros(len: usize, width: usize, device: &Device) -> Self {
        Self {
            rows: Tensor::zeros([len, width], &device.clone().inner()),
            pushed: 0,
        }
    }

    /// Whether every key was pushed, and none is left of the beginning.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let [len, _] = self.rows.dims();
        self.pushed >= len as u64
    }

    /// Where the next key goes.
    fn next(&self) -> usize {
        let [len, _] = self.rows.dims();
        (self.pushed % len.max(1) as u64) as usize
    }

    /// The keys, for use beside tensors with gradients.
    #[must_use]
    pub fn keys(&self) -> Tensor<2> {
        self.rows.clone().autodiff()
    }

    /// Overwrites the oldest keys with those of a step, `[n, d]`.
    pub fn push(&mut self, keys: Tensor<2>) {
        let [len, width] = self.rows.dims();
        let [n, _] = keys.dims();
        let keys = keys.detach().inner();
        // More keys than the queue holds: the last ones.
        let mut from = if len == 0 { n } else { n.saturating_sub(len) };
        while from < n {
            let next = self.next();
            let count = (n - from).min(len - next);
            let part = keys.clone().slice([from..from + count, 0..width]);
            let place = [next..next + count, 0..width];
            self.rows = self.rows.clone().slice_assign(place, part);
            self.pushed += count as u64;
            from += count;
        }
    }
}

impl Keep for Queue {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        let rows = Array {
            shape: self.rows.dims().to_vec(),
            values: host_values(self.rows.clone()),
        };
        let rows = Weights(BTreeMap::from([(ROWS.to_owned(), rows)]));
        let mut bytes = self.pushed.to_le_bytes().to_vec();
        bytes.extend(rows.to_bytes()?);
        Ok(Some(bytes))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let shape = self.rows.dims();
        let misfit = || TrainError::Checkpoint {
            path: "checkpoint".into(),
            reason: format!("its queue does not fit {shape:?}"),
        };
        let (pushed, rest) = bytes.split_first_chunk::<8>().ok_or_else(misfit)?;
        let weights = Weights::from_bytes(rest, "checkpoint".as_ref())?;
        let rows = weights.0.get(ROWS).filter(|a| a.shape == shape);
        let rows = rows.ok_or_else(misfit)?;
        let data = TensorData::new(rows.values.clone(), shape);
        self.rows = Tensor::from_data(data, &self.rows.device());
        self.pushed = u64::from_le_bytes(*pushed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::device::testing::{device, on_each_device};

    fn column(values: &[f32]) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len(), 1]);
        Tensor::from_data(data, &device())
    }

    #[test]
    fn the_oldest_keys_go_first_and_the_ring_wraps() {
        on_each_device(|| {
            let mut queue = Queue::random(6, 1, 1, 0, &device().inner());
            queue.push(column(&[1., 2., 3., 4.]));
            queue.push(column(&[5., 6., 7., 8.]));
            assert_eq!(host_values(queue.keys()), [7., 8., 3., 4., 5., 6.]);
            assert_eq!(queue.next(), 2);
            assert!(queue.is_full());
            queue.push(column(&[1., 2., 3., 4., 5., 6., 7., 8., 9.]));
            let mut held = host_values(queue.keys());
            held.sort_by(f32::total_cmp);
            assert_eq!(held, [4., 5., 6., 7., 8., 9.]);
        });
    }

    #[test]
    fn keys_begin_at_length_one_and_survive_a_checkpoint() {
        on_each_device(|| {
            let mut queue = Queue::random(5, 3, 7, 0, &device().inner());
            for row in host_values(queue.keys()).chunks(3) {
                let length: f32 = row.iter().map(|v| v * v).sum();
                assert!((length - 1.0).abs() < 1e-5);
            }
            queue.push(Tensor::ones([2, 3], &device()));
            let bytes = queue.bytes().unwrap().unwrap();
            let mut other = Queue::random(5, 3, 8, 1, &device().inner());
            other.restore(&bytes).unwrap();
            assert_eq!(host_values(other.keys()), host_values(queue.keys()));
            assert_eq!(other.next(), 2);
            assert!(!other.is_full());
            let mut wrong = Queue::random(4, 3, 8, 1, &device().inner());
            assert!(wrong.restore(&bytes).is_err());
        });
    }
}
