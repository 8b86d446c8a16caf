//! The receiver's counters in the words of the status.

use std::collections::BTreeMap;

use postlake_receiver::{Distribution, Receiver};

use crate::admin::status::{Histogram, Ingest};

/// Microseconds in a second, and the unit of what is counted in whole units.
const MICROS: f64 = 1e6;
const ONE: f64 = 1.0;

/// A reading of the receiver.
pub(super) fn read(receiver: &Receiver, free_bytes: Option<u64>) -> Ingest {
    let counters = receiver.counters();
    let measured = receiver.measurements();
    Ingest {
        ready: receiver.unready_reason().is_none(),
        events_held: receiver.events_are_held(),
        inflight_bytes: receiver.inflight_bytes(),
        free_bytes,
        batches: counters.batches,
        body_bytes: counters.bytes,
        late_batches: counters.late_batches,
        withdrawn_batches: counters.withdrawn,
        alerts_given_up: counters.alerts_given_up,
        segments: counters.segments,
        failed_landings: counters.failed_landings,
        failed_landings_by: by_name(&counters.failed_landings_by),
        streams: counters.streams,
        spoilt_streams: counters.spoilt_streams,
        rewritten_batches: counters.rewritten_batches,
        reserve_given: counters.reserve_given,
        abandoned_puts: counters.abandoned_puts,
        panics: counters.panics,
        refusals: by_name(&counters.refused),
        answer_seconds: [
            ("events".to_owned(), scaled(&measured.event_answer, MICROS)),
            ("alerts".to_owned(), scaled(&measured.alert_answer, MICROS)),
        ]
        .into(),
        put_seconds: scaled(&measured.put, MICROS),
        segment_bytes: scaled(&measured.segment_bytes, ONE),
        segment_batches: scaled(&measured.segment_batches, ONE),
    }
}

fn by_name(counts: &[(&'static str, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums beyond 2^53 need not be exact"
)]
fn scaled(distribution: &Distribution, units: f64) -> Histogram {
    Histogram {
        bounds: distribution
            .bounds
            .iter()
            .map(|bound| *bound as f64 / units)
            .collect(),
        counts: distribution.counts.clone(),
        sum: distribution.sum as f64 / units,
    }
}
