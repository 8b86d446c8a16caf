//! The real reading code over what a power cut has left.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use postlake_raw::{ListError, RawStore, SegmentKey, segment};

use super::cut::Cut;
use super::lake;
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
    /// The log of a table would have to be mended by hand.
    Broken(String),
}

/// Batches of a segment; none if it is damaged.
type Content = Option<Arc<Vec<Acked>>>;

/// Variants of one segment that are remembered: mostly there is the whole one alone.
const REMEMBERED: usize = 4;

/// Judges cuts of one recording. Equal bytes under equal names are decoded once.
#[derive(Debug)]
pub struct Judge<'a> {
    recording: &'a Recording,
    decoded: HashMap<SegmentKey, Vec<(Bytes, Content)>>,
}

impl<'a> Judge<'a> {
    /// A judge of that recording.
    pub fn of(recording: &'a Recording) -> Judge<'a> {
        Judge {
            recording,
            decoded: HashMap::new(),
        }
    }

    /// Reads the raw store of the data directory `data` (a path below the recording's home) with the
    /// real code and holds what it finds against what was answered 200 before the cut.
    pub async fn judge(&mut self, cut: &Cut, data: &str) -> Verdict {
        if let Some(fault) = lake::fault(cut, data) {
            return Verdict::Broken(fault);
        }
        let raw = RawStore::new(store_of(cut, data).await);
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
                    let bytes = raw.read_bytes(&key).await.unwrap();
                    let Some(batches) = self.decode(&key, bytes) else {
                        found.damaged += 1;
                        continue;
                    };
                    found.batches += batches.len();
                    for batch in batches.iter() {
                        *there.entry(batch.clone()).or_default() += 1;
                    }
                }
            }
        }
        compare(self.recording, cut, there, found)
    }

    fn decode(&mut self, key: &SegmentKey, bytes: Bytes) -> Content {
        let known = self.decoded.entry(*key).or_default();
        if let Some((_, content)) = known.iter().find(|(known, _)| *known == bytes) {
            return content.clone();
        }
        let content = segment::decode(Some(key), &bytes).ok().map(|segment| {
            let acked = segment.batches.into_iter().map(|batch| Acked {
                batch_id: batch.envelope.batch_id,
                sha256: batch.envelope.sha256,
            });
            Arc::new(acked.collect())
        });
        if known.len() < REMEMBERED {
            known.push((bytes, content.clone()));
        }
        content
    }
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
        let raw = below.filter(|below| below.starts_with("raw/") && !below.contains('#'));
        if let Some(below) = raw {
            let path = Path::from(below);
            store.put(&path, bytes.clone().into()).await.unwrap();
        }
    }
    Arc::new(store)
}
