//! The ledger by the hour in which batches were received.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use super::finding::{FindingKind, Findings};

/// The books of one hour, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// Batches in raw.
    pub received_batches: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Items in them.
    pub received_items: u64,
    /// Batches of segments that no pass has loaded.
    pub waiting_batches: u64,
    /// Items in those.
    pub waiting_items: u64,
    /// Rows of `batches`.
    pub batches: u64,
    /// Rows of `events`.
    pub events: u64,
    /// Rows of `alerts`.
    pub alerts: u64,
    /// Items whose equals the lake held before, as `batches` says.
    pub duplicates: u64,
    /// Rows of `quarantine` that stand for an item.
    pub quarantined: u64,
    /// Batches whose row of `batches` retention has let go.
    pub expired_batches: u64,
    /// Items whose row, or whose account, retention has let go.
    pub expired_items: u64,
}

impl Hour {
    /// Batches received that are neither loaded, nor waiting, nor let go.
    pub fn missing_batches(&self) -> i64 {
        let accounted = self.batches + self.expired_batches;
        difference(self.received_batches, accounted + self.waiting_batches)
    }

    /// Items received that are neither in the lake, nor duplicates, nor waiting, nor let go.
    pub fn missing_items(&self) -> i64 {
        let rows = self.events + self.alerts + self.quarantined;
        let accounted = rows + self.duplicates + self.expired_items;
        difference(self.received_items, accounted + self.waiting_items)
    }

    /// True if nothing is missing and nothing is too much.
    pub fn balances(&self) -> bool {
        self.missing_batches() == 0 && self.missing_items() == 0
    }

    fn add(&mut self, other: &Hour) {
        self.received_batches += other.received_batches;
        self.bytes += other.bytes;
        self.received_items += other.received_items;
        self.waiting_batches += other.waiting_batches;
        self.waiting_items += other.waiting_items;
        self.batches += other.batches;
        self.events += other.events;
        self.alerts += other.alerts;
        self.duplicates += other.duplicates;
        self.quarantined += other.quarantined;
        self.expired_batches += other.expired_batches;
        self.expired_items += other.expired_items;
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    signed(one) - signed(other)
}

/// The hours that have batches, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(BTreeMap<DateTime<Utc>, Hour>);

impl Hours {
    /// Each hour with its begin.
    pub fn iter(&self) -> impl Iterator<Item = (DateTime<Utc>, &Hour)> {
        self.0.iter().map(|(begin, hour)| (*begin, hour))
    }

    /// All of them together.
    pub fn total(&self) -> Hour {
        let mut total = Hour::default();
        for hour in self.0.values() {
            total.add(hour);
        }
        total
    }

    pub(crate) fn add(&mut self, at: DateTime<Utc>, hour: &Hour) {
        let begin = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        self.0.entry(begin).or_default().add(hour);
    }

    /// Names the hours that do not balance.
    pub(crate) fn compare(&self, findings: &mut Findings) {
        for (begin, hour) in &self.0 {
            if hour.balances() {
                continue;
            }
            let reason = format!(
                "{} of {} batches and {} of {} items are missing (less than zero: too many)",
                hour.missing_batches(),
                hour.received_batches,
                hour.missing_items(),
                hour.received_items
            );
            let place = begin.format("%Y-%m-%dT%H:00Z").to_string();
            findings.add(FindingKind::UnbalancedHour, place, reason);
        }
    }
}
