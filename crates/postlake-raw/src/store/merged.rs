//! Segments of past days merged into large objects: the same bytes, one frame after the other.
//!
//! The large object is written first, under a name that nothing has, and read back; then the small ones go,
//! each when its bytes were found in the large one. Whoever reads a segment looks for its own object
//! first and then for one that holds it, so that both may be there, in whatever order a reader meets them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt as _};

use super::{LandError, LandErrorKind, ListError, RawStore, ReadError, unavailable, unread};
use crate::key::{self, MergedKey, SegmentKey, SegmentNumbers, StreamName};
use crate::segment::merged::frames;
use crate::segment::{self, MAX_OBJECT_BYTES};

/// Bytes of a merged object, unless a single segment has more.
pub const MERGED_BYTES: u64 = 32 << 20;
/// Most segments in a merged object: listings look so far back.
pub const MERGED_SEGMENTS: usize = key::MOST_SEGMENTS as usize;

/// A stream is merged when it has so many objects that can be.
pub const MERGED_FROM: usize = 8;

/// The merged object that was read last.
#[derive(Debug)]
struct Held {
    key: MergedKey,
    object: Bytes,
    frames: Vec<Range<usize>>,
}

/// What is kept of merged objects between two reads: one of them.
#[derive(Debug, Default)]
pub(super) struct LastMerged(Mutex<Option<Held>>);

impl LastMerged {
    fn get(&self, wanted: &SegmentKey) -> Option<Bytes> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()?.segment(wanted)
    }

    fn hold(&self, held: Held) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

impl Held {
    fn segment(&self, wanted: &SegmentKey) -> Option<Bytes> {
        if !self.key.holds(wanted) {
            return None;
        }
        let place = wanted.number().get() - self.key.first().get();
        let range = self.frames.get(usize::try_from(place).ok()?)?;
        Some(self.object.slice(range.clone()))
    }
}

/// Objects of a stream that may become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mergeable {
    /// What it would be called.
    pub key: MergedKey,
    /// The bytes of the small objects.
    pub bytes: u64,
}

/// Why objects were not merged. What there was is there.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A segment cannot be read, or not as it should be.
    #[error("read a segment that is to be merged")]
    Read(#[source] ReadError),
    /// The merged object was not landed.
    #[error("land merged segments")]
    Land(#[source] LandError),
    /// The merged object is not what was put, or a small one not what it holds.
    #[error("{0} does not hold its segments as they are")]
    Differs(MergedKey),
    /// Small objects cannot be deleted.
    #[error("delete segments that were merged")]
    Delete(#[source] ListError),
}

impl RawStore {
    /// What the objects of a stream hold, and their bytes, in the order of numbers.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub(crate) async fn objects_of_stream(
        &self,
        stream: StreamName,
    ) -> Result<Vec<(SegmentNumbers, u64)>, ListError> {
        let prefix = key::stream_prefix(stream);
        let mut objects = self.store.list(Some(&prefix));
        let mut found = Vec::new();
        while let Some(object) = objects.try_next().await.map_err(unavailable(&prefix))? {
            let numbers = SegmentNumbers::of(object.location.as_ref());
            found.extend(numbers.map(|numbers| (numbers, object.size)));
        }
        found.sort_unstable_by_key(|(numbers, _)| (numbers.first(), numbers.last()));
        Ok(found)
    }

    /// Small objects of a stream, up to the number `until`, that can be merged; and merged ones whose
    /// small objects are still there.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn mergeable(
        &self,
        stream: StreamName,
        until: u64,
    ) -> Result<Vec<Mergeable>, ListError> {
        let objects = self.objects_of_stream(stream).await?;
        let (mut small, mut merged) = (Vec::new(), Vec::new());
        for (numbers, bytes) in objects {
            match numbers {
                SegmentNumbers::One(key) if key.number().get() <= until => small.push((key, bytes)),
                SegmentNumbers::One(_) => {}
                SegmentNumbers::Merged(key) => merged.push((key, 0)),
            }
        }
        // What a merge that was broken off has left.
        let mut left = Vec::new();
        for (key, bytes) in &mut merged {
            small.retain(|(one, size)| {
                let held = key.holds(one);
                *bytes += if held { *size } else { 0 };
                !held
            });
            if *bytes > 0 {
                left.push(Mergeable {
                    key: *key,
                    bytes: *bytes,
                });
            }
        }
        if small.len() >= MERGED_FROM {
            left.extend(runs(stream, &small));
        }
        Ok(left)
    }

    /// Makes one object of small ones. On `Ok` it is durable and holds their bytes, and they are gone. It
    /// may be broken off anywhere and called again.
    ///
    /// # Errors
    /// When a segment cannot be read as it should be, or the store refuses. Every segment can be read as
    /// before.
    pub async fn merge(&self, mergeable: &Mergeable) -> Result<(), MergeError> {
        let key = mergeable.key;
        let path = key.path();
        let there = self.head(&path).await.map_err(|source| {
            MergeError::Read(ReadError::Unavailable {
                key: SegmentKey::new(key.stream(), key.first()),
                source,
            })
        })?;
        if there {
            self.put_again(&key).await?;
        } else {
            let object = self.joined(&key).await?;
            match self.create(&path, object.clone()).await {
                Ok(()) => {}
                Err(error @ object_store::Error::AlreadyExists { .. }) => {
                    self.compare(&path, &object, error)
                        .await
                        .map_err(MergeError::Land)?;
                    self.put_again(&key).await?;
                }
                Err(error) => {
                    let error = self.explain(&path, error).await;
                    let open = self.reading_proves && error.kind == LandErrorKind::Unknown;
                    if !(open && self.stands(&path, &object).await) {
                        return Err(MergeError::Land(error));
                    }
                }
            }
        }
        self.sweep(&key).await
    }

    /// Makes an object durable that somebody else has put: who did so may have been killed before its name was, and
    /// on a directory finding it proves nothing. The bytes are those that stand there.
    async fn put_again(&self, key: &MergedKey) -> Result<(), MergeError> {
        if self.reading_proves {
            return Ok(());
        }
        let first = SegmentKey::new(key.stream(), key.first());
        let held = self.read_merged(key, &first).await;
        let payload = held.map_err(MergeError::Read)?.object.into();
        let put = self.store.put(&key.path(), payload).await;
        put.map(drop).map_err(|source| {
            let key = first;
            MergeError::Read(ReadError::Unavailable { key, source })
        })
    }

    /// The bytes of the small objects, each of them verified.
    async fn joined(&self, key: &MergedKey) -> Result<Bytes, MergeError> {
        let mut joined = Vec::new();
        for key in key.keys() {
            let bytes = self.read_own(&key).await.map_err(MergeError::Read)?;
            let checked = bytes.clone();
            let decoded =
                tokio::task::spawn_blocking(move || segment::decode(Some(&key), &checked)).await;
            let decoded = decoded.map_err(|_| MergeError::Read(ReadError::Cancelled { key }))?;
            decoded.map_err(|source| MergeError::Read(ReadError::Damaged { key, source }))?;
            joined.extend_from_slice(&bytes);
        }
        Ok(Bytes::from(joined))
    }

    /// Deletes the small objects whose bytes the merged one holds, the last number last.
    async fn sweep(&self, merged: &MergedKey) -> Result<(), MergeError> {
        let first = SegmentKey::new(merged.stream(), merged.first());
        let held = self
            .read_merged(merged, &first)
            .await
            .map_err(MergeError::Read)?;
        let mut same = Vec::new();
        for key in merged.keys() {
            match self.read_own(&key).await {
                Ok(bytes) if held.segment(&key).is_some_and(|there| there == bytes) => {
                    same.push(key)
                }
                Ok(_) => return Err(MergeError::Differs(*merged)),
                Err(ReadError::NotFound { .. }) => {}
                Err(error) => return Err(MergeError::Read(error)),
            }
        }
        for key in same {
            let path = key.path();
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(MergeError::Delete(unavailable(&path)(source))),
            }
        }
        Ok(())
    }

    /// The bytes of a segment in a merged object, if one holds it.
    pub(super) async fn read_in_merged(&self, key: &SegmentKey) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.last_merged.get(key) {
            return Ok(bytes);
        }
        let Some(merged) = self.merged_of(key).await? else {
            return Err(ReadError::NotFound { key: *key });
        };
        let held = self.read_merged(&merged, key).await?;
        let bytes = held.segment(key);
        self.last_merged.hold(held);
        bytes.ok_or(ReadError::NotFound { key: *key })
    }

    /// The merged object that holds a segment, by a listing.
    pub(crate) async fn merged_of(&self, key: &SegmentKey) -> Result<Option<MergedKey>, ReadError> {
        let objects = self.objects_of_stream(key.stream()).await;
        let objects = objects.map_err(|error| match error {
            ListError::Unavailable { source, .. } => ReadError::Unavailable { key: *key, source },
            ListError::Hole { found, .. } => ReadError::NotFound { key: found },
        })?;
        let merged = objects
            .into_iter()
            .filter_map(|(numbers, _)| match numbers {
                SegmentNumbers::Merged(merged) => Some(merged),
                SegmentNumbers::One(_) => None,
            });
        Ok(merged
            .filter(|merged| merged.holds(key))
            .max_by_key(MergedKey::segments))
    }

    async fn read_merged(&self, merged: &MergedKey, of: &SegmentKey) -> Result<Held, ReadError> {
        let got = self.store.get_opts(&merged.path(), GetOptions::new()).await;
        let got = got.map_err(unread(of))?;
        // One segment alone may have as much as an object has at most.
        let most = MAX_OBJECT_BYTES + MERGED_BYTES;
        if got.meta.size > most {
            let source = segment::SegmentError::TooLarge {
                bytes: got.meta.size,
            };
            return Err(ReadError::Damaged { key: *of, source });
        }
        let object = got.bytes().await.map_err(unread(of))?;
        let (key, found) = (*merged, object.clone());
        let frames = tokio::task::spawn_blocking(move || frames(&key, &found)).await;
        let frames = frames.map_err(|_cancelled| ReadError::Cancelled { key: *of })?;
        Ok(Held {
            key,
            object,
            frames,
        })
    }

    async fn head(&self, path: &Path) -> object_store::Result<bool> {
        match self.store.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Runs of numbers without a hole, each of so many bytes and segments at most.
fn runs(stream: StreamName, small: &[(SegmentKey, u64)]) -> Vec<Mergeable> {
    let mut runs = Vec::new();
    let mut run: Vec<(SegmentKey, u64)> = Vec::new();
    let mut end = |run: &mut Vec<(SegmentKey, u64)>| {
        let bytes = run.iter().map(|(_, bytes)| bytes).sum();
        let ends = run.first().zip(run.last());
        let ends = ends.map(|((first, _), (last, _))| (first.number(), last.number()));
        let key = ends.and_then(|(first, last)| MergedKey::new(stream, first, last));
        runs.extend(key.map(|key| Mergeable { key, bytes }));
        run.clear();
    };
    for (key, bytes) in small {
        let held: u64 = run.iter().map(|(_, bytes)| bytes).sum();
        let follows = run
            .last()
            .is_none_or(|(last, _)| last.number().next() == Some(key.number()));
        if !follows || held + bytes > MERGED_BYTES || run.len() >= MERGED_SEGMENTS {
            end(&mut run);
        }
        run.push((*key, *bytes));
    }
    end(&mut run);
    runs
}

#[cfg(test)]
mod tests;
