//! What a raw segment says of its batches, without keeping any of their rows.

use chrono::{DateTime, Utc};
use postlake_event::decode::Decoder;
use postlake_raw::segment::SegmentError;
use postlake_raw::{RawStore, ReadError, SegmentKey};

use crate::batch_input::batch_input;
use crate::error::LoadError;
use crate::ledger::chain;

/// Rows of a decoder are let go when there are so many.
const MOST_ROWS: usize = 10_000;

/// What raw says of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) at: DateTime<Utc>,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) items: u64,
}

/// A segment, read.
#[derive(Debug)]
pub(super) enum Contents {
    Batches(Vec<Received>),
    Damaged(String),
    Unread(String),
}

/// Reads a segment, compares every body with its envelope, and counts its items.
pub(super) async fn read(raw: RawStore, key: SegmentKey) -> Result<Contents, LoadError> {
    match raw.read(&key).await {
        Ok(segment) => {
            let counted = tokio::task::spawn_blocking(move || count(&key, segment.batches));
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

fn count(key: &SegmentKey, batches: Vec<postlake_raw::Batch>) -> Result<Vec<Received>, LoadError> {
    let mut decoder = Decoder::default();
    let mut received = Vec::with_capacity(batches.len());
    let stream = key.stream().to_string();
    for (index, batch) in batches.into_iter().enumerate() {
        let counts = decoder.decode(&batch_input(key, &stream, index, &batch));
        if decoder.rows() >= MOST_ROWS {
            decoder.finish().map_err(LoadError::Rows)?;
        }
        let envelope = &batch.envelope;
        received.push(Received {
            at: envelope.received_at,
            bytes: envelope.body_bytes,
            sha256: envelope.sha256,
            items: counts.items,
        });
    }
    Ok(received)
}
