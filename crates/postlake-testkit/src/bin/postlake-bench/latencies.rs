//! Times of single actions, and what is said about them.

use std::time::Duration;

use serde_json::{Value, json};

/// Every time of a run; a run has thousands, so none is thrown away.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u64>,
}

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.micros
            .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.micros.append(&mut other.micros);
    }

    pub(crate) fn count(&self) -> usize {
        self.micros.len()
    }

    /// Percentiles in milliseconds.
    pub(crate) fn report(mut self) -> Value {
        self.micros.sort_unstable();
        let at = |per_mille: usize| {
            let index =
                (self.micros.len() * per_mille / 1000).min(self.micros.len().saturating_sub(1));
            self.micros
                .get(index)
                .map_or(0.0, |micros| *micros as f64 / 1000.0)
        };
        json!({ "p50_ms": at(500), "p90_ms": at(900), "p99_ms": at(990), "max_ms": at(1000) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut latencies = Latencies::default();
        for millis in (1..=100).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let report = latencies.report();
        assert_eq!(report["p50_ms"], 51.0);
        assert_eq!(report["p99_ms"], 100.0);
        assert_eq!(report["max_ms"], 100.0);
        assert_eq!(Latencies::default().report()["max_ms"], 0.0);
    }
}
