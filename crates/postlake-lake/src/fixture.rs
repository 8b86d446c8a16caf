//! Rows for the tests of this crate.

use arrow::array::RecordBatch;
use chrono::{TimeZone, Utc};
use postlake_event::decode::{BatchInput, Decoder};

/// The rows of `events` that a batch of these items makes.
pub(crate) fn decoded(items: &[String]) -> RecordBatch {
    let body = format!("[{}]", items.join(","));
    let mut decoder = Decoder::new();
    decoder.decode(&BatchInput {
        source: "events",
        received_at: Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap(),
        batch_id: None,
        content_encoding: None,
        body: body.as_bytes(),
        stream: "s",
        segment: 1,
        batch_index: 0,
    });
    decoder.finish().unwrap().events
}
