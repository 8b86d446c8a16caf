//! How many bytes of bodies the process holds, and who may hold more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use postlake_raw::SourceKind;

/// What a batch costs besides its body: its place in the queue and its envelope.
pub(crate) const BATCH_OVERHEAD_BYTES: u64 = 2048;

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
        }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.used.load(Relaxed).saturating_add(bytes) <= self.limit
    }

    fn try_take(&self, bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// The bytes in flight: one budget for all, and one that only alerts take from, and first.
#[derive(Debug)]
pub(crate) struct Inflight {
    shared: Budget,
    alerts: Budget,
}

impl Inflight {
    pub(crate) fn new(max_bytes: u64, alert_reserve_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            shared: Budget::new(max_bytes),
            alerts: Budget::new(alert_reserve_bytes),
        })
    }

    /// Whether `bytes` more would be granted now, for an answer before the body is read.
    pub(crate) fn has_room(&self, source: SourceKind, bytes: u64) -> bool {
        let reserved = source == SourceKind::Alert && self.alerts.has_room(bytes);
        reserved || self.shared.has_room(bytes)
    }

    /// A hold on nothing yet.
    pub(crate) fn hold(self: &Arc<Self>, source: SourceKind) -> Hold {
        Hold {
            inflight: Arc::clone(self),
            source,
            shared: 0,
            alerts: 0,
        }
    }

    /// Bytes that are held now.
    pub(crate) fn used(&self) -> u64 {
        self.shared.used.load(Relaxed) + self.alerts.used.load(Relaxed)
    }
}

/// Bytes that one request has taken; they go back when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    inflight: Arc<Inflight>,
    source: SourceKind,
    shared: u64,
    alerts: u64,
}

impl Hold {
    /// Takes `bytes` more; false and unchanged when the budget does not allow it.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        if self.source == SourceKind::Alert && self.inflight.alerts.try_take(bytes) {
            self.alerts += bytes;
            return true;
        }
        let taken = self.inflight.shared.try_take(bytes);
        if taken {
            self.shared += bytes;
        }
        taken
    }

    /// Everything taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared + self.alerts
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inflight.shared.give_back(self.shared);
        self.inflight.alerts.give_back(self.alerts);
    }
}
