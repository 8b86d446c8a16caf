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
    /// Holds of alerts.
    alert_holds: AtomicU64,
    /// Above this no further event is let in, though there is room: it would wait too long.
    events: AtomicU64,
    /// Of the bytes held, those of bodies that come slowly: they wait for their sender, nobody waits
    /// behind them.
    slow: AtomicU64,
    /// Of the bytes held, those of bodies that are there as a whole and wait to be durable.
    whole: AtomicU64,
}

impl Inflight {
    pub(crate) fn new(max_bytes: u64, alert_reserve_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            shared: Budget::new(max_bytes),
            alerts: Budget::new(alert_reserve_bytes),
            alert_holds: AtomicU64::new(0),
            events: AtomicU64::new(u64::MAX),
            slow: AtomicU64::new(0),
            whole: AtomicU64::new(0),
        })
    }

    /// Whether `bytes` more would be granted now, for an answer before the body is read.
    pub(crate) fn has_room(&self, source: SourceKind, bytes: u64) -> bool {
        let soon_enough = match source {
            SourceKind::Alert if self.alerts.has_room(bytes) => return true,
            SourceKind::Alert => true,
            SourceKind::Event => {
                let used = self.shared.used.load(Relaxed);
                let used = used.saturating_sub(self.slow.load(Relaxed));
                // The only one does not wait for others, however large it is.
                used == 0 || used.saturating_add(bytes) <= self.events.load(Relaxed)
            }
        };
        soon_enough && self.shared.has_room(bytes)
    }

    /// Lets events in up to `bytes` in flight, without those that come slowly; none for as many as
    /// there is room for. What is let in already stays.
    pub(crate) fn limit_events(&self, bytes: Option<u64>) {
        self.events.store(bytes.unwrap_or(u64::MAX), Relaxed);
    }

    /// A hold on nothing yet.
    pub(crate) fn hold(self: &Arc<Self>, source: SourceKind) -> Hold {
        if source == SourceKind::Alert {
            self.alert_holds.fetch_add(1, Relaxed);
        }
        Hold {
            inflight: Arc::clone(self),
            source,
            shared: 0,
            alerts: 0,
            promised: 0,
            phase: Phase::Coming,
        }
    }

    /// Alerts that hold something now.
    pub(crate) fn alerts(&self) -> u64 {
        self.alert_holds.load(Relaxed)
    }

    /// Bytes of whole bodies that wait to be durable.
    pub(crate) fn whole(&self) -> u64 {
        self.whole.load(Relaxed)
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
    /// Of these, what is not there yet.
    promised: u64,
    phase: Phase,
}

/// What is known of the body that a hold is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Coming,
    Slow,
    Whole,
}

impl Hold {
    /// Takes `bytes` for what is announced, so that it finds room when it comes; false and unchanged
    /// when the budget does not allow it.
    pub(crate) fn promise(&mut self, bytes: u64) -> bool {
        let taken = self.take(bytes);
        if taken {
            self.promised += bytes;
        }
        taken
    }

    /// Whether something was announced and has not come.
    pub(crate) fn waits(&self) -> bool {
        self.promised > 0
    }

    /// The body comes slowly: gives back what was announced and has not come.
    pub(crate) fn break_promise(&mut self) {
        self.enter(Phase::Coming);
        let shared = self.promised.min(self.shared);
        let alerts = self.promised - shared;
        self.inflight.shared.give_back(shared);
        self.inflight.alerts.give_back(alerts);
        self.shared -= shared;
        self.alerts -= alerts;
        self.promised = 0;
        self.enter(Phase::Slow);
    }

    /// The body is there as a whole.
    pub(crate) fn complete(&mut self) {
        self.enter(Phase::Whole);
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(left) = self.gauge() {
            left.fetch_sub(self.shared, Relaxed);
        }
        self.phase = phase;
        if let Some(entered) = self.gauge() {
            entered.fetch_add(self.shared, Relaxed);
        }
    }

    /// Where the bytes of such a body are counted besides.
    fn gauge(&self) -> Option<&AtomicU64> {
        match self.phase {
            Phase::Coming => None,
            Phase::Slow => Some(&self.inflight.slow),
            Phase::Whole => Some(&self.inflight.whole),
        }
    }

    /// Takes `bytes` more, those that were promised first; false and unchanged when the budget does not
    /// allow it.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let kept = bytes.min(self.promised);
        let taken = self.take(bytes - kept);
        if taken {
            self.promised -= kept;
        }
        taken
    }

    fn take(&mut self, bytes: u64) -> bool {
        if self.source == SourceKind::Alert && self.inflight.alerts.try_take(bytes) {
            self.alerts += bytes;
            return true;
        }
        let taken = self.inflight.shared.try_take(bytes);
        if taken {
            self.shared += bytes;
            if let Some(gauge) = self.gauge() {
                gauge.fetch_add(bytes, Relaxed);
            }
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
        self.enter(Phase::Coming);
        self.inflight.shared.give_back(self.shared);
        self.inflight.alerts.give_back(self.alerts);
        if self.source == SourceKind::Alert {
            self.inflight.alert_holds.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_finds_room_when_it_comes_and_not_for_ever() {
        let inflight = Inflight::new(100, 50);
        let mut hold = inflight.hold(SourceKind::Event);
        assert!(hold.grow(10) && hold.promise(60) && hold.waits());
        let mut other = inflight.hold(SourceKind::Event);
        assert!(!other.promise(31) && !other.grow(31) && other.grow(30));
        assert!(hold.grow(40));
        assert_eq!((hold.bytes(), inflight.used()), (70, 100));
        assert!(!hold.grow(21) && hold.waits());
        hold.break_promise();
        assert_eq!(
            (hold.bytes(), inflight.used(), hold.waits()),
            (50, 80, false)
        );
        assert!(hold.grow(20) && !hold.grow(1));
        drop((hold, other));
        assert_eq!(inflight.used(), 0);
    }

    #[test]
    fn events_that_would_wait_too_long_are_not_let_in_and_alerts_are() {
        let inflight = Inflight::new(100, 5);
        inflight.limit_events(Some(30));
        let room = |source, bytes| inflight.has_room(source, bytes);
        assert!(room(SourceKind::Event, 80), "the only one");
        let mut hold = inflight.hold(SourceKind::Event);
        assert!(hold.grow(20));
        assert!(room(SourceKind::Event, 10) && !room(SourceKind::Event, 11));
        assert!(room(SourceKind::Alert, 80) && !room(SourceKind::Alert, 81));
        assert!(hold.grow(80), "what is let in may go on");
        drop(hold);
        inflight.limit_events(None);
        assert!(room(SourceKind::Event, 100));
    }

    #[test]
    fn what_comes_slowly_takes_room_and_keeps_nobody_waiting() {
        let inflight = Inflight::new(100, 5);
        inflight.limit_events(Some(30));
        let mut slow = inflight.hold(SourceKind::Event);
        assert!(slow.grow(5) && slow.promise(60));
        assert!(!inflight.has_room(SourceKind::Event, 10));
        slow.break_promise();
        assert!(slow.grow(40));
        assert!(inflight.has_room(SourceKind::Event, 30));
        assert!(!inflight.has_room(SourceKind::Event, 60), "no room at all");
        assert_eq!((inflight.used(), inflight.whole()), (45, 0));
        slow.complete();
        assert!(!inflight.has_room(SourceKind::Event, 10));
        assert_eq!((inflight.used(), inflight.whole()), (45, 45));
        drop(slow);
        assert_eq!((inflight.used(), inflight.whole()), (0, 0));
        assert_eq!(inflight.slow.load(Relaxed), 0);
    }

    #[test]
    fn a_promise_to_an_alert_goes_back_to_where_it_was_taken() {
        let inflight = Inflight::new(100, 50);
        let mut alert = inflight.hold(SourceKind::Alert);
        assert!(alert.promise(40) && alert.promise(40));
        assert_eq!((alert.alerts, alert.shared), (40, 40));
        assert_eq!(inflight.alerts(), 1);
        alert.break_promise();
        assert_eq!((alert.bytes(), inflight.used()), (0, 0));
        drop(alert);
        assert_eq!(inflight.alerts(), 0);
    }
}
