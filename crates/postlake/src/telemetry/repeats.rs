//! Which of many alike lines are written.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Alike lines are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);

/// Alike lines of the first window that are written; of the windows after a full one, one.
const FIRST: u64 = 5;

/// Kinds of lines that are remembered; beyond, everything is forgotten and told anew.
const MOST_KINDS: usize = 1024;

/// Remembers what was written lately.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: Mutex<HashMap<u64, Window>>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    allowed: u64,
    seen: u64,
}

impl Repeats {
    /// `None`: leave this line out. Otherwise write it; the number says how many alike were left out
    /// since the last one.
    pub(super) fn admit(&self, kind: u64) -> Option<u64> {
        self.admit_at(kind, Instant::now())
    }

    fn admit_at(&self, kind: u64, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&kind) {
            kinds.clear();
        }
        let window = kinds.entry(kind).or_insert(Window {
            since: now,
            allowed: FIRST,
            seen: 0,
        });
        let mut left_out = 0;
        if now.duration_since(window.since) >= WINDOW {
            left_out = window.seen.saturating_sub(window.allowed);
            window.allowed = if left_out > 0 { 1 } else { FIRST };
            window.since = now;
            window.seen = 0;
        }
        window.seen += 1;
        (window.seen <= window.allowed).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_fault_is_told_a_few_times_and_then_once_a_minute() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let told = |from: u64, to: u64| {
            (from..to)
                .filter_map(|second| repeats.admit_at(1, start + Duration::from_secs(second)))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(0, 60), [0, 0, 0, 0, 0]);
        assert_eq!(told(60, 120), [55]);
        assert_eq!(told(120, 180), [59]);
        assert_eq!(repeats.admit_at(2, start), Some(0), "another fault is told");
        // After a quiet minute it is news again.
        assert_eq!(told(300, 301), [59]);
        assert_eq!(told(400, 402), [0, 0]);
    }
}
