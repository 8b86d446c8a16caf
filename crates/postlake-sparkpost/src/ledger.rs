//! The books of what was sent, to hold against what was loaded.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use bytes::Bytes;

use crate::alerts::AlertPost;
use crate::batch::Batch;
use crate::catalog::EventType;
use crate::story::{Contents, Step};

/// What a loader must find after everything recorded here was answered 200.
///
/// Record each post once for each answer of 200; recording the same batch again counts its events as
/// duplicates, as a loader does. `items = events + alerts + duplicates + rejects` holds always.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Posts of all kinds, also pings and resent ones.
    pub posts: u64,
    /// Posts to the events path, also pings.
    pub event_posts: u64,
    /// Posts to the alerts path.
    pub alert_posts: u64,
    /// Posts without any item.
    pub pings: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Events, alerts, duplicates and rejects together.
    pub items: u64,
    /// Different events.
    pub events: u64,
    /// Different alerts.
    pub alerts: u64,
    /// Events and alerts sent again.
    pub duplicates: u64,
    /// Items that must end in quarantine.
    pub rejects: u64,
    by_type: BTreeMap<EventType, u64>,
    seen_batches: Seen<String>,
    seen_alerts: Seen<Bytes>,
}

/// A set that shows only its size: a failed assertion on a ledger must stay readable.
#[derive(Clone)]
struct Seen<T>(HashSet<T>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T> fmt::Debug for Seen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} different", self.0.len())
    }
}

impl Ledger {
    /// Records the step of a story.
    pub fn record(&mut self, step: &Step) {
        match &step.contents {
            Contents::Events(batch) => self.record_batch(batch),
            Contents::Alerts(post) => self.record_alerts(post),
        }
    }

    /// Records a batch. Relies on the generator's batch ids: another id means other events.
    pub fn record_batch(&mut self, batch: &Batch) {
        self.posts += 1;
        self.event_posts += 1;
        self.pings += u64::from(batch.items() == 0);
        self.bytes += batch.body.len() as u64;
        self.items += batch.items() as u64;
        self.rejects += batch.rejects as u64;
        if !self.seen_batches.0.insert(batch.id.clone()) {
            self.duplicates += batch.events as u64;
            return;
        }
        self.events += batch.events as u64;
        for key in &batch.keys {
            *self.by_type.entry(key.event_type).or_default() += 1;
        }
    }

    /// Records an alert webhook.
    pub fn record_alerts(&mut self, post: &AlertPost) {
        self.posts += 1;
        self.alert_posts += 1;
        self.bytes += post.body.len() as u64;
        self.items += post.alerts as u64;
        if self.seen_alerts.0.insert(post.body.clone()) {
            self.alerts += post.alerts as u64;
        } else {
            self.duplicates += post.alerts as u64;
        }
    }

    /// Different events of one type.
    #[must_use]
    pub fn events_of(&self, event_type: EventType) -> u64 {
        self.by_type.get(&event_type).copied().unwrap_or_default()
    }

    /// Different events by type, without the types that were not sent.
    pub fn by_type(&self) -> impl Iterator<Item = (EventType, u64)> + '_ {
        self.by_type
            .iter()
            .map(|(event_type, count)| (*event_type, *count))
    }

    /// Whether the books balance; always true unless this crate has a bug.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.items == self.events + self.alerts + self.duplicates + self.rejects
    }
}
