//! Idempotency keys: what makes two deliveries the same thing.
//!
//! * event: (class, type, `event_id`), because the sender's samples reuse one id for many types;
//!   without an id, a hash of the canonical event;
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
    pub fn of_event(class: &str, event_type: Option<&str>, event_id: &str) -> Key {
        Key::of("event", &[class, event_type.unwrap_or_default(), event_id])
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

/// The `record_id` of an alert: the same for every delivery of the same firing.
pub(crate) fn record_id(alert_id: &str, metric: &str, filters: &str, triggered_at: &str) -> String {
    let name = [alert_id, metric, filters, triggered_at].join("\u{1f}");
    Uuid::new_v5(&ALERT_NAMESPACE, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            Key::of_event("ab", Some("c"), "d"),
            Key::of_event("a", Some("bc"), "d")
        );
    }

    #[test]
    fn one_id_under_two_types_is_two_events() {
        assert_ne!(
            Key::of_event("track_event", Some("open"), "1"),
            Key::of_event("track_event", Some("click"), "1")
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
