//! The decoder against serde_json: what is JSON, and every value of every documented field.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use postlake_event::schema::{EVENT_FIELDS, FieldKind, GEO_IP_FIELDS, USER_AGENT_FIELDS};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::body::{codes, decoded, int, text};

type Members = BTreeMap<String, Box<RawValue>>;

pub(super) fn check(body: &[u8]) {
    let (counts, decoded) = decoded("events", body);
    let codes = codes(&decoded);
    let Ok(body) = std::str::from_utf8(body) else {
        assert!(counts.rejects > 0);
        return;
    };
    let is_blank = body.trim_matches([' ', '\t', '\r', '\n']).is_empty();
    if serde_json::from_str::<IgnoredAny>(body).is_err() {
        assert!(counts.rejects > 0 || is_blank, "{body}");
        return;
    }
    assert!(!codes.contains(&"json"), "{body}");
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(body) else {
        return;
    };
    assert_eq!(counts.items + counts.pings, items.len() as u64, "{body}");
    for row in 0..decoded.events.num_rows() {
        let item = int(&decoded.events, "item_index", row).unwrap();
        let item = items[usize::try_from(item).unwrap()];
        check_event(&decoded.events, row, item);
    }
}

fn check_event(rows: &RecordBatch, row: usize, item: &RawValue) {
    let members = |json: &RawValue| serde_json::from_str::<Members>(json.get()).ok();
    if item.get().matches("\"msys\"").count() > 1 {
        // Which of them counts is a matter of its own.
        return;
    }
    let msys = members(item).and_then(|mut item| item.remove("msys"));
    let Some(classes) = msys.as_deref().and_then(members) else {
        panic!("{item} became an event");
    };
    // Half a surrogate pair in a name is no name to serde_json; such items are rejects.
    let class = text(rows, "event_class", row).unwrap();
    let event = classes
        .iter()
        .find(|(name, _)| name.replace('\0', "\u{fffd}") == class)
        .and_then(|(_, event)| members(event));
    let event = event.unwrap_or_else(|| panic!("{item} became an event of {class}"));
    for name in ["event_id", "type"] {
        let sent = event.get(name).map(AsRef::as_ref);
        // One that is empty is none.
        let sent = sent.filter(|sent: &&RawValue| sent.get() != "\"\"");
        check_value(rows, row, name, FieldKind::Text, sent);
    }
    for field in EVENT_FIELDS.iter().filter(|field| !field.key.is_empty()) {
        check_value(
            rows,
            row,
            field.column,
            field.kind,
            event.get(field.key).map(AsRef::as_ref),
        );
    }
    for (object, fields) in [
        ("geo_ip", GEO_IP_FIELDS),
        ("user_agent_parsed", USER_AGENT_FIELDS),
    ] {
        let Some(parts) = event.get(object).and_then(|object| members(object)) else {
            continue;
        };
        for (key, column, kind) in fields {
            check_value(rows, row, column, *kind, parts.get(*key).map(AsRef::as_ref));
        }
    }
    let extra = text(rows, "extra", row).unwrap_or("{}");
    serde_json::from_str::<Members>(extra).unwrap_or_else(|error| panic!("extra {extra}: {error}"));
}

/// The column of a value that stands as its kind has it is that value.
fn check_value(
    rows: &RecordBatch,
    row: usize,
    column: &str,
    kind: FieldKind,
    sent: Option<&RawValue>,
) {
    let values = rows.column_by_name(column).unwrap();
    let sent = sent.map_or("null", RawValue::get);
    if sent == "null" {
        assert!(values.is_null(row), "{column}: made up");
        return;
    }
    match kind {
        FieldKind::Text => {
            if let Ok(sent) = serde_json::from_str::<String>(sent) {
                let sent = sent.replace('\0', "\u{fffd}");
                assert_eq!(text(rows, column, row), Some(sent.as_str()), "{column}");
            }
        }
        FieldKind::Json => {
            // Texts of half a surrogate pair are not checked.
            if let (Ok(ours), Ok(theirs)) = (
                serde_json::from_str::<serde_json::Value>(text(rows, column, row).unwrap()),
                serde_json::from_str::<serde_json::Value>(sent),
            ) {
                assert_eq!(ours, theirs, "{column}");
            }
        }
        FieldKind::Int => {
            if let Ok(sent) = serde_json::from_str::<i64>(sent) {
                let read = values.as_primitive::<Int64Type>();
                assert_eq!(
                    read.is_valid(row).then(|| read.value(row)),
                    Some(sent),
                    "{column}"
                );
            }
        }
        FieldKind::Float => {
            let is_number = sent.starts_with(|first: char| first == '-' || first.is_ascii_digit());
            if let Some(sent) = is_number
                .then(|| sent.parse::<f64>().unwrap())
                .filter(|sent| sent.is_finite())
            {
                let read = values.as_primitive::<Float64Type>();
                assert_eq!(
                    read.is_valid(row).then(|| read.value(row).to_bits()),
                    Some(sent.to_bits()),
                    "{column}"
                );
            }
        }
        FieldKind::Bool => {
            if let Ok(sent) = serde_json::from_str::<bool>(sent) {
                let read = values.as_boolean();
                assert_eq!(
                    read.is_valid(row).then(|| read.value(row)),
                    Some(sent),
                    "{column}"
                );
            }
        }
        FieldKind::Time => {}
    }
}
