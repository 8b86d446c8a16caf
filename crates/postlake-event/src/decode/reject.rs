//! Items that could not be decoded: why, where, and what they begin with.

use std::error::Error;

use arrow::array::{
    ArrayRef, Date32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::columns::{LineageBuilders, batch};
use super::{BatchInput, Counts, MAX_REJECTS};
use crate::body::BodyError;
use crate::schema::Table;
use crate::split::{Item, MAX_DEPTH, MAX_TOKENS};
use crate::time::day_of;

/// Longest excerpt that is kept of a reject; the raw store holds all of it.
const EXCERPT_BYTES: usize = 256;

/// Why an item was rejected; the names are part of the outside contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    /// Not well-formed JSON.
    Json,
    /// JSON, but not what SparkPost wraps events and alerts in.
    Envelope,
    /// Bytes that are not UTF-8, or half of a surrogate pair.
    Utf8,
    /// Nested deeper than 127 brackets.
    Depth,
    /// Made up of more quotes, brackets, colons and commas than an item is read with.
    Size,
    /// A compressed body that cannot be opened or grows beyond the caps.
    Encoding,
}

impl RejectCode {
    /// The code's name in the `quarantine` table.
    pub fn name(self) -> &'static str {
        match self {
            RejectCode::Json => "json",
            RejectCode::Envelope => "envelope",
            RejectCode::Utf8 => "utf8",
            RejectCode::Depth => "depth",
            RejectCode::Size => "size",
            RejectCode::Encoding => "encoding",
        }
    }
}

/// A reject before it becomes a row.
#[derive(Debug)]
pub(super) struct Reject {
    pub(super) code: RejectCode,
    pub(super) message: String,
    /// Byte offset in the body where the fault was seen.
    pub(super) offset: usize,
    pub(super) bytes: usize,
    pub(super) excerpt: String,
}

/// A fault found while reading an item, not yet tied to its place in the body.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: RejectCode,
    pub(super) message: String,
    /// Byte offset in the item.
    pub(super) offset: usize,
}

impl Fault {
    pub(super) fn new(code: RejectCode, message: impl Into<String>) -> Fault {
        Fault {
            code,
            message: message.into(),
            offset: 0,
        }
    }

    pub(super) fn at(self, item: &Item<'_>) -> Reject {
        Reject {
            code: self.code,
            message: self.message,
            offset: item.offset + self.offset,
            bytes: item.bytes.len(),
            excerpt: excerpt(item.bytes, self.offset),
        }
    }
}

impl Reject {
    pub(super) fn too_deep(item: &Item<'_>) -> Reject {
        let message = format!(
            "item nests {} brackets deep, more than {MAX_DEPTH}",
            item.depth
        );
        Fault::new(RejectCode::Depth, message).at(item)
    }

    pub(super) fn too_large(item: &Item<'_>) -> Reject {
        let message =
            format!("item holds more than {MAX_TOKENS} quotes, brackets, colons and commas");
        Fault::new(RejectCode::Size, message).at(item)
    }

    pub(super) fn not_utf8(item: &Item<'_>, valid_up_to: usize) -> Reject {
        Fault {
            code: RejectCode::Utf8,
            message: "item is not valid utf-8".to_owned(),
            offset: valid_up_to,
        }
        .at(item)
    }

    pub(super) fn of_non_array(item: &Item<'_>) -> Reject {
        if let Err(error) = std::str::from_utf8(item.bytes) {
            return Reject::not_utf8(item, error.valid_up_to());
        }
        let fault = match serde_json::from_slice::<serde::de::IgnoredAny>(item.bytes) {
            Ok(_) => Fault::new(RejectCode::Envelope, "body is json but not an array"),
            Err(error) if item.bytes.starts_with(b"\xef\xbb\xbf") => Fault::new(
                RejectCode::Utf8,
                format!("body begins with a byte order mark: {error}"),
            ),
            Err(_) => Fault::new(RejectCode::Json, "body is not json"),
        };
        fault.at(item)
    }

    /// Everything from `item` to the end of a body that holds too many faulty items.
    pub(super) fn flood(item: &Item<'_>, body_bytes: usize) -> Reject {
        let message = format!(
            "body holds more than {MAX_REJECTS} faulty items; the rest of it was not looked at"
        );
        let mut reject = Fault::new(RejectCode::Envelope, message).at(item);
        reject.bytes = body_bytes.saturating_sub(item.offset);
        reject
    }

    pub(super) fn unclosed(body: &[u8]) -> Reject {
        Reject {
            code: RejectCode::Json,
            message: "body ends before its array is closed".to_owned(),
            offset: body.len(),
            bytes: 0,
            excerpt: excerpt(body, body.len()),
        }
    }

    pub(super) fn of_body(error: &BodyError, body: &[u8]) -> Reject {
        let message = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Reject {
            code: RejectCode::Encoding,
            message,
            offset: 0,
            bytes: body.len(),
            excerpt: excerpt(body, 0),
        }
    }
}

/// Up to [`EXCERPT_BYTES`] around the fault, as text.
fn excerpt(bytes: &[u8], fault: usize) -> String {
    let start = fault.saturating_sub(EXCERPT_BYTES / 2).min(bytes.len());
    let end = (start + EXCERPT_BYTES).min(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(start..end).unwrap_or_default());
    text.replace('\0', "\u{fffd}")
}

/// Builders of the `quarantine` table.
#[derive(Debug, Default)]
pub(super) struct RejectRows {
    received_date: Date32Builder,
    received_at: TimestampMicrosecondBuilder,
    source: StringBuilder,
    batch_id: StringBuilder,
    code: StringBuilder,
    message: StringBuilder,
    byte_offset: Int64Builder,
    item_bytes: Int64Builder,
    excerpt: StringBuilder,
    lineage: LineageBuilders,
    item_index: Int64Builder,
    batches: Vec<usize>,
}

impl RejectRows {
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn push(
        &mut self,
        input: &BatchInput<'_>,
        item_index: Option<i64>,
        batch: usize,
        reject: &Reject,
    ) {
        let received_at = input.received_at.timestamp_micros();
        self.received_date.append_value(day_of(received_at));
        self.received_at.append_value(received_at);
        self.source.append_value(input.source);
        self.batch_id.append_option(input.batch_id);
        self.code.append_value(reject.code.name());
        self.message.append_value(&reject.message);
        self.byte_offset
            .append_value(i64::try_from(reject.offset).unwrap_or(i64::MAX));
        self.item_bytes
            .append_value(i64::try_from(reject.bytes).unwrap_or(i64::MAX));
        self.excerpt.append_value(&reject.excerpt);
        self.lineage.push(input);
        self.item_index.append_option(item_index);
        self.batches.push(batch);
    }

    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<usize>), ArrowError> {
        let received_at = self.received_at.finish().with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            std::sync::Arc::new(self.received_date.finish()),
            std::sync::Arc::new(received_at),
            std::sync::Arc::new(self.source.finish()),
            std::sync::Arc::new(self.batch_id.finish()),
            std::sync::Arc::new(self.code.finish()),
            std::sync::Arc::new(self.message.finish()),
            std::sync::Arc::new(self.byte_offset.finish()),
            std::sync::Arc::new(self.item_bytes.finish()),
            std::sync::Arc::new(self.excerpt.finish()),
        ];
        columns.extend(self.lineage.finish());
        columns.push(std::sync::Arc::new(self.item_index.finish()));
        let rows = batch(Table::Quarantine, columns)?;
        Ok((rows, std::mem::take(&mut self.batches)))
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.items += other.items;
        self.events += other.events;
        self.alerts += other.alerts;
        self.rejects += other.rejects;
        self.pings += other.pings;
    }
}
