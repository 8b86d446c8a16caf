//! The receiver's counters in the words of the status.

use std::collections::BTreeMap;
use std::sync::Arc;

use postlake_acme::Keeper;
use postlake_listen::{Tally, Tls};
use postlake_receiver::{Distribution, Receiver};

use crate::admin::status::{Acme, Connections, Histogram, Ingest};

/// Microseconds in a second, and the unit of what is counted in whole units.
const MICROS: f64 = 1e6;
const ONE: f64 = 1.0;

/// A receiver with its listener.
#[derive(Debug)]
pub(crate) struct Ingesting {
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) connections: Arc<Tally>,
    pub(crate) tls: Option<Tls>,
    /// What gets the certificate, if an authority gives it.
    pub(crate) keeper: Option<Keeper>,
}

impl Ingesting {
    /// What is wrong with the certificate of an authority, and whether nobody can connect because of it.
    pub(super) fn certificate_fault(&self, now_secs: i64) -> Option<(bool, String)> {
        let trouble = self.keeper.as_ref()?.progress().trouble;
        let not_after = self.tls.as_ref()?.status().not_after_secs;
        let why = trouble
            .clone()
            .unwrap_or_else(|| "the authority is being asked".to_owned());
        match not_after {
            None => Some((
                true,
                format!("there is none yet, nobody can connect: {why}"),
            )),
            Some(not_after) if not_after <= now_secs => Some((true, format!("has expired: {why}"))),
            Some(_) => trouble.map(|trouble| (false, format!("was not renewed: {trouble}"))),
        }
    }
}

/// A reading of both.
pub(super) fn read(ingesting: &Ingesting, free_bytes: Option<u64>) -> Ingest {
    let receiver = &ingesting.receiver;
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
        connections: connections(ingesting),
    }
}

fn connections(ingesting: &Ingesting) -> Connections {
    let counted = ingesting.connections.read();
    let tls = ingesting.tls.as_ref().map(Tls::status);
    Connections {
        open: counted.open,
        accepted: counted.accepted,
        troubles: by_name(&[
            ("accept", counted.accept_failures),
            ("handshake", counted.handshake_failures),
            ("handshake_timeout", counted.handshake_timeouts),
            ("broken_request", counted.broken_requests),
            ("header_timeout", counted.header_timeouts),
            ("write_timeout", counted.write_timeouts),
            ("made_room", counted.made_room),
        ]),
        certificate_ends_secs: tls.as_ref().and_then(|tls| tls.not_after_secs),
        certificate_reloads: tls.as_ref().map_or(0, |tls| tls.reloads),
        certificate_reload_failures: tls.as_ref().map_or(0, |tls| tls.reload_failures),
        acme: ingesting.keeper.as_ref().map(|keeper| {
            let progress = keeper.progress();
            Acme {
                orders: progress.orders,
                failures: progress.failures,
                challenges_answered: tls.as_ref().map_or(0, |tls| tls.challenges_answered),
                next_at_secs: progress.next_at_secs,
            }
        }),
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
