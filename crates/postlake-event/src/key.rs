//! Idempotency keys: what makes two deliveries the same thing.
//!
//! * event: (class, type, `event_id`, second of its `timestamp`). The sender's samples reuse one id for
//!   many types and, over the years, for other times of the same type; a resend never changes the
//!   time. Having the time in the key also means that equal keys lie in one partition. Without an
//!   id, a hash of the canonical event;
//! * alert: (`alert_id`, metric, filters, `triggered_at`).
//!
//! Keys depend on what was sent alone, never on when or in which batch it came.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Namespace of `record_id`: UUIDv5 of the URL namespace and this project's name for alerts.
const ALERT_NAMESPACE: Uuid = Uuid::from_u128(0x6f1b_3d0e_7c5a_5b7e_9d43_2f70_6f73_746c);

/// The first 128 bits of the SHA-256 over the parts of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u128);

/// The time of an event as its key sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTime<'a> {
    /// Microseconds since the epoch; the key holds the second.
    Micros(i64),
    /// The text that stood in place of a usable time; empty if there was none.
    Unreadable(&'a str),
}

impl Key {
    fn of(domain: &str, parts: &[&str]) -> Key {
        let mut hasher = Sha256::new();
        hasher.update(domain.as_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let mut bytes = [0_u8; 16];
        for (to, from) in bytes.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Key(u128::from_be_bytes(bytes))
    }

    /// The key of an event that carries an id.
    pub fn of_event(
        class: &str,
        event_type: Option<&str>,
        event_id: &str,
        time: EventTime<'_>,
    ) -> Key {
        let event_type = event_type.unwrap_or_default();
        match time {
            EventTime::Micros(micros) => {
                let second = micros.div_euclid(1_000_000).to_string();
                Key::of("event", &[class, event_type, event_id, &second])
            }
            EventTime::Unreadable(text) => {
                Key::of("undated event", &[class, event_type, event_id, text])
            }
        }
    }

    /// The key of an event without an id; `hash` is its [`event_hash`].
    pub fn of_hash(hash: &str) -> Key {
        Key::of("event hash", &[hash])
    }

    /// The key of an alert row, from its `record_id`.
    pub fn of_record(record_id: &str) -> Key {
        Key::of("alert", &[record_id])
    }
}

/// Hex hash of an event without an id, from its class and its canonical JSON.
pub(crate) fn event_hash(class: &str, canonical: &str) -> String {
    let Key(hash) = Key::of("event content", &[class, canonical]);
    format!("{hash:032x}")
}

/// The `record_id` of an alert, from its parts as they were sent (the filters canonical): the same for
/// every delivery of the same firing.
pub fn record_id(alert_id: &str, metric: &str, filters: &str, triggered_at: &str) -> String {
    let name = [alert_id, metric, filters, triggered_at].join("\u{1f}");
    Uuid::new_v5(&ALERT_NAMESPACE, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: EventTime<'static> = EventTime::Micros(1_460_989_507_000_000);

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            Key::of_event("ab", Some("c"), "d", NOON),
            Key::of_event("a", Some("bc"), "d", NOON)
        );
    }

    #[test]
    fn one_id_under_two_types_or_at_two_times_is_two_events() {
        let open = Key::of_event("track_event", Some("open"), "1", NOON);
        assert_ne!(open, Key::of_event("track_event", Some("click"), "1", NOON));
        let later = EventTime::Micros(1_460_989_508_000_000);
        assert_ne!(open, Key::of_event("track_event", Some("open"), "1", later));
        let fraction = EventTime::Micros(1_460_989_507_250_000);
        assert_eq!(
            open,
            Key::of_event("track_event", Some("open"), "1", fraction)
        );
    }

    #[test]
    fn record_ids_are_stable() {
        assert_eq!(
            record_id("1", "health_score", "{}", "2019-06-01T14:48:00.000Z"),
            record_id("1", "health_score", "{}", "2019-06-01T14:48:00.000Z"),
        );
    }
}
