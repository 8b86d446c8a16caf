//! How fast batches become durable, and how many may wait so that none waits long.
//!
//! What is in flight, divided by the rate at which it becomes durable, is how long a batch waits
//! (Little's law). So once a good part of the budget is in use, events are let in only as far as they
//! become durable within less than a second at the rate of the last moments. A burst after silence is not held up by
//! a rate that nobody has tried.

use std::time::Duration;

use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;
/// How long a batch may wait behind others.
const LONGEST_WAIT_SECS: f64 = 0.75;
/// With less than this waiting nobody waits long, and a rate says nothing.
const BUSY_BYTES: u64 = 16 * MIB;
/// So much may always be in flight: a segment of full size, or the largest body.
const LEAST_BYTES: u64 = 32 * MIB;
/// What was measured so long ago counts half.
const HALF_LIFE: Duration = Duration::from_millis(500);

/// The rate of the last moments.
#[derive(Debug, Default)]
pub(super) struct Rate {
    bytes: f64,
    secs: f64,
    last: Option<Instant>,
}

/// A group that has become durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landed {
    /// When its batches were taken out of the queue.
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) bytes: u64,
    /// Bytes of whole bodies that wait to be durable, its own among them.
    pub(super) waiting: u64,
}

impl Rate {
    /// Notes a group. How many bytes of events may be in flight; none for as many as there is room for.
    pub(super) fn landed(&mut self, group: Landed) -> Option<u64> {
        // A group that was encoded ahead has waited for the one before.
        let since = self.last.map_or(group.began, |last| last.max(group.began));
        self.last = Some(group.ended);
        if group.waiting < BUSY_BYTES {
            *self = Self {
                last: self.last,
                ..Self::default()
            };
            return None;
        }
        let secs = group.ended.saturating_duration_since(since).as_secs_f64();
        let kept = 0.5_f64.powf(secs / HALF_LIFE.as_secs_f64());
        self.bytes = self.bytes * kept + group.bytes as f64;
        self.secs = self.secs * kept + secs;
        let within_wait = self.bytes / self.secs.max(f64::EPSILON) * LONGEST_WAIT_SECS;
        Some((within_wait as u64).max(LEAST_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of 16 MiB, one every `millis`, with so much waiting; the last limit.
    fn limit(rate: &mut Rate, groups: u32, millis: u64, waiting: u64) -> Option<u64> {
        let each = Duration::from_millis(millis);
        let mut ended = rate.last.unwrap_or_else(Instant::now);
        let mut limit = None;
        for _ in 0..groups {
            let began = ended;
            ended += each;
            limit = rate.landed(Landed {
                began,
                ended,
                bytes: 16 * MIB,
                waiting,
            });
        }
        limit
    }

    #[test]
    fn what_becomes_durable_soon_may_wait() {
        let mib =
            |limit: Option<u64>| limit.map(|bytes| (bytes as f64 / MIB as f64).round() as u64);
        assert_eq!(
            mib(limit(&mut Rate::default(), 20, 200, 100 * MIB)),
            Some(60)
        );
        assert_eq!(
            mib(limit(&mut Rate::default(), 20, 20, 100 * MIB)),
            Some(600)
        );
        // A disk that takes seconds still gets a whole segment.
        assert_eq!(
            mib(limit(&mut Rate::default(), 3, 4000, 100 * MIB)),
            Some(32)
        );
        assert_eq!(limit(&mut Rate::default(), 20, 200, 8 * MIB), None);
    }

    #[test]
    fn a_slow_spell_is_forgotten() {
        let mut rate = Rate::default();
        let slow = limit(&mut rate, 3, 1000, 100 * MIB).unwrap();
        let again = limit(&mut rate, 100, 40, 100 * MIB).unwrap();
        assert!(slow < 40 * MIB && again > 260 * MIB, "{slow} {again}");
        assert_eq!(limit(&mut rate, 1, 40, MIB), None);
    }
}
