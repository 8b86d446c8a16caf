//! What a raw segment says of its batches, without keeping any of their rows.

use chrono::{DateTime, Utc};
use postlake_event::decode::Decoder;
use postlake_event::schema::Table;
use postlake_raw::segment::SegmentError;
use postlake_raw::{RawStore, ReadError, SegmentKey};

use super::floors::Floors;
use crate::batch_input::batch_input;
use crate::error::LoadError;
use crate::ledger::{chain, day_of};

/// Rows of a decoder are let go when there are so many.
const MOST_ROWS: usize = 10_000;

/// What raw says of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) at: DateTime<Utc>,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) items: u64,
    /// Items that would be rows of `events`, `alerts`, `quarantine` of days that retention has let go.
    pub(super) gone: [u64; 3],
    /// True if retention has let go of its row of `batches`.
    pub(super) account_gone: bool,
}

/// A segment, read.
#[derive(Debug)]
pub(super) enum Contents {
    Batches(Vec<Received>),
    Damaged(String),
    Unread(String),
}

/// Reads a segment, compares every body with its envelope, and counts its items.
pub(super) async fn read(
    raw: RawStore,
    key: SegmentKey,
    floors: Floors,
) -> Result<Contents, LoadError> {
    match raw.read(&key).await {
        Ok(segment) => {
            let counted = tokio::task::spawn_blocking(move || count(&key, segment.batches, floors));
            match counted.await {
                Ok(counted) => counted.map(Contents::Batches),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_cancelled) => Err(LoadError::Stopped),
                },
            }
        }
        Err(ReadError::Damaged {
            key,
            source: source @ SegmentError::UnknownFormat { .. },
        }) => Err(LoadError::Newer { key, source }),
        Err(ReadError::Damaged { source, .. }) => Ok(Contents::Damaged(chain(&source))),
        Err(error @ ReadError::Cancelled { .. }) => Err(LoadError::Read(error)),
        Err(error) => Ok(Contents::Unread(chain(&error))),
    }
}

fn count(
    key: &SegmentKey,
    batches: Vec<postlake_raw::Batch>,
    floors: Floors,
) -> Result<Vec<Received>, LoadError> {
    let mut decoder = Decoder::default();
    let mut received = Vec::with_capacity(batches.len());
    let mut finished = 0;
    let stream = key.stream().to_string();
    for (index, batch) in batches.into_iter().enumerate() {
        let counts = decoder.decode(&batch_input(key, &stream, index, &batch));
        let envelope = &batch.envelope;
        let day = day_of(envelope.received_at.date_naive());
        received.push(Received {
            at: envelope.received_at,
            bytes: envelope.body_bytes,
            sha256: envelope.sha256,
            items: counts.items,
            gone: [0, 0, floors.rejects_gone(day, counts.rejects)],
            account_gone: floors.has_gone(Table::Batches, day),
        });
        if decoder.rows() >= MOST_ROWS {
            let decoded = decoder.finish().map_err(LoadError::Rows)?;
            floors.note(&decoded, received.get_mut(finished..).unwrap_or_default());
            finished = received.len();
        }
    }
    if floors.of_rows() {
        let decoded = decoder.finish().map_err(LoadError::Rows)?;
        floors.note(&decoded, received.get_mut(finished..).unwrap_or_default());
    }
    Ok(received)
}
