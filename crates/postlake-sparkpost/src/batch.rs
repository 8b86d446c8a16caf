//! A batch as SparkPost posts it, with what the generator knows about its inside.

use std::fmt;

use bytes::Bytes;

use crate::catalog::{EventClass, EventType};
use crate::json::{Json, Style};

/// The body of one event webhook.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The value of the header `X-MessageSystems-Batch-ID`: a UUID.
    pub id: String,
    /// The JSON array (or what stands in its place in a broken batch).
    pub body: Bytes,
    /// How many good events it holds; equals `keys.len()`.
    pub events: usize,
    /// How many items a loader must refuse. Zero but for broken batches.
    pub rejects: usize,
    /// The identity of each good event, in order.
    pub keys: Vec<EventKey>,
}

impl Batch {
    /// Items as postlake counts them: events and rejects.
    #[must_use]
    pub fn items(&self) -> usize {
        self.events + self.rejects
    }
}

/// What makes an event the same event in another batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// Type, and with it the class.
    pub event_type: EventType,
    /// The `event_id`, or a number of our own where the event has none.
    pub id: EventId,
}

impl EventKey {
    /// The class of the event.
    #[must_use]
    pub fn class(&self) -> EventClass {
        self.event_type.class()
    }

    /// The text of the field `event_id`; `None` for `sms_status`.
    #[must_use]
    pub fn event_id(&self) -> Option<String> {
        match self.id {
            EventId::Number(number) => Some(number.to_string()),
            EventId::Uuid(uuid) => Some(uuid_text(uuid)),
            EventId::Content(_) => None,
        }
    }
}

/// `class/type/event_id`; the id is `-` where there is none.
impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.event_id();
        let id = id.as_deref().unwrap_or("-");
        write!(f, "{}/{}/{id}", self.class(), self.event_type)
    }
}

/// The forms of `event_id` that SparkPost sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventId {
    /// A decimal number beyond 2^53.
    Number(u64),
    /// A UUID.
    Uuid(u128),
    /// No `event_id`: the content is the identity. The number tells such events of one generator apart.
    Content(u64),
}

/// A UUID in its usual text form.
pub(crate) fn uuid_text(uuid: u128) -> String {
    let mut json = Json::new(36, Style::Current);
    json.uuid(uuid);
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}
