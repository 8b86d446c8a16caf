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

/// The batch id of a request: which run, and which number in it.
pub(crate) fn id(run: u32, number: u64) -> String {
    format!("{run:08x}-0000-4000-8000-{number:012x}")
}

/// The body that was posted under a batch id of [`id`].
pub(crate) fn of_id<'p>(pool: &'p [Bytes], id: &str) -> Option<&'p Bytes> {
    let number = u64::from_str_radix(id.rsplit('-').next()?, 16).ok()?;
    pool.get(usize::try_from(number).ok()? % pool.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_body() {
        let pool = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        assert_eq!(of_id(&pool, &id(7, 5)), Some(&pool[1]));
        assert_eq!(of_id(&pool, "nothing"), None);
        assert_eq!(of_id(&[], &id(7, 5)), None);
    }
}
