//! Batches made ahead of the device, in order.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use super::{EpochPlan, TrainError};

/// Batches that wait for the device at most.
const AHEAD: usize = 2;

/// Makes the batches of `todo` one after the other on a thread of `scope`. The order is that of
/// `todo`, whatever the timing; dropping the receiver ends the thread.
pub(super) fn prefetch<'scope, P: EpochPlan>(
    scope: &'scope Scope<'scope, '_>,
    plan: &'scope P,
    todo: &'scope [&[usize]],
) -> Receiver<Result<P::Batch, TrainError>> {
    let (sender, receiver) = sync_channel(AHEAD);
    scope.spawn(move || {
        for indices in todo {
            if sender.send(plan.batch(indices)).is_err() {
                break;
            }
        }
    });
    receiver
}
