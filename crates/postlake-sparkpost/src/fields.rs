//! The documented fields of each event type: name, JSON type, and where they occur.
//!
//! Source: the official samples of 2026, one for each type, and SparkPost's field reference. The same
//! table drives the generator, so that a field listed here is a field written.

mod table;
mod values;

use crate::catalog::{EventClass, EventType};
use crate::json::Json;
use crate::message::Facts;

/// The JSON type of a field in SparkPost's event webhooks of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// A string of any content.
    Text,
    /// A string that holds a whole number, possibly negative.
    Digits,
    /// A string that holds a decimal number.
    Decimal,
    /// A string with an ISO 8601 time in UTC, milliseconds and `Z`.
    Instant,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// An object.
    Object,
    /// An array of strings.
    Texts,
}

/// One documented field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    name: &'static str,
    kind: JsonKind,
    on: TypeSet,
    presence: Presence,
    write: fn(&Facts<'_>, &mut Json),
}

impl Field {
    /// The member's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its JSON type.
    #[must_use]
    pub const fn kind(&self) -> JsonKind {
        self.kind
    }

    /// Whether it is documented for the type.
    #[must_use]
    pub const fn is_on(&self, event_type: EventType) -> bool {
        self.on.0 & bit(event_type) != 0
    }
}

/// All documented fields, in the order in which the generator writes them.
#[must_use]
pub fn all() -> &'static [Field] {
    &table::FIELDS
}

/// The documented fields of one type.
pub fn of(event_type: EventType) -> impl Iterator<Item = &'static Field> {
    table::FIELDS
        .iter()
        .filter(move |field| field.is_on(event_type))
}

/// Writes the members of an event object, without its braces.
pub(crate) fn write(plan: &[&'static Field], facts: &Facts<'_>, json: &mut Json) {
    let mut separator = "";
    for field in plan {
        if field.presence.holds(facts) {
            json.raw(separator);
            json.key(field.name);
            (field.write)(facts, json);
            separator = ",";
        }
    }
}

/// When a live event carries a documented field. A full event carries it always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Always,
    /// Not for the primary account.
    Subaccount,
    /// Only for transactional mail.
    Transactional,
    /// Only for campaigns under test.
    AbTest,
    /// Only where the sender set a time.
    Scheduled,
    /// Only for copies, about one in sixty.
    Copy,
    /// Only for text messages, push messages and anonymised recipients: never in live mail.
    NotMail,
}

impl Presence {
    fn holds(self, facts: &Facts<'_>) -> bool {
        facts.full
            || match self {
                Self::Always => true,
                Self::Subaccount => facts.message.subaccount.id != 0,
                Self::Transactional => facts.message.campaign.transactional,
                Self::AbTest => facts.message.campaign.ab_test_id.is_some(),
                Self::Scheduled => facts.message.part(12, 2) == 0,
                Self::Copy => facts.message.part(14, 6) == 0,
                Self::NotMail => facts.what == EventType::SmsStatus,
            }
    }
}

/// A set of event types.
#[derive(Debug, Clone, Copy)]
struct TypeSet(u32);

const fn bit(event_type: EventType) -> u32 {
    1 << event_type as u32
}

impl TypeSet {
    const fn of(mut types: &[EventType]) -> Self {
        let mut bits = 0;
        while let [first, rest @ ..] = types {
            bits |= bit(*first);
            types = rest;
        }
        Self(bits)
    }

    const fn class(class: EventClass) -> Self {
        let mut bits = 0;
        let mut types: &[EventType] = &EventType::ALL;
        while let [first, rest @ ..] = types {
            if first.class() as u32 == class as u32 {
                bits |= bit(*first);
            }
            types = rest;
        }
        Self(bits)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn with(self, types: &[EventType]) -> Self {
        self.and(Self::of(types))
    }

    const fn without(self, types: &[EventType]) -> Self {
        Self(self.0 & !Self::of(types).0)
    }
}

#[cfg(test)]
mod tests;
