//! What is said of a landed batch, and of a landed segment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use postlake_raw::SegmentKey;

/// Called after each landed segment, on the committer's task, so it must not block; a hint for the
/// loader. A panic in it stops the committer.
pub type OnLanded = Arc<dyn Fn(&SegmentKey) + Send + Sync>;

/// Called when alerts cannot be landed because the disk is full, with the bytes that they need, on a
/// blocking thread. True when room was made: the landing is then tried again at once.
pub type MakeRoom = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Proof of durability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The segment that holds the batch.
    pub key: SegmentKey,
    /// Place of the batch in the segment, from 0.
    pub batch_index: usize,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// When the body was complete.
    pub received_at: DateTime<Utc>,
}
