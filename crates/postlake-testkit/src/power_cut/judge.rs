//! The real reading code over what a power cut has left.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use postlake_raw::{ListError, RawStore, ReadError};

use super::cut::Cut;
use super::recording::{Acked, Recording};

/// What was found in the raw store after a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Batches that can be read.
    pub batches: usize,
    /// Batches that had been answered 200.
    pub acked: usize,
    /// Segments that cannot be read; nothing in them was answered 200.
    pub damaged: usize,
    /// Streams with a hole; nothing behind it was answered 200.
    pub holes: usize,
}

/// Whether the promises hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that was answered 200 is there to the byte, and nothing that was not sent.
    Kept(Found),
    /// So many batches were answered 200 and are not there.
    Lost(usize),
    /// A batch is there that nobody sent.
    Invented(Acked),
}

/// Reads the raw store of the data directory `data` (a path below the recording's home) with the real
/// code and holds what it finds against what was answered 200 before the cut.
pub async fn judge(recording: &Recording, cut: &Cut, data: &str) -> Verdict {
    let store = store_of(cut, data).await;
    let raw = RawStore::new(store);
    let mut there: HashMap<Acked, usize> = HashMap::new();
    let mut found = Found {
        acked: cut.acked.len(),
        ..Found::default()
    };
    for date in raw.dates().await.unwrap() {
        for stream in raw.streams(date).await.unwrap() {
            let segments = match raw.segments_after(date, stream, 0).await {
                Ok(segments) => segments,
                Err(ListError::Hole { .. }) => {
                    found.holes += 1;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            for key in segments {
                let segment = match raw.read(&key).await {
                    Ok(segment) => segment,
                    Err(ReadError::Damaged { .. }) => {
                        found.damaged += 1;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                for batch in segment.batches {
                    let batch = Acked {
                        batch_id: batch.envelope.batch_id,
                        sha256: batch.envelope.sha256,
                    };
                    found.batches += 1;
                    *there.entry(batch).or_default() += 1;
                }
            }
        }
    }
    compare(recording, cut, there, found)
}

fn compare(
    recording: &Recording,
    cut: &Cut,
    mut there: HashMap<Acked, usize>,
    found: Found,
) -> Verdict {
    let sent = |batch: &&Acked| !recording.asked.contains(batch);
    if let Some(invented) = there.keys().find(sent) {
        return Verdict::Invented(invented.clone());
    }
    let mut is_lost = |batch: &&Acked| match there.get_mut(*batch) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    match cut.acked.iter().filter(|batch| is_lost(batch)).count() {
        0 => Verdict::Kept(found),
        lost => Verdict::Lost(lost),
    }
}

/// The files below `data` as a store. Staging files are in no listing of a directory either.
async fn store_of(cut: &Cut, data: &str) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    for (name, bytes) in &cut.tree {
        let below = name
            .strip_prefix(data)
            .and_then(|rest| rest.strip_prefix('/'));
        if let Some(below) = below.filter(|below| !below.contains('#')) {
            let path = Path::from(below);
            store.put(&path, bytes.clone().into()).await.unwrap();
        }
    }
    Arc::new(store)
}
