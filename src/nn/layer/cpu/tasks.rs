//! Loops that use several threads where the work is worth it.
//!
//! What a loop computes does not depend on how it is split, so the number of threads may decide.

use rayon::prelude::*;

/// Work, in processor cycles, below which a loop stays on the calling thread: waking another one
/// takes about as long.
const WORTH: usize = 100_000;
/// Least work of one task.
const TASK: usize = 25_000;

/// Whether `count` items of `cost` cycles go to several threads, and then how many at least go
/// into one task.
fn split(count: usize, cost: usize) -> Option<usize> {
    let work = count.saturating_mul(cost);
    (count > 1 && work >= WORTH && rayon::current_num_threads() > 1)
        .then(|| (TASK / cost.max(1)).max(1))
}

/// Calls `f(scratch, i, chunk)` for every chunk of `size` items; `cost` is the work of one call
/// in cycles. A scratch value serves several calls, one after the other.
pub(super) fn for_each_chunk<T: Send, S: Default>(
    output: &mut [T],
    size: usize,
    cost: usize,
    f: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
) {
    if output.is_empty() {
        return;
    }
    match split(output.len() / size, cost) {
        Some(least) => output
            .par_chunks_mut(size)
            .with_min_len(least)
            .enumerate()
            .for_each_init(S::default, |scratch, (i, chunk)| f(scratch, i, chunk)),
        None => {
            let mut scratch = S::default();
            for (i, chunk) in output.chunks_mut(size).enumerate() {
                f(&mut scratch, i, chunk);
            }
        }
    }
}

/// `f(0), f(1), ...`, `count` of them; `cost` is the work of one call in cycles.
pub(super) fn map<T: Send>(
    count: usize,
    cost: usize,
    f: impl Fn(usize) -> T + Sync + Send,
) -> Vec<T> {
    match split(count, cost) {
        Some(least) => (0..count)
            .into_par_iter()
            .with_min_len(least)
            .map(f)
            .collect(),
        None => (0..count).map(f).collect(),
    }
}
