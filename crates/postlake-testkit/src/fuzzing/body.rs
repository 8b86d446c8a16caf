//! A body, decoded as the loader does.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::DateTime;
use postlake_event::decode::{BatchInput, Counts, Decoded, Decoder};

pub(super) fn input<'a>(source: &'static str, body: &'a [u8]) -> BatchInput<'a> {
    BatchInput {
        source,
        received_at: DateTime::UNIX_EPOCH,
        batch_id: None,
        content_encoding: None,
        body,
        stream: "s",
        segment: 1,
        batch_index: 0,
    }
}

/// The accounts and the rows of a body; the accounts are those of the rows.
pub(super) fn decoded(source: &'static str, body: &[u8]) -> (Counts, Decoded) {
    let mut decoder = Decoder::new();
    let counts = decoder.decode(&input(source, body));
    let decoded = decoder.finish().unwrap();
    check_counts(&counts, &decoded);
    (counts, decoded)
}

pub(super) fn check_counts(counts: &Counts, decoded: &Decoded) {
    let rows = [&decoded.events, &decoded.alerts, &decoded.quarantine].map(RecordBatch::num_rows);
    let counted = [counts.events, counts.alerts, counts.rejects];
    assert_eq!(rows.map(|rows| rows as u64), counted);
    assert_eq!(counts.items, counted.iter().sum::<u64>());
    assert_eq!(decoded.event_identities.len(), decoded.events.num_rows());
    assert_eq!(decoded.alert_identities.len(), decoded.alerts.num_rows());
}

pub(super) fn text<'a>(rows: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row))
}

pub(super) fn int(rows: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = rows
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// The codes of the rejects.
pub(super) fn codes(decoded: &Decoded) -> Vec<&str> {
    let rows = 0..decoded.quarantine.num_rows();
    rows.filter_map(|row| text(&decoded.quarantine, "code", row))
        .collect()
}
