//! One event as a line.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{DateTime, SecondsFormat, Utc};
use postlake_listen::visible;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::exit::chain;

/// What an event says, in words that are not escaped yet.
pub(super) struct Line {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Line {
        let mut line = Line {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    /// Adds a field.
    pub(super) fn add(&mut self, name: &'static str, value: String) {
        self.fields.push((name, value));
    }

    /// Lines of one kind are alike: from one place in the program, about one thing with a name.
    pub(super) fn kind(&self, event: &Event<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        event.metadata().callsite().hash(&mut hasher);
        for (name, value) in &self.fields {
            if name.ends_with(".name") {
                value.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// For people.
    pub(super) fn text(&self, at: DateTime<Utc>, coloured: bool) -> String {
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let (start, end) = match (coloured, self.level) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        let level = self.level.as_str();
        let mut text = format!(
            "{at} {start}{level:>5}{end} {}: {}",
            self.target,
            visible(&self.message)
        );
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            write!(text, " {name}={}", visible(value)).unwrap_or_default();
        }
        text.push('\n');
        text
    }

    /// One JSON object.
    pub(super) fn json(&self, at: DateTime<Utc>) -> String {
        let fields: Map<String, Value> = self
            .fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        let object = serde_json::json!({
            "at": at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "level": self.level.as_str().to_ascii_lowercase(),
            "target": self.target,
            "message": self.message,
            "fields": fields,
        });
        let mut line = escaped(&object.to_string());
        line.push('\n');
        line
    }
}

/// JSON that holds no character which a terminal or a line reader could act on. They can only stand
/// inside of strings, where an escape means the same.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let mut shown = [0; 4];
        let as_text: &str = character.encode_utf8(&mut shown);
        if visible(as_text) == as_text {
            text.push(character);
        } else {
            write!(text, "\\u{:04x}", u32::from(character)).unwrap_or_default();
        }
    }
    text
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.fields.push((field.name(), chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn line() -> Line {
        Line {
            level: Level::WARN,
            target: "postlake::role",
            message: "a\nforged line \u{1b}[31mred\u{2028}next \u{202e}txet".to_owned(),
            fields: vec![("sink.name", "x\r\n2026 ERROR y\u{7f}".to_owned())],
        }
    }

    #[test]
    fn what_comes_from_outside_cannot_end_a_line_or_drive_a_terminal() {
        let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
        assert_eq!(
            line().text(at, false),
            "2026-01-02T03:04:05.000Z  WARN postlake::role: a\\nforged line \\u{1b}[31mred\\u{2028}next \
             \\u{202e}txet sink.name=x\\r\\n2026 ERROR y\\u{7f}\n"
        );
        let json = line().json(at);
        assert_eq!(
            json,
            "{\"at\":\"2026-01-02T03:04:05.000Z\",\"fields\":{\"sink.name\":\"x\\r\\n2026 ERROR y\\u007f\"},\
             \"level\":\"warn\",\"message\":\"a\\nforged line \\u001b[31mred\\u2028next \\u202etxet\",\
             \"target\":\"postlake::role\"}\n"
        );
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["message"], line().message);
    }
}
