//! Raw segments in the object store: land, list, read. The raw store is the only truth; everything
//! else can be made again from it.
//!
//! **What it promises.** [`RawStore::land`] returns `Ok` only when the segment is durable under its
//! key with exactly the given bytes. [`segment::decode`] hands out a body only when its length and
//! SHA-256 are those of the envelope, so damage is an error and never other data. Nothing under a
//! key is ever overwritten.
//!
//! **What it deliberately does not know:** events, alerts, JSON bodies, HTTP, which backend the
//! object store is, and which number comes next (the writer of a stream counts, see
//! `postlake-receiver`).
//!
//! **Format, version 1.** `raw/<YYYY-MM-DD>/<stream>/<number, 10 digits>.seg.zst` is one zstd frame
//! (level 1, content checksum and content size present) over:
//!
//! ```text
//! {"format":"postlake-raw","version":1,"stream":"20260102T030405Z-0123456789abcdef","number":1}
//! {"source":"events","received_at":"2026-01-02T03:04:05.123456Z","batch_id":"…","headers":[["content-type","application/json"]],"body_bytes":14,"sha256":"…"}
//! [{"msys":{}}]
//! {"source":"alerts", …
//! ```
//!
//! An envelope line is followed by exactly `body_bytes` bytes, whatever they are, and a newline.
//!
//! Start with [`SegmentKey`] (names), then [`Batch`], [`segment`], [`RawStore`]; [`data_directory`] is
//! what a raw store on a disk needs besides, [`import`] lands what others have stored.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests may panic"
    )
)]
#![warn(missing_docs)]

pub mod clock;

mod key;

mod batch;
pub mod segment;

pub mod data_directory;

mod directory;
mod probe;
mod store;

mod audit;

pub use audit::{AuditEntry, MAX_ENTRIES, MAX_ENTRY_BYTES};
pub mod import;

pub use batch::{Batch, Envelope, SourceKind};
pub use directory::DurableDirectory;
pub use key::{KeyError, MergedKey, SegmentKey, SegmentNumber, StreamName};
pub use probe::SyncSpeed;
pub use store::{
    CreateOnly, LandCause, LandError, LandErrorKind, ListError, MAX_FOREIGN_NAMES,
    MAX_SEGMENTS_LISTED, MERGED_BYTES, MERGED_FROM, MERGED_SEGMENTS, MergeError, Mergeable,
    RawStore, ReadError, Retired, StoredDay, Waiting,
};
