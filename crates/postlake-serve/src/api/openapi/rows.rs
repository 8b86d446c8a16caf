//! What answers are made of. A test holds real answers against this.

use arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value, json};

use super::reference;

/// An object that has all of these and no others.
fn object(properties: impl IntoIterator<Item = (String, Value)>) -> Value {
    let properties: Map<String, Value> = properties.into_iter().collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// Columns by name: `i` a whole number, `n` a number, `s` text, `b` yes or no, `t` a time; with `?` it may
/// be null.
fn columns(columns: &[(&str, &str)]) -> Value {
    object(columns.iter().map(|(name, kind)| {
        let (kind, nullable) = match kind.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (*kind, false),
        };
        let (kind, format) = match kind {
            "i" => ("integer", Some("int64")),
            "n" => ("number", None),
            "b" => ("boolean", None),
            "t" => ("string", Some("date-time")),
            _ => ("string", None),
        };
        ((*name).to_owned(), value(kind, format, nullable))
    }))
}

fn value(kind: &str, format: Option<&str>, nullable: bool) -> Value {
    let mut value = match nullable {
        true => json!({ "type": [kind, "null"] }),
        false => json!({ "type": kind }),
    };
    if let Some(format) = format {
        set(&mut value, "format", format.into());
    }
    value
}

/// A row of a table.
pub(super) fn of_schema(schema: &Schema) -> Value {
    object(schema.fields().iter().map(|field| {
        let (kind, format) = match field.data_type() {
            DataType::Int64 => ("integer", Some("int64")),
            DataType::Float64 => ("number", None),
            DataType::Boolean => ("boolean", None),
            DataType::Date32 => ("string", Some("date")),
            DataType::Timestamp(..) => ("string", Some("date-time")),
            _ => ("string", None),
        };
        let nullable = field.is_nullable();
        (field.name().clone(), value(kind, format, nullable))
    }))
}

/// Rows with what is said about them.
pub(super) fn listing(row: Value, has_scale: bool) -> Value {
    let mut properties = json!({
        "truncated": { "type": "boolean", "description": "Whether rows were cut off." },
        "next": { "type": "string", "description": "Path of the next page; absent on the last one." },
        "versions": reference("Versions"),
        "data": { "type": "array", "items": row },
    });
    let mut required = vec!["truncated", "versions", "data"];
    if has_scale {
        set(&mut properties, "scale", json!({ "const": "0-100" }));
        required.push("scale");
    }
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

pub(super) fn versions() -> Value {
    let tables = ["events", "alerts", "quarantine", "batches"];
    let mut versions =
        object(tables.map(|table| (table.to_owned(), value("integer", Some("int64"), true))));
    let about = "The versions of the tables that the whole answer was read from.";
    set(&mut versions, "description", about.into());
    versions
}

const SCORE: [(&str, &str); 12] = [
    ("alert_id", "i?"),
    ("name", "s?"),
    ("subaccount_id", "i?"),
    ("subject", "s"),
    ("facet_name", "s?"),
    ("facet_value", "s?"),
    ("triggered_at", "t"),
    ("score", "n"),
    ("band", "s"),
    ("verdict", "s"),
    ("record_id", "s"),
    ("received_at", "t"),
];

pub(super) fn latest_scores() -> Value {
    let more = [
        ("previous_score", "n?"),
        ("previous_triggered_at", "t?"),
        ("change", "n?"),
    ];
    columns(&[&SCORE[..], &more].concat())
}

pub(super) fn score_history() -> Value {
    columns(&[&SCORE[..], &[("triggered_value", "n")]].concat())
}

pub(super) fn ledger_hour() -> Value {
    columns(&[
        ("hour", "t"),
        ("batches", "i"),
        ("bytes", "i"),
        ("items", "i"),
        ("events", "i"),
        ("alerts", "i"),
        ("duplicates", "i"),
        ("rejects", "i"),
        ("damaged_segments", "i"),
        ("unaccounted_items", "i"),
        ("events_difference", "i"),
        ("alerts_difference", "i"),
        ("quarantine_difference", "i"),
        ("balanced", "b"),
    ])
}

const EVENT_TYPES: &[(&str, &str)] = &[("event_class", "s"), ("type", "s?"), ("events", "i")];
const BOUNCE_CLASSES: &[(&str, &str)] = &[
    ("bounce_class", "i?"),
    ("class_name", "s"),
    ("category", "s"),
    ("bounces", "i"),
];
const BOUNCE_REASONS: &[(&str, &str)] = &[
    ("reason", "s?"),
    ("bounce_class", "i?"),
    ("class_name", "s"),
    ("category", "s"),
    ("bounces", "i"),
    ("subaccounts", "i"),
];
const SUBACCOUNTS: &[(&str, &str)] = &[
    ("subaccount_id", "i?"),
    ("subject", "s"),
    ("events", "i"),
    ("injections", "i"),
    ("deliveries", "i"),
    ("bounces", "i"),
    ("complaints", "i"),
    ("delivered_rate", "n?"),
    ("bounced_rate", "n?"),
];
const QUARANTINE: &[(&str, &str)] = &[
    ("code", "s"),
    ("source", "s"),
    ("items", "i"),
    ("first_received_at", "t"),
    ("last_received_at", "t"),
    ("last_message", "s"),
];

/// Any of the tables of the summary.
pub(super) fn summary_table() -> Value {
    let tables = [
        EVENT_TYPES,
        BOUNCE_CLASSES,
        BOUNCE_REASONS,
        SUBACCOUNTS,
        QUARANTINE,
    ];
    let row = json!({ "anyOf": tables.map(columns) });
    listing(row, false)
}

pub(super) fn summary() -> Value {
    let list = |row: &[(&str, &str)]| json!({ "type": "array", "items": columns(row) });
    let parts = [
        ("versions", reference("Versions")),
        (
            "totals",
            columns(&[
                ("batches", "i"),
                ("bytes", "i"),
                ("items", "i"),
                ("events", "i"),
                ("alerts", "i"),
                ("duplicates", "i"),
                ("rejects", "i"),
            ]),
        ),
        (
            "rows",
            columns(&[
                ("events", "i"),
                ("alerts", "i"),
                ("quarantine", "i"),
                ("damaged_segments", "i"),
            ]),
        ),
        (
            "books",
            columns(&[
                ("balanced", "b"),
                ("unaccounted_items", "i"),
                ("events_difference", "i"),
                ("alerts_difference", "i"),
                ("quarantine_difference", "i"),
            ]),
        ),
        (
            "newest",
            columns(&[
                ("received_at", "t?"),
                ("loaded_at", "t?"),
                ("load_lag_ms", "i?"),
            ]),
        ),
        ("events_by_type", list(EVENT_TYPES)),
        ("bounces_by_class", list(BOUNCE_CLASSES)),
        ("bounce_reasons", list(BOUNCE_REASONS)),
        ("subaccounts", list(SUBACCOUNTS)),
        ("quarantine", list(QUARANTINE)),
        (
            "arrivals",
            list(&[("minute", "t"), ("batches", "i"), ("items", "i")]),
        ),
    ];
    object(parts.map(|(name, part)| (name.to_owned(), part)))
}

pub(super) fn question() -> Value {
    json!({
        "type": "object",
        "properties": {
            "sql": { "type": "string" },
            "params": {
                "type": "array",
                "description": "Values of $1, $2, ...",
                "items": { "type": ["string", "number", "boolean", "null"] },
            },
        },
        "required": ["sql"],
        "additionalProperties": false,
    })
}

pub(super) fn query_answer() -> Value {
    json!({
        "type": "object",
        "properties": {
            "columns": { "type": "array", "items": columns(&[("name", "s"), ("type", "s")]) },
            "rows": { "type": "array", "items": { "type": "array" } },
            "row_count": { "type": "integer" },
            "truncated": { "type": "boolean" },
            "elapsed_ms": { "type": "integer" },
            "versions": reference("Versions"),
            "notices": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["columns", "rows", "row_count", "truncated", "elapsed_ms", "versions"],
        "additionalProperties": false,
    })
}

pub(super) fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. `type` is stable, the words may change.",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "invalid_parameters": {
                "type": "array", "items": columns(&[("name", "s"), ("reason", "s")]),
            },
        },
        "required": ["type", "title", "status"],
        "additionalProperties": false,
    })
}
