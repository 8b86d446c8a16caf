//! Request bodies made before the clock starts.

use bytes::Bytes;
use chrono::DateTime;
use postlake_sparkpost::Traffic;

/// The simulated time of the first event, in seconds since the epoch: a run's bytes depend on its
/// seed alone.
const START_SECS: i64 = 1_790_000_000;

/// Live traffic of `seed`.
pub(crate) fn traffic(seed: u64) -> Traffic {
    Traffic::new(
        seed,
        DateTime::from_timestamp(START_SECS, 0).unwrap_or_default(),
    )
}

/// `count` different bodies of `events` events each. Take so many that equal ones never lie within
/// the compressor's window (512 KiB at level 1), or compression would look better than it is.
pub(crate) fn pool(seed: u64, count: usize, events: usize) -> Vec<Bytes> {
    let mut traffic = traffic(seed);
    (0..count)
        .map(|_| traffic.next_batch(events).body)
        .collect()
}
