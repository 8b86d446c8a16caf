//! What the receiver has done since it was started.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use postlake_raw::LandCause;

use crate::measures::Measures;
use crate::refusal::Refusal;

/// A reading of the counters. Each one only grows; they are read one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Batches that became durable and whose request was still waiting: the acknowledged ones.
    pub batches: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Batches that became durable after their request had been answered 503 or had gone.
    pub late_batches: u64,
    /// Segments landed.
    pub segments: u64,
    /// Landings that failed; each is followed by another try or by refusals.
    pub failed_landings: u64,
    /// The same, by the code of their cause.
    pub failed_landings_by: Vec<(&'static str, u64)>,
    /// Streams given up because the outcome of a landing was unknown, or other bytes stood there.
    pub spoilt_streams: u64,
    /// Batches that were landed after one landing of them, or more, had failed.
    pub rewritten_batches: u64,
    /// Times that space of the reserve was given up for alerts.
    pub reserve_given: u64,
    /// Puts that were not answered in time and go on in the background, or did.
    pub abandoned_puts: u64,
    /// Requests whose handler panicked.
    pub panics: u64,
    /// Streams opened. More than one a day means that landings ended with an unknown outcome.
    pub streams: u64,
    /// Events taken out of the queue because their request had been answered 503 or had gone.
    pub withdrawn: u64,
    /// Alerts given up when the receiver was closed while the store failed.
    pub alerts_given_up: u64,
    /// Requests answered with a refusal, by its code.
    pub refused: Vec<(&'static str, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) batches: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) late_batches: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) failed_landings: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) withdrawn: AtomicU64,
    pub(crate) alerts_given_up: AtomicU64,
    pub(crate) spoilt_streams: AtomicU64,
    pub(crate) rewritten_batches: AtomicU64,
    pub(crate) reserve_given: AtomicU64,
    pub(crate) abandoned_puts: AtomicU64,
    pub(crate) panics: AtomicU64,
    failed_landings_by: [AtomicU64; LandCause::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    pub(crate) measures: Measures,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        let counters = Refusal::ALL.iter().zip(&self.refused);
        for (_, counter) in counters.filter(|(known, _)| **known == refusal) {
            Self::add(counter, 1);
        }
    }

    pub(crate) fn count_failed_landing(&self, cause: LandCause) {
        Self::add(&self.failed_landings, 1);
        let counters = LandCause::ALL.iter().zip(&self.failed_landings_by);
        for (_, counter) in counters.filter(|(known, _)| **known == cause) {
            Self::add(counter, 1);
        }
    }

    pub(crate) fn read(&self) -> Counters {
        let refused = Refusal::ALL.iter().zip(&self.refused);
        let failed = LandCause::ALL.iter().zip(&self.failed_landings_by);
        Counters {
            batches: self.batches.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            late_batches: self.late_batches.load(Relaxed),
            segments: self.segments.load(Relaxed),
            failed_landings: self.failed_landings.load(Relaxed),
            failed_landings_by: failed
                .map(|(cause, count)| (cause.code(), count.load(Relaxed)))
                .collect(),
            spoilt_streams: self.spoilt_streams.load(Relaxed),
            rewritten_batches: self.rewritten_batches.load(Relaxed),
            reserve_given: self.reserve_given.load(Relaxed),
            abandoned_puts: self.abandoned_puts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            streams: self.streams.load(Relaxed),
            withdrawn: self.withdrawn.load(Relaxed),
            alerts_given_up: self.alerts_given_up.load(Relaxed),
            refused: refused
                .map(|(refusal, count)| (refusal.code(), count.load(Relaxed)))
                .collect(),
        }
    }
}
