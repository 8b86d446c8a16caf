//! The classes and the 27 types of SparkPost's event webhooks.
//!
//! Source: SparkPost's webhook reference and the official samples of 2026. The set is open: a receiver
//! must keep types that are not listed here.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// The key under `msys`: the group an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventClass {
    /// `message_event`: what happened to a message on its way.
    Message,
    /// `track_event`: opens and clicks.
    Track,
    /// `gen_event`: a message could not be generated.
    Gen,
    /// `unsubscribe_event`.
    Unsubscribe,
    /// `relay_event`: inbound messages.
    Relay,
    /// `ab_test_event`.
    AbTest,
    /// `ingest_event`: results of the Events Ingest API.
    Ingest,
}

impl EventClass {
    /// All classes, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Message,
        Self::Track,
        Self::Gen,
        Self::Unsubscribe,
        Self::Relay,
        Self::AbTest,
        Self::Ingest,
    ];

    /// The key under `msys`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message_event",
            Self::Track => "track_event",
            Self::Gen => "gen_event",
            Self::Unsubscribe => "unsubscribe_event",
            Self::Relay => "relay_event",
            Self::AbTest => "ab_test_event",
            Self::Ingest => "ingest_event",
        }
    }
}

impl fmt::Display for EventClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One of the 27 documented event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each variant is explained by `EventType::meaning`"
)]
pub enum EventType {
    Injection,
    Delivery,
    Delay,
    Bounce,
    OutOfBand,
    PolicyRejection,
    SpamComplaint,
    SmsStatus,
    Open,
    InitialOpen,
    Click,
    AmpOpen,
    AmpInitialOpen,
    AmpClick,
    GenerationFailure,
    GenerationRejection,
    ListUnsubscribe,
    LinkUnsubscribe,
    RelayInjection,
    RelayRejection,
    RelayDelivery,
    RelayTempfail,
    RelayPermfail,
    AbTestCompleted,
    AbTestCancelled,
    IngestSuccess,
    IngestError,
}

impl EventType {
    /// All types, grouped by class in the order of [`EventClass::ALL`].
    pub const ALL: [Self; 27] = [
        Self::Injection,
        Self::Delivery,
        Self::Delay,
        Self::Bounce,
        Self::OutOfBand,
        Self::PolicyRejection,
        Self::SpamComplaint,
        Self::SmsStatus,
        Self::Open,
        Self::InitialOpen,
        Self::Click,
        Self::AmpOpen,
        Self::AmpInitialOpen,
        Self::AmpClick,
        Self::GenerationFailure,
        Self::GenerationRejection,
        Self::ListUnsubscribe,
        Self::LinkUnsubscribe,
        Self::RelayInjection,
        Self::RelayRejection,
        Self::RelayDelivery,
        Self::RelayTempfail,
        Self::RelayPermfail,
        Self::AbTestCompleted,
        Self::AbTestCancelled,
        Self::IngestSuccess,
        Self::IngestError,
    ];

    /// The text of the field `type`. Unique among the 27, although SparkPost promises that only
    /// together with the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().1
    }

    /// The class the type is sent under.
    #[must_use]
    pub const fn class(self) -> EventClass {
        self.entry().0
    }

    /// What the type says, in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.entry().2
    }

    /// Whether events of this type carry an `event_id`: all but `sms_status`.
    #[must_use]
    pub const fn has_event_id(self) -> bool {
        !matches!(self, Self::SmsStatus)
    }

    #[rustfmt::skip]
    const fn entry(self) -> (EventClass, &'static str, &'static str) {
        use EventClass::{AbTest, Gen, Ingest, Message, Relay, Track, Unsubscribe};
        match self {
            Self::Injection => (Message, "injection", "message accepted into SparkPost"),
            Self::Delivery => (Message, "delivery", "remote server accepted the message"),
            Self::Delay => (Message, "delay", "temporary refusal, a retry follows"),
            Self::Bounce => (Message, "bounce", "permanent refusal during the SMTP session"),
            Self::OutOfBand => (Message, "out_of_band", "accepted first, failure reported later"),
            Self::PolicyRejection => (Message, "policy_rejection", "refused by SparkPost policy"),
            Self::SpamComplaint => (Message, "spam_complaint", "recipient marked the message as spam"),
            Self::SmsStatus => (Message, "sms_status", "SMS delivery report (has no event_id)"),
            Self::Open => (Track, "open", "pixel at the end of the message loaded"),
            Self::InitialOpen => (Track, "initial_open", "pixel at the top of the message loaded"),
            Self::Click => (Track, "click", "tracked link followed"),
            Self::AmpOpen => (Track, "amp_open", "AMP message: pixel at the end loaded"),
            Self::AmpInitialOpen => (Track, "amp_initial_open", "AMP message: pixel at the top loaded"),
            Self::AmpClick => (Track, "amp_click", "AMP message: tracked link followed"),
            Self::GenerationFailure => (Gen, "generation_failure", "template could not be rendered"),
            Self::GenerationRejection => (Gen, "generation_rejection", "refused by policy at generation"),
            Self::ListUnsubscribe => (Unsubscribe, "list_unsubscribe", "List-Unsubscribe header used"),
            Self::LinkUnsubscribe => (Unsubscribe, "link_unsubscribe", "unsubscribe link followed"),
            Self::RelayInjection => (Relay, "relay_injection", "inbound message accepted"),
            Self::RelayRejection => (Relay, "relay_rejection", "inbound message refused"),
            Self::RelayDelivery => (Relay, "relay_delivery", "inbound message handed to its webhook"),
            Self::RelayTempfail => (Relay, "relay_tempfail", "inbound message delayed"),
            Self::RelayPermfail => (Relay, "relay_permfail", "inbound message given up"),
            Self::AbTestCompleted => (AbTest, "ab_test_completed", "A/B test ended with a winner"),
            Self::AbTestCancelled => (AbTest, "ab_test_cancelled", "A/B test was cancelled"),
            Self::IngestSuccess => (Ingest, "success", "ingest batch was processed"),
            Self::IngestError => (Ingest, "error", "ingest batch failed"),
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names none of the 27 types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type `{name}`{}", suggestion(name))]
pub struct UnknownType {
    /// The text as given.
    pub name: String,
}

impl FromStr for EventType {
    type Err = UnknownType;

    /// Reads a type's name, with `-` allowed for `_` and in any case.
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let name = text.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| UnknownType {
                name: text.to_owned(),
            })
    }
}

/// Below this likeness (0 to 1) a guess would be noise.
const LIKE_ENOUGH: f64 = 0.6;

/// `, did you mean ...`: the types that contain the text, are contained in it, or look like it.
fn suggestion(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if name.len() < 3 {
        return String::new();
    }
    let likeness = |known: &str| match known.contains(&name) || name.contains(known) {
        true => 1.0,
        false => strsim::normalized_damerau_levenshtein(known, &name),
    };
    let mut near: Vec<(f64, &str)> = EventType::ALL
        .iter()
        .map(|known| (likeness(known.name()), known.name()))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .collect();
    near.sort_by(|one, two| two.0.total_cmp(&one.0));
    let near: Vec<_> = near.into_iter().map(|(_, name)| name).take(3).collect();
    if near.is_empty() {
        String::new()
    } else {
        format!(", did you mean {}", near.join(" or "))
    }
}

/// The list of types by class with their meaning, for `postlake trigger --help`. Ends in a line feed.
#[must_use]
pub fn help() -> String {
    let mut text = String::new();
    for class in EventClass::ALL {
        text.push_str(class.name());
        text.push('\n');
        for event_type in EventType::ALL.into_iter().filter(|t| t.class() == class) {
            // Writing to a String cannot fail.
            writeln!(text, "  {event_type:<21} {}", event_type.meaning()).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_read_back() {
        let names: HashSet<&str> = EventType::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(names.len(), 27);
        for event_type in EventType::ALL {
            assert_eq!(event_type.name().parse(), Ok(event_type));
        }
        assert_eq!("Out-Of-Band".parse(), Ok(EventType::OutOfBand));
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let error = "bounced".parse::<EventType>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown event type `bounced`, did you mean bounce"
        );
        let error = "xyz".parse::<EventType>().unwrap_err();
        assert_eq!(error.to_string(), "unknown event type `xyz`");
    }

    #[test]
    fn help_lists_every_type_once() {
        let help = help();
        assert_eq!(help.lines().count(), 27 + 7);
        for event_type in EventType::ALL {
            assert!(help.contains(event_type.meaning()), "{event_type}");
        }
    }
}
