//! Holds a row of the lake against the JSON that was sent, field by field.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

/// The members of a JSON object with their exact texts.
pub(crate) type Object = BTreeMap<String, Box<RawValue>>;

/// An event as it was sent.
#[derive(Debug)]
pub(crate) struct SentEvent {
    pub(crate) class: String,
    pub(crate) fields: Object,
}

/// Documented objects whose members have columns of their own.
const SPREAD: [&str; 2] = ["geo_ip", "user_agent_parsed"];

/// Columns that hold JSON as its exact text.
const JSON: [&str; 5] = [
    "rcpt_meta",
    "rcpt_tags",
    "rcpt_subs",
    "ab_test",
    "sms_remoteids",
];

/// Columns that hold a time.
const TIMES: [&str; 3] = ["injection_time", "scheduled_time", "expiration_timestamp"];

/// The events of a webhook body, pings left out.
pub(crate) fn events_of(body: &[u8]) -> Vec<SentEvent> {
    let items: Vec<BTreeMap<String, Object>> = serde_json::from_slice(body).unwrap();
    items
        .into_iter()
        .filter_map(|mut item| item.remove("msys").unwrap().pop_first())
        .map(|(class, fields)| SentEvent {
            class,
            fields: object(&fields),
        })
        .collect()
}

pub(crate) fn object(raw: &RawValue) -> Object {
    serde_json::from_str(raw.get()).unwrap()
}

/// The text of a scalar: a string's characters, else the JSON text; `None` for `null`.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    match raw.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => Some(serde_json::from_str(quoted).unwrap()),
        other => Some(other.to_owned()),
    }
}

/// The text in a column.
pub(crate) fn column(row: &Object, name: &str) -> Option<String> {
    let raw = row
        .get(name)
        .unwrap_or_else(|| panic!("there is no column {name}"));
    text(raw)
}

impl SentEvent {
    fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).and_then(|raw| text(raw))
    }

    /// Whether `row` is the row of this event, by the columns that identify it.
    fn is(&self, row: &Object) -> bool {
        column(row, "event_class").as_deref() == Some(&self.class)
            && ["type", "event_id", "timestamp"]
                .iter()
                .all(|name| column(row, name) == self.field(name))
    }

    /// Finds this event's row and compares every field of the event with it.
    #[track_caller]
    pub(crate) fn check(&self, rows: &[Object]) {
        let found: Vec<_> = rows.iter().filter(|row| self.is(row)).collect();
        let name = format!(
            "{} {:?} {:?}",
            self.class,
            self.field("type"),
            self.field("event_id")
        );
        assert_eq!(found.len(), 1, "rows of {name}");
        let row = found[0];
        for (key, raw) in &self.fields {
            check_field(row, key, raw, &name);
        }
        check_scalar(row, "event_at", &self.fields["timestamp"], &name);
        if !self.fields.contains_key("subaccount_id") {
            assert_eq!(column(row, "subaccount_id").as_deref(), Some("0"), "{name}");
        }
    }
}

#[track_caller]
fn check_field(row: &Object, key: &str, raw: &RawValue, name: &str) {
    if SPREAD.contains(&key) && raw.get() != "null" {
        for (part, raw) in object(raw) {
            check_field(row, &format!("{key}_{part}"), &raw, name);
        }
    } else if key == "batch_id" {
        // The ingest event's own batch; the webhook's has the plain name.
        check_scalar(row, "ingest_batch_id", raw, name);
    } else if row.contains_key(key) {
        check_scalar(row, key, raw, name);
    } else {
        let extra = column(row, "extra").unwrap_or_else(|| panic!("{name}: {key} is lost"));
        let extra: Object = serde_json::from_str(&extra).unwrap();
        let kept = extra
            .get(key)
            .unwrap_or_else(|| panic!("{name}: {key} is lost"));
        assert_eq!(kept.get(), raw.get(), "{name}: {key}");
    }
}

/// The column equals the value as its type has it: JSON and text exactly, numbers by value, times as
/// instants.
#[track_caller]
fn check_scalar(row: &Object, key: &str, raw: &RawValue, name: &str) {
    if JSON.contains(&key) && raw.get() != "null" {
        assert_eq!(
            column(row, key).as_deref(),
            Some(raw.get()),
            "{name}: {key}"
        );
        return;
    }
    let found = row[key].get();
    let sent = text(raw);
    let equal = match (&sent, found) {
        (None, found) => found == "null",
        (Some(sent), "null") => sent.is_empty(),
        (Some(sent), "true" | "false") => [["true", "1"], ["false", "0"]]
            .iter()
            .any(|words| words[0] == found && words.contains(&sent.as_str())),
        (Some(sent), found) if TIMES.contains(&key) || key == "event_at" => {
            instant(sent) == instant(&text(&row[key]).unwrap_or_else(|| found.to_owned()))
        }
        (Some(sent), found) if found.starts_with('"') => text(&row[key]).as_ref() == Some(sent),
        (Some(sent), found) => number(sent) == number(found),
    };
    assert!(equal, "{name}: {key}: sent {sent:?}, found {found}");
}

/// The value of the digits.
#[track_caller]
pub(crate) fn number(text: &str) -> f64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Unix seconds or ISO 8601.
#[track_caller]
pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    if let Ok(seconds) = text.parse() {
        return DateTime::from_timestamp_secs(seconds).unwrap();
    }
    DateTime::parse_from_rfc3339(text)
        .unwrap_or_else(|_| panic!("{text} is no time"))
        .to_utc()
}

/// Finds an alert's row and compares every field of the alert with it.
#[track_caller]
pub(crate) fn check_alert(alert: &Object, rows: &[Object]) {
    let filters = object(&alert["filters"]);
    let is = |row: &&Object| {
        ["alert_id", "metric"]
            .iter()
            .all(|name| column(row, name) == text(&alert[*name]))
            && object_in(row, "filters").keys().eq(filters.keys())
            && filters
                .iter()
                .all(|(key, raw)| text(&object_in(row, "filters")[key]) == text(raw))
            && instant(&column(row, "triggered_at").unwrap())
                == instant(&text(&alert["triggered_at"]).unwrap())
    };
    let found: Vec<_> = rows.iter().filter(is).collect();
    assert_eq!(found.len(), 1, "rows of {alert:?}");
    let row = found[0];
    for (key, raw) in alert {
        match key.as_str() {
            "filters" => {
                // Missing is the whole account, 0 the primary account.
                let subaccount = filters.get("subaccount_id").and_then(|raw| text(raw));
                assert_eq!(column(row, "subaccount_id"), subaccount);
                let facets = filters.iter().filter(|(key, _)| *key != "subaccount_id");
                let (names, values): (Vec<String>, Vec<String>) = facets
                    .map(|(name, raw)| (name.clone(), text(raw).unwrap()))
                    .unzip();
                let joined = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(","));
                assert_eq!(column(row, "facet_name"), joined(names));
                assert_eq!(column(row, "facet_value"), joined(values));
            }
            "evaluator" | "threshold_evaluator" => {
                let evaluator = object(raw);
                assert_eq!(column(row, "operator"), text(&evaluator["operator"]));
                assert_eq!(column(row, "source"), text(&evaluator["source"]));
                assert_eq!(
                    number(row["threshold"].get()),
                    number(evaluator["value"].get())
                );
            }
            "triggered_at" => {}
            _ => check_scalar(row, key, raw, "alert"),
        }
    }
}

fn object_in(row: &Object, name: &str) -> Object {
    serde_json::from_str(&column(row, name).unwrap()).unwrap()
}
