//! Batches made ahead of the device, in order.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::{EpochPlan, TrainError};

/// Batches that wait for the device at most.
const AHEAD: usize = 2;

/// The batches of an epoch, as they get ready.
pub(super) struct Made<B> {
    batches: Receiver<Result<B, TrainError>>,
    waited: Duration,
}

impl<B> Made<B> {
    /// How long the training has waited for its next batch so far.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }
}

impl<B> Iterator for Made<B> {
    type Item = Result<B, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        let since = Instant::now();
        let batch = self.batches.recv().ok();
        self.waited += since.elapsed();
        batch
    }
}

/// Makes the batches of `todo` one after the other on a thread of `scope`. The order is that of
/// `todo`, whatever the timing; dropping what comes back ends the thread.
pub(super) fn prefetch<'scope, P: EpochPlan>(
    scope: &'scope Scope<'scope, '_>,
    plan: &'scope P,
    todo: &'scope [&[usize]],
) -> Made<P::Batch> {
    let (sender, batches) = sync_channel(AHEAD);
    scope.spawn(move || {
        for indices in todo {
            if sender.send(plan.batch(indices)).is_err() {
                break;
            }
        }
    });
    Made {
        batches,
        waited: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes its time for every batch.
    struct Slow;

    impl EpochPlan for Slow {
        type Batch = Vec<usize>;

        fn batch(&self, indices: &[usize]) -> Result<Vec<usize>, TrainError> {
            std::thread::sleep(Duration::from_millis(20));
            Ok(indices.to_vec())
        }
    }

    #[test]
    fn batches_come_in_order_and_waiting_for_them_is_told() {
        let todo: [&[usize]; 3] = [&[4, 1], &[0], &[7, 7, 2]];
        std::thread::scope(|scope| {
            let mut made = prefetch(scope, &Slow, &todo);
            assert_eq!(made.waited(), Duration::ZERO);
            for indices in todo {
                assert_eq!(made.next().unwrap().unwrap(), indices);
            }
            assert!(made.next().is_none());
            // Three batches of at least 20 ms each, and nothing was done meanwhile.
            assert!(made.waited() >= Duration::from_millis(60));
        });
    }
}
