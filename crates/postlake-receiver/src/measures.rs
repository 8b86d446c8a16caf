//! How long and how large: distributions that cost a few atomic additions each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of times, in microseconds: 0.5 ms to 10 s.
const TIME_BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
/// Upper bounds of sizes, in bytes: 1 KiB to 32 MiB, each four times the one before, and the last.
const SIZE_BOUNDS: [u64; 9] = [
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 25,
];
/// Upper bounds of the number of batches in a segment.
const BATCH_BOUNDS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000];

/// A reading of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bound of each class, itself included, in the unit of the measure.
    pub bounds: Vec<u64>,
    /// Values in each class, and in one more for those above the last bound.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

/// Counts values by class.
#[derive(Debug)]
pub(crate) struct Measure {
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Measure {
    fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, value: u64) {
        let class = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    pub(crate) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds.to_vec(),
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

/// A reading of all distributions. They are read one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurements {
    /// From a request's headers to its answer, of event batches, refused ones too. Microseconds.
    pub event_answer: Distribution,
    /// The same for alerts. Microseconds.
    pub alert_answer: Distribution,
    /// A segment's put until it is durable or has failed. Microseconds.
    pub put: Distribution,
    /// Objects put, compressed as they are. Bytes.
    pub segment_bytes: Distribution,
    /// Batches in the segments that became durable: requests for each sync of the disk.
    pub segment_batches: Distribution,
}

#[derive(Debug)]
pub(crate) struct Measures {
    pub(crate) event_answer: Measure,
    pub(crate) alert_answer: Measure,
    pub(crate) put: Measure,
    pub(crate) segment_bytes: Measure,
    pub(crate) segment_batches: Measure,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            event_answer: Measure::new(&TIME_BOUNDS),
            alert_answer: Measure::new(&TIME_BOUNDS),
            put: Measure::new(&TIME_BOUNDS),
            segment_bytes: Measure::new(&SIZE_BOUNDS),
            segment_batches: Measure::new(&BATCH_BOUNDS),
        }
    }
}

impl Measures {
    pub(crate) fn read(&self) -> Measurements {
        Measurements {
            event_answer: self.event_answer.read(),
            alert_answer: self.alert_answer.read(),
            put: self.put.read(),
            segment_bytes: self.segment_bytes.read(),
            segment_batches: self.segment_batches.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_its_class_and_none_is_lost() {
        let measure = Measure::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            measure.add(value);
        }
        let read = measure.read();
        assert_eq!(read.counts, [2, 2, 2]);
        assert_eq!(read.sum, 1_062);
        measure.add_time(Duration::from_micros(15));
        assert_eq!(measure.read().counts, [2, 3, 2]);
    }
}
