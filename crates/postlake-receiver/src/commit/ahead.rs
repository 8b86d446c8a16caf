//! A group that is being encoded, off the async threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use postlake_raw::segment::{self, SegmentError};
use postlake_raw::{Batch, SegmentKey};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::lanes::Group;

/// A group on its way to being a segment.
#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) key: SegmentKey,
    pub(super) batches: usize,
    pub(super) began: Instant,
    /// Of the whole commit.
    pub(super) span: Span,
    task: JoinHandle<(Encoded, Group)>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Encoded {
    Bytes(Bytes),
    Unfit(SegmentError),
    Panicked,
}

impl Encoding {
    /// Begins at once, on a thread for such work.
    pub(super) fn start(key: SegmentKey, group: Group) -> Self {
        let span = info_span!(
            parent: None,
            "commit",
            otel.joins = true,
            otel.discard = Empty,
            postlake.segment.key = %key,
            postlake.batches = group.batches.len(),
            postlake.body_bytes = group.body_bytes(),
            error.type = Empty,
        );
        Self {
            key,
            span: group.joined(span),
            batches: group.batches.len(),
            began: Instant::now(),
            task: tokio::task::spawn_blocking(move || (encode(&key, &group.batches), group)),
        }
    }

    /// None when the runtime ends.
    pub(super) async fn finish(self) -> Option<(Encoded, Group)> {
        self.task.await.ok()
    }
}

fn encode(key: &SegmentKey, batches: &[Batch]) -> Encoded {
    // The batches are only read; a panic leaves them whole.
    match catch_unwind(AssertUnwindSafe(|| segment::encode(key, batches))) {
        Ok(Ok(bytes)) => Encoded::Bytes(bytes),
        Ok(Err(cause)) => Encoded::Unfit(cause),
        Err(_panic) => Encoded::Panicked,
    }
}
