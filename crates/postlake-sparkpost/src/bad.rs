//! Bodies that are broken, each with the number of items a loader must refuse.
//!
//! A body that is not an array counts as one item and one reject; in an array, each item that is not an
//! object, has no `msys` of one class, or holds invalid UTF-8 is one reject and costs no other item.

use std::fmt;
use std::str::FromStr;

use crate::batch::{Batch, EventKey};
use crate::catalog::EventType;
use crate::json::Json;
use crate::traffic::Traffic;

/// The size of the huge bodies: 20 MB.
const HUGE_BYTES: usize = 20_000_000;

/// A kind of broken body. No two bodies of one generator are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bad {
    /// Not JSON at all: plain text, a proxy's error page, an object cut off.
    Json,
    /// JSON, but not SparkPost's: an object, scalars, an item without `msys`, an item with two classes.
    Envelope,
    /// An event with bytes that are not UTF-8.
    Utf8,
    /// A good batch of more than 20 MB.
    Huge,
}

impl Bad {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Json, Self::Envelope, Self::Utf8, Self::Huge];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Envelope => "envelope",
            Self::Utf8 => "utf8",
            Self::Huge => "huge",
        }
    }

    /// A body of this kind. The forms of `Json` and `Envelope` take turns.
    pub fn batch(self, traffic: &mut Traffic) -> Batch {
        match self {
            Self::Json => not_json(traffic),
            Self::Envelope => no_envelope(traffic),
            Self::Utf8 => {
                let mut json = traffic.buffer(512);
                json.raw("[");
                not_utf8(traffic, &mut json);
                json.raw("]");
                traffic.batch(json.into_bytes(), Vec::new(), 1)
            }
            Self::Huge => huge(traffic),
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no kind of broken body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind `{name}`, expected json, envelope, utf8 or huge")]
pub struct UnknownBad {
    /// The text as given.
    pub name: String,
}

impl FromStr for Bad {
    type Err = UnknownBad;

    fn from_str(text: &str) -> Result<Self, UnknownBad> {
        Self::ALL
            .into_iter()
            .find(|bad| bad.name() == text)
            .ok_or_else(|| UnknownBad {
                name: text.to_owned(),
            })
    }
}

/// A batch of `good` events with one broken item in the middle of them.
pub fn mixed(traffic: &mut Traffic, good: usize) -> Batch {
    let mut json = traffic.buffer(good * 1_600 + 512);
    let mut keys: Vec<EventKey> = Vec::with_capacity(good);
    json.raw("[");
    for index in 0..=good {
        json.raw(if index > 0 { "," } else { "" });
        if index == good / 2 {
            broken_item(traffic, &mut json);
        } else {
            keys.push(traffic.write_item(&mut json));
        }
    }
    json.raw("]");
    traffic.batch(json.into_bytes(), keys, 1)
}

/// A batch of one good event, one field of which has `field_bytes` bytes.
pub fn huge_field(traffic: &mut Traffic, field_bytes: usize) -> Batch {
    let mut json = traffic.buffer(field_bytes + 512);
    json.raw("[");
    let key = open_event(traffic, EventType::Injection, &mut json);
    json.raw(",\"rcpt_meta\":{\"blob\":\"");
    json.raw(&"A".repeat(field_bytes));
    json.raw("\"}}}}]");
    traffic.batch(json.into_bytes(), vec![key], 0)
}

fn not_json(traffic: &mut Traffic) -> Batch {
    let serial = traffic.next_serial();
    let mut json = traffic.buffer(256);
    json.raw(match serial % 3 {
        0 => "not json, attempt ",
        1 => "<html><body><h1>502 Bad Gateway</h1>request ",
        _ => "{\"msys\":{\"message_event\":{\"type\":\"bounce\",\"cut\":",
    });
    json.number(serial);
    traffic.batch(json.into_bytes(), Vec::new(), 1)
}

fn no_envelope(traffic: &mut Traffic) -> Batch {
    let serial = traffic.next_serial();
    let mut json = traffic.buffer(512);
    let rejects = match serial % 4 {
        0 => {
            json.raw("{\"a\":");
            json.number(serial);
            json.raw("}");
            1
        }
        1 => {
            json.raw("[");
            json.number(serial);
            json.raw(",\"two\",true,null]");
            4
        }
        2 => {
            json.raw("[{\"message_event\":{\"type\":\"delivery\",\"event_id\":");
            json.long_id(serial);
            json.raw("}}]");
            1
        }
        _ => {
            json.raw("[");
            two_classes(serial, &mut json);
            json.raw("]");
            1
        }
    };
    traffic.batch(json.into_bytes(), Vec::new(), rejects)
}

/// One broken item, in turn of three forms.
fn broken_item(traffic: &mut Traffic, json: &mut Json) {
    let serial = traffic.next_serial();
    match serial % 3 {
        0 => not_utf8(traffic, json),
        1 => two_classes(serial, json),
        _ => {
            json.raw("\"a string, not an event: ");
            json.number(serial);
            json.raw("\"");
        }
    }
}

fn two_classes(serial: u64, json: &mut Json) {
    json.raw("{\"msys\":{\"message_event\":{\"type\":\"bounce\",\"event_id\":");
    json.long_id(serial);
    json.raw("},\"track_event\":{\"type\":\"open\",\"event_id\":");
    json.long_id(serial);
    json.raw("}}}");
}

/// An event whose subject came in Latin-1.
fn not_utf8(traffic: &mut Traffic, json: &mut Json) {
    open_event(traffic, EventType::Bounce, json);
    json.raw(",\"subject\":\"Caf");
    json.raw_bytes(b"\xe9 de Paris\"}}}");
}

/// An item up to its last member, without the three closing braces.
fn open_event(traffic: &mut Traffic, event_type: EventType, json: &mut Json) -> EventKey {
    let key = EventKey {
        event_type,
        id: traffic.next_id(event_type),
    };
    json.raw("{\"msys\":{");
    json.key(event_type.class().name());
    json.raw("{\"type\":");
    json.text(event_type.name());
    json.raw(",\"event_id\":");
    json.text(&key.event_id().unwrap_or_default());
    json.raw(",\"timestamp\":");
    json.unix_secs(traffic.now().timestamp_millis());
    key
}

fn huge(traffic: &mut Traffic) -> Batch {
    let mut json = traffic.buffer(HUGE_BYTES + 4_096);
    let mut keys = Vec::new();
    json.raw("[");
    while json.len() < HUGE_BYTES {
        json.raw(if keys.is_empty() { "" } else { "," });
        keys.push(traffic.write_item(&mut json));
    }
    json.raw("]");
    traffic.batch(json.into_bytes(), keys, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn traffic() -> Traffic {
        Traffic::new(5, DateTime::from_timestamp(1_750_000_000, 0).unwrap())
    }

    #[test]
    fn words_read_back() {
        for bad in Bad::ALL {
            assert_eq!(bad.name().parse(), Ok(bad));
        }
        assert_eq!(
            "xml".parse::<Bad>().unwrap_err().to_string(),
            "unknown kind `xml`, expected json, envelope, utf8 or huge"
        );
    }

    #[test]
    fn every_form_is_refused_as_counted() {
        let mut traffic = traffic();
        for bad in [Bad::Json, Bad::Envelope, Bad::Utf8] {
            for _ in 0..8 {
                let batch = bad.batch(&mut traffic);
                let model = crate::loader_rules::count(&batch.body);
                assert_eq!((model.events.len(), model.rejects), (0, batch.rejects));
            }
        }
        for good in 0..8 {
            let batch = mixed(&mut traffic, good);
            let model = crate::loader_rules::count(&batch.body);
            assert_eq!((model.events.len(), model.rejects), (good, 1));
            assert_eq!(batch.items(), good + 1);
        }
    }

    #[test]
    fn huge_bodies_are_huge_and_good() {
        let mut traffic = traffic();
        let batch = Bad::Huge.batch(&mut traffic);
        assert!((20_000_000..21_000_000).contains(&batch.body.len()));
        assert_eq!(batch.keys.len(), batch.events);
        assert!(batch.body.ends_with(b"]"));

        let batch = huge_field(&mut traffic, 100_000);
        let model = crate::loader_rules::count(&batch.body);
        assert_eq!((model.events.len(), model.rejects), (1, 0));
        assert!(batch.body.len() > 100_000);
    }
}
