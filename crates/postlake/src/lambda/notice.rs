//! Notifications of the bucket, in messages of a queue or by themselves.

use percent_encoding::percent_decode_str;
use postlake_raw::SegmentKey;
use serde::Deserialize;
use serde_json::Value;

/// An event with what it holds, message by message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    pub(super) messages: Vec<Message>,
    /// From a queue: then an answer can name the messages that have to come again.
    pub(super) from_queue: bool,
}

/// A message of the queue, or the whole event where there is no queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Empty without a queue.
    pub(super) id: String,
    /// Names of raw segments in it, every record's.
    pub(super) segments: Vec<String>,
    /// Records that speak of something else, and messages that no bucket sends.
    pub(super) passed_over: usize,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records", default)]
    records: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueRecord {
    message_id: String,
    body: String,
}

/// Reads an event. Nothing in it is an error: what is not a notification of ours is counted.
pub(super) fn read(event: &[u8], bucket: &str, prefix: &str) -> Notices {
    let Ok(event) = serde_json::from_slice::<Event>(event) else {
        return Notices::default();
    };
    let is_of_queue =
        |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    if !event.records.iter().any(is_of_queue) {
        let message = message(String::new(), &event.records, bucket, prefix);
        return Notices {
            messages: vec![message],
            from_queue: false,
        };
    }
    let read = |record: Value| {
        let record: QueueRecord = serde_json::from_value(record).ok()?;
        let body = records_of(&record.body);
        let mut message = message(record.message_id, &body, bucket, prefix);
        // A test message of the bucket, or no message of a bucket at all.
        message.passed_over += usize::from(body.is_empty());
        Some(message)
    };
    Notices {
        messages: event.records.into_iter().filter_map(read).collect(),
        from_queue: true,
    }
}

/// The records in the body of a message, also where a topic stands between bucket and queue.
fn records_of(body: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let inner = value.get("Message").and_then(Value::as_str);
    let value = match inner {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => value,
    };
    match value.get("Records") {
        Some(Value::Array(records)) => records.clone(),
        _ => Vec::new(),
    }
}

fn message(id: String, records: &[Value], bucket: &str, prefix: &str) -> Message {
    let segments: Vec<_> = records
        .iter()
        .filter_map(|record| segment(record, bucket, prefix))
        .collect();
    Message {
        id,
        passed_over: records.len() - segments.len(),
        segments,
    }
}

/// The name of the raw segment that a record speaks of, without the prefix of the data.
fn segment(record: &Value, bucket: &str, prefix: &str) -> Option<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    if text("/s3/bucket/name") != Some(bucket) {
        return None;
    }
    let key = decoded(text("/s3/object/key")?)?;
    let name = match prefix {
        "" => key.as_str(),
        prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    SegmentKey::parse(name).ok()?;
    Some(name.to_owned())
}

/// Keys come encoded as in a form: `+` is a space.
fn decoded(key: &str) -> Option<String> {
    let spaces = key.replace('+', " ");
    let text = percent_decode_str(&spaces).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests;
