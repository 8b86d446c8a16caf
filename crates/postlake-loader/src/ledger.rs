//! The rows of `batches`: the accounts of each received batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use chrono::{DateTime, NaiveDate, Utc};
use postlake_event::schema::Table;
use postlake_raw::{Envelope, ReadError, SegmentKey};

use crate::error::LoadError;
use crate::positions::{Tables, number_of};
use crate::settle::BatchPlace;

/// What became of the items of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) items: u64,
    pub(crate) events: u64,
    pub(crate) alerts: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejects: u64,
    /// True if retention has let go of the day of some of the duplicates.
    pub(crate) expired: bool,
}

/// Builders of the `batches` table.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    received_date: Date32Builder,
    received_at: TimestampMicrosecondBuilder,
    loaded_at: TimestampMicrosecondBuilder,
    source: StringBuilder,
    batch_id: StringBuilder,
    sha256: StringBuilder,
    bytes: Int64Builder,
    counts: [Int64Builder; 5],
    flags: StringBuilder,
    stream: StringBuilder,
    segment: Int64Builder,
    batch_index: Int64Builder,
}

impl Ledger {
    pub(crate) fn push(
        &mut self,
        envelope: &Envelope,
        place: &BatchPlace,
        account: &Account,
        loaded_at: DateTime<Utc>,
        flags: [Option<&str>; 2],
    ) {
        assert_eq!(
            account.items,
            account.events + account.alerts + account.duplicates + account.rejects,
            "the accounts of a batch balance"
        );
        self.received_date
            .append_value(day_of(envelope.received_at.date_naive()));
        self.received_at
            .append_value(envelope.received_at.timestamp_micros());
        self.loaded_at.append_value(loaded_at.timestamp_micros());
        self.source.append_value(envelope.source.as_str());
        self.batch_id.append_option(envelope.batch_id.as_deref());
        self.sha256.append_value(hex::encode(envelope.sha256));
        self.bytes.append_value(signed(envelope.body_bytes));
        let counts = [
            account.items,
            account.events,
            account.alerts,
            account.duplicates,
            account.rejects,
        ];
        for (builder, count) in self.counts.iter_mut().zip(counts) {
            builder.append_value(signed(count));
        }
        let flags: Vec<&str> = flags.into_iter().flatten().collect();
        let flags = flags.join(",");
        self.flags
            .append_option(Some(flags).filter(|flags| !flags.is_empty()));
        self.stream.append_value(place.segment.stream().to_string());
        self.segment.append_value(number_of(&place.segment));
        self.batch_index.append_value(place.batch_index);
    }

    pub(crate) fn finish(mut self) -> Result<RecordBatch, LoadError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.received_date.finish()),
            Arc::new(self.received_at.finish().with_timezone("UTC")),
            Arc::new(self.loaded_at.finish().with_timezone("UTC")),
            Arc::new(self.source.finish()),
            Arc::new(self.batch_id.finish()),
            Arc::new(self.sha256.finish()),
            Arc::new(self.bytes.finish()),
        ];
        for builder in &mut self.counts {
            columns.push(Arc::new(builder.finish()));
        }
        columns.push(Arc::new(self.flags.finish()));
        columns.push(Arc::new(self.stream.finish()));
        columns.push(Arc::new(self.segment.finish()));
        columns.push(Arc::new(self.batch_index.finish()));
        RecordBatch::try_new(Table::Batches.schema(), columns).map_err(LoadError::Rows)
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A day, counted from the epoch.
pub(crate) fn day_of(date: NaiveDate) -> i32 {
    let days = (date - DateTime::UNIX_EPOCH.date_naive()).num_days();
    i32::try_from(days).unwrap_or(0)
}

/// One quarantine row for each segment that could not be read and has none yet: the whole object
/// waits for a person.
pub(crate) fn damaged_rows(
    tables: &Tables,
    damaged: &[(SegmentKey, ReadError)],
) -> Result<RecordBatch, LoadError> {
    let damaged = damaged
        .iter()
        .filter(|(key, _)| !tables.holds(Table::Quarantine, key));
    let mut received_date = Date32Builder::new();
    let mut received_at = TimestampMicrosecondBuilder::new();
    let mut texts: [StringBuilder; 6] = Default::default();
    let mut segment = Int64Builder::new();
    let mut nulls = Int64Builder::new();
    let mut batch_index = Int64Builder::new();
    let [source, batch_id, code, message, excerpt, stream] = &mut texts;
    for (key, error) in damaged {
        let started_at = key.stream().started_at();
        received_date.append_value(day_of(started_at.date_naive()));
        received_at.append_value(started_at.timestamp_micros());
        source.append_value("segment");
        batch_id.append_null();
        code.append_value("segment");
        message.append_value(format!("{}: {}", key.path(), chain(error)));
        excerpt.append_null();
        stream.append_value(key.stream().to_string());
        segment.append_value(number_of(key));
        nulls.append_null();
        batch_index.append_value(-1);
    }
    let nulls: ArrayRef = Arc::new(nulls.finish());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(received_date.finish()),
        Arc::new(received_at.finish().with_timezone("UTC")),
        Arc::new(source.finish()),
        Arc::new(batch_id.finish()),
        Arc::new(code.finish()),
        Arc::new(message.finish()),
        Arc::clone(&nulls),
        Arc::clone(&nulls),
        Arc::new(excerpt.finish()),
        Arc::new(stream.finish()),
        Arc::new(segment.finish()),
        Arc::new(batch_index.finish()),
        nulls,
    ];
    RecordBatch::try_new(Table::Quarantine.schema(), columns).map_err(LoadError::Rows)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
