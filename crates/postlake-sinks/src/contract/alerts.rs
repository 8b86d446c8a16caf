//! Alert entries, as they come from the decoder.

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use postlake_event::decode::{BatchInput, Decoder};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// One element of an alert webhook's body.
pub(crate) type Entry = Value;

/// The time of the one real capture there is.
pub(crate) fn first_time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2021, 3, 23, 8, 31, 28).unwrap() + TimeDelta::milliseconds(999)
}

/// A Health Score.
pub(crate) fn score(filters: &Value, value: f64, at: DateTime<Utc>) -> Entry {
    json!({
        "alert_id": 116_579,
        "name": "DS HS Alert",
        "metric": "health_score",
        "evaluator": { "operator": "gt", "source": "raw", "value": 1 },
        "triggered_value": value,
        "triggered_at": at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "filters": filters,
    })
}

/// Entries that differ from each other, of few subjects, in no order of time.
pub(crate) fn some(dice: &mut StdRng, count: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < count {
        let filters = match dice.random_range(0..4) {
            0 => json!({}),
            1 => json!({ "subaccount_id": 0 }),
            2 => json!({ "subaccount_id": dice.random_range(1..4) }),
            _ => json!({ "subaccount_id": 5, "ip_pool": dice.random_range(0..2).to_string() }),
        };
        let at = first_time() + TimeDelta::hours(dice.random_range(0..20));
        let mut entry = score(&filters, dice.random_range(0.0..100.0), at);
        // The first is one in any case: a sink for scores has something to write.
        if dice.random_range(0..10) == 0 && !entries.is_empty() {
            entry["metric"] = json!("hard_bounce_rate");
        }
        let same = |other: &Entry| {
            ["metric", "filters", "triggered_at"]
                .iter()
                .all(|key| other[*key] == entry[*key])
        };
        if !entries.iter().any(same) {
            entries.push(entry);
        }
    }
    entries
}

/// Entries that any destination takes, and none takes for granted.
pub(crate) fn odd() -> Vec<Entry> {
    let with = |subaccount: i64, changes: Value| {
        let mut entry = score(&json!({ "subaccount_id": subaccount }), 50.0, first_time());
        for (key, value) in changes.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    };
    vec![
        with(9001, json!({ "name": "é".repeat(300_000) })),
        with(9002, json!({ "triggered_value": 1e300 })),
        with(9003, json!({ "triggered_value": 1e-300 })),
        with(9004, json!({ "triggered_value": null })),
        with(9005, json!({ "triggered_value": 78.272_509_570_000_01 })),
        with(9006, json!({ "name": "" })),
        with(
            9007,
            json!({ "name": "a/b\n\"c\" \u{0} 🦀", "alert_id": null }),
        ),
        with(
            9008,
            json!({ "filters": { "subaccount_id": 9008, "ip_pool": "../../x" } }),
        ),
        with(i64::MAX, json!({ "alert_id": i64::MAX })),
    ]
}

/// The rows of a body with these entries.
pub(crate) fn rows(entries: &[Entry]) -> RecordBatch {
    let body = serde_json::to_vec(entries).unwrap();
    let mut decoder = Decoder::new();
    decoder.decode(&BatchInput {
        source: "alerts",
        received_at: first_time(),
        batch_id: None,
        content_encoding: None,
        body: &body,
        stream: "s",
        segment: 1,
        batch_index: 0,
    });
    let rows = decoder.finish().unwrap().alerts;
    assert_eq!(rows.num_rows(), entries.len());
    rows
}
