//! The object store as a raw store: land, discover, read.
//!
//! Any [`ObjectStore`] will do that answers a put only when the object is durable and honours
//! [`PutMode::Create`]. A local directory is such a store only as [`crate::DurableDirectory`]: a put
//! then writes and syncs a staging file `<name>#<n>`, links it to its name, syncs the folder, and
//! syncs new folders up to the directory. A staging file that a crash leaves behind is in no listing.

mod cause;

#[cfg(test)]
pub(crate) mod faults;
mod foreign;
mod merged;
mod retired;
#[cfg(test)]
mod tests;
mod waiting;

pub use merged::{MERGED_BYTES, MERGED_FROM, MERGED_SEGMENTS, MergeError, Mergeable};
pub use retired::{Retired, StoredDay};
pub use waiting::Waiting;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tracing::debug;

use crate::key::{self, SegmentKey, SegmentNumber, SegmentNumbers, StreamName};
use crate::segment::{
    self, HEADER_OBJECT_BYTES, MAX_OBJECT_BYTES, Segment, SegmentError, SegmentHeader,
};

pub use cause::LandCause;
use cause::is_refusal;
pub(crate) use cause::was_turned_back;

/// Most segments that one call of [`RawStore::segments_after`] returns.
pub const MAX_SEGMENTS_LISTED: usize = 10_000;
/// Most names that one call of [`RawStore::foreign_names`] returns.
pub const MAX_FOREIGN_NAMES: usize = 100;

/// What a failed landing means for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandErrorKind {
    /// Nothing was stored and nothing will be: the key is free and may be used again.
    Refused,
    /// Other bytes stand under the key. They stay.
    Conflict,
    /// The store did not say; the bytes may be there now, or later. The key must not be used for
    /// other bytes. On a local directory not for the same bytes either: finding them there does not
    /// prove that the folder's sync, which may be what failed, has happened.
    Unknown,
}

/// A segment that was not landed, or for which nobody can say.
#[derive(Debug, thiserror::Error)]
#[error("landing {path} failed ({kind:?})")]
pub struct LandError {
    kind: LandErrorKind,
    cause: LandCause,
    path: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl LandError {
    /// What the failure means for the key.
    pub fn kind(&self) -> LandErrorKind {
        self.kind
    }

    /// Why it failed.
    pub fn cause(&self) -> LandCause {
        self.cause
    }

    fn new(kind: LandErrorKind, path: &Path, source: object_store::Error) -> Self {
        Self {
            kind,
            cause: LandCause::of(&source),
            path: path.to_string(),
            source: Some(Box::new(source)),
        }
    }
}

/// A listing that failed or cannot be right.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The store did not answer; try again.
    #[error("listing {prefix} failed")]
    Unavailable {
        /// The prefix that was listed.
        prefix: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// Segments without their predecessor. Streams have no holes: either the listing is late, or
    /// an object was taken away.
    #[error("{found} is listed, but number {missing} of its stream is not")]
    Hole {
        /// The first number that is missing.
        missing: u64,
        /// The segment listed after it.
        found: SegmentKey,
    },
}

/// A segment that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No object has that name.
    #[error("{key} is not in the store")]
    NotFound {
        /// The segment asked for.
        key: SegmentKey,
    },
    /// The object is there and is not the segment it should be. Trying again does not help.
    #[error("{key} is damaged")]
    Damaged {
        /// The segment asked for.
        key: SegmentKey,
        /// What is wrong with it.
        #[source]
        source: SegmentError,
    },
    /// The store did not give the object; try again.
    #[error("reading {key} failed")]
    Unavailable {
        /// The segment asked for.
        key: SegmentKey,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The thread that decodes was cancelled, as happens when the runtime shuts down.
    #[error("decoding {key} was cancelled")]
    Cancelled {
        /// The segment asked for.
        key: SegmentKey,
    },
}

/// Whether a store honours create-only puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOnly {
    /// A second put under the same name was refused.
    Honoured,
    /// A second put under the same name went through: only our unique names protect the segments.
    Ignored,
}

/// The raw segments in an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RawStore {
    store: Arc<dyn ObjectStore>,
    reading_proves: bool,
    last_merged: Arc<merged::LastMerged>,
}

impl RawStore {
    /// The raw store in `store`, under the prefix `raw/`. Touches nothing.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            reading_proves: false,
            last_merged: Arc::default(),
        }
    }

    /// As [`RawStore::new`], for a store where what can be read is durable, such as S3: a put whose
    /// outcome is unknown is looked for, and counts as landed when its bytes are found. A directory
    /// is no such store: the sync, which may be what failed, cannot be seen by reading.
    pub fn where_reading_proves(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            reading_proves: true,
            last_merged: Arc::default(),
        }
    }

    /// Puts `bytes` under `key`, if nothing stands there.
    ///
    /// On `Ok` the object is durable and is exactly `bytes`. When the store says that the name is
    /// taken, the object is read back and compared: equal bytes are ours, from a put whose answer
    /// was lost on the way and repeated by the store's client, and that is `Ok`. On `Err` see
    /// [`LandErrorKind`]; nothing that stood under the key before was changed. Dropping the future
    /// leaves the outcome unknown.
    pub async fn land(&self, key: &SegmentKey, bytes: Bytes) -> Result<(), LandError> {
        let path = key.path();
        match self.create(&path, bytes.clone()).await {
            Ok(()) => Ok(()),
            Err(error @ object_store::Error::AlreadyExists { .. }) => {
                self.compare(&path, &bytes, error).await
            }
            Err(error) => {
                let error = self.explain(&path, error).await;
                let open = self.reading_proves && error.kind == LandErrorKind::Unknown;
                if open && self.stands(&path, &bytes).await {
                    debug!(object.path = %path, "the answer was lost, the object is there");
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// Finds out whether the store honours create-only puts, by creating a probe object twice and
    /// deleting it. Run it at start. An error says that the store cannot be written or did not answer.
    pub async fn probe_create_only(&self) -> Result<CreateOnly, LandError> {
        let path = key::probe_path();
        if let Err(error) = self.create(&path, Bytes::from_static(b"first\n")).await {
            return Err(self.explain(&path, error).await);
        }
        let second = self.create(&path, Bytes::from_static(b"second\n")).await;
        if let Err(error) = self.store.delete(&path).await {
            debug!(object.path = %path, error = &error as &dyn Error, "probe object stays behind");
        }
        match second {
            Ok(()) => Ok(CreateOnly::Ignored),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(CreateOnly::Honoured),
            Err(error) => Err(LandError::new(LandErrorKind::Unknown, &path, error)),
        }
    }

    /// Puts an object under a name that nothing has.
    pub(crate) async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<(), LandError> {
        match self.create(path, bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(path, error).await),
        }
    }

    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// Puts a probe object under a fresh name and gives the name.
    pub(crate) async fn put_probe(&self, bytes: Bytes) -> Result<Path, LandError> {
        let path = key::probe_path();
        match self.create(&path, bytes).await {
            Ok(()) => Ok(path),
            Err(error) => Err(self.explain(&path, error).await),
        }
    }

    pub(crate) async fn delete_probe(&self, path: &Path) -> object_store::Result<()> {
        self.store.delete(path).await
    }

    /// The UTC days that have streams, oldest first. Other names are passed over.
    pub async fn dates(&self) -> Result<Vec<NaiveDate>, ListError> {
        let prefixes = self.folders(&key::root_prefix()).await?;
        Ok(sorted(prefixes.iter().filter_map(key::parse_date_prefix)))
    }

    /// The streams of a UTC day, oldest first. Other names are passed over. On a local directory a
    /// stream whose first segment was never landed can be among them; it has no segments.
    pub async fn streams(&self, date: NaiveDate) -> Result<Vec<StreamName>, ListError> {
        let prefixes = self.folders(&key::date_prefix(date)).await?;
        Ok(sorted(prefixes.iter().filter_map(key::parse_stream_prefix)))
    }

    /// The segments of a stream with a number above `after`, in order, each the successor of the one
    /// before, the first with the number `after + 1`; at most [`MAX_SEGMENTS_LISTED`].
    ///
    /// Segments before a hole are returned. When nothing stands before it, the hole is an error that
    /// names it: with a late listing it closes by itself. `date` must be the stream's own.
    pub async fn segments_after(
        &self,
        date: NaiveDate,
        stream: StreamName,
        after: u64,
    ) -> Result<Vec<SegmentKey>, ListError> {
        debug_assert_eq!(
            date,
            stream.date(),
            "a stream stands in the folder of its own day"
        );
        let mut found = self.numbers_after(stream, after).await?;
        found.sort_unstable();
        let mut segments = Vec::new();
        let mut next = after.saturating_add(1);
        for (first, last) in &found {
            // A merged object is listed whole: the next listing begins behind it.
            if first.get() > next || segments.len() >= MAX_SEGMENTS_LISTED {
                break;
            }
            let numbers = (next..=last.get()).map(SegmentNumber::new);
            segments.extend(
                numbers
                    .flatten()
                    .map(|number| SegmentKey::new(stream, number)),
            );
            next = next.max(last.get().saturating_add(1));
        }
        match found.first() {
            Some((number, _)) if segments.is_empty() => Err(ListError::Hole {
                missing: after.saturating_add(1),
                found: SegmentKey::new(stream, *number),
            }),
            _ => Ok(segments),
        }
    }

    /// The segment under `key`, every body compared with its envelope.
    pub async fn read(&self, key: &SegmentKey) -> Result<Segment, ReadError> {
        let key = *key;
        let bytes = self.read_bytes(&key).await?;
        tokio::task::spawn_blocking(move || segment::decode(Some(&key), &bytes))
            .await
            .map_err(|_cancelled| ReadError::Cancelled { key })?
            .map_err(|source| ReadError::Damaged { key, source })
    }

    /// The header of the segment under `key`. Of the object only the first [`HEADER_OBJECT_BYTES`] are
    /// read, and nothing is known about the rest. An empty object is [`ReadError::Unavailable`].
    pub async fn read_header(&self, key: &SegmentKey) -> Result<SegmentHeader, ReadError> {
        let start = GetOptions::new().with_range(Some(0..HEADER_OBJECT_BYTES));
        let bytes = match self.store.get_opts(&key.path(), start).await {
            Ok(object) => object.bytes().await.map_err(unread(key))?,
            Err(object_store::Error::NotFound { .. }) => self.read_in_merged(key).await?,
            Err(error) => return Err(unread(key)(error)),
        };
        segment::decode_header(Some(key), &bytes)
            .map_err(|source| ReadError::Damaged { key: *key, source })
    }

    /// True if a segment is there, in an object of its own or in a merged one; it is not read.
    pub async fn is_there(&self, key: &SegmentKey) -> Result<bool, ReadError> {
        match self.store.head(&key.path()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(self.merged_of(key).await?.is_some()),
            Err(source) => Err(unread(key)(source)),
        }
    }

    /// The bytes of a segment as they are in the store, not verified: of its own object, or of the one that
    /// it was merged into. An object of more than [`MAX_OBJECT_BYTES`] is damaged and not read.
    pub async fn read_bytes(&self, key: &SegmentKey) -> Result<Bytes, ReadError> {
        match self.read_own(key).await {
            Err(ReadError::NotFound { .. }) => self.read_in_merged(key).await,
            read => read,
        }
    }

    /// As [`RawStore::read_bytes`], of its own object alone.
    pub(crate) async fn read_own(&self, key: &SegmentKey) -> Result<Bytes, ReadError> {
        let object = self.store.get(&key.path()).await.map_err(unread(key))?;
        if object.meta.size > MAX_OBJECT_BYTES {
            let (key, bytes) = (*key, object.meta.size);
            let source = SegmentError::TooLarge { bytes };
            return Err(ReadError::Damaged { key, source });
        }
        object.bytes().await.map_err(unread(key))
    }

    /// Up to [`MAX_FOREIGN_NAMES`] object names of a UTC day that are not segments of ours, for
    /// `doctor` and `verify`. Nothing else looks at them.
    pub async fn foreign_names(&self, date: NaiveDate) -> Result<Vec<String>, ListError> {
        let prefix = key::date_prefix(date);
        let mut names = self.store.list(Some(&prefix));
        let mut foreign = Vec::new();
        while foreign.len() < MAX_FOREIGN_NAMES
            && let Some(object) = names.try_next().await.map_err(unavailable(&prefix))?
        {
            if SegmentNumbers::of(object.location.as_ref()).is_none() {
                foreign.push(object.location.to_string());
            }
        }
        Ok(foreign)
    }

    async fn create(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions::from(PutMode::Create);
        self.store
            .put_opts(path, PutPayload::from(bytes), options)
            .await
            .map(drop)
    }

    /// The name is taken: by our own bytes, by others, or, as S3 may answer while two puts meet, by
    /// nobody.
    async fn compare(
        &self,
        path: &Path,
        ours: &Bytes,
        taken: object_store::Error,
    ) -> Result<(), LandError> {
        let unknown = |source| LandError::new(LandErrorKind::Unknown, path, source);
        let there = match self.store.get(path).await {
            Ok(there) => there,
            Err(object_store::Error::NotFound { .. }) => return Err(unknown(taken)),
            Err(source) => return Err(unknown(source)),
        };
        if there.meta.size != ours.len() as u64 {
            return Err(LandError::new(LandErrorKind::Conflict, path, taken));
        }
        match there.bytes().await {
            Ok(theirs) if theirs == *ours => Ok(()),
            Ok(_) => Err(LandError::new(LandErrorKind::Conflict, path, taken)),
            Err(source) => Err(unknown(source)),
        }
    }

    /// Whether exactly `ours` stands under `path`; false also when nobody can say.
    async fn stands(&self, path: &Path, ours: &Bytes) -> bool {
        match self.store.get(path).await {
            Ok(there) if there.meta.size == ours.len() as u64 => {
                matches!(there.bytes().await, Ok(theirs) if theirs == *ours)
            }
            _ => false,
        }
    }

    /// What a failed put means. Only a refusal that the store's side must have decided before it
    /// published anything counts as one, and only after a look that finds the name free.
    async fn explain(&self, path: &Path, error: object_store::Error) -> LandError {
        let free = was_turned_back(&error)
            || is_refusal(&error)
                && matches!(
                    self.store.head(path).await,
                    Err(object_store::Error::NotFound { .. })
                );
        let kind = if free {
            LandErrorKind::Refused
        } else {
            LandErrorKind::Unknown
        };
        LandError::new(kind, path, error)
    }

    async fn folders(&self, prefix: &Path) -> Result<Vec<Path>, ListError> {
        let listing = self.store.list_with_delimiter(Some(prefix)).await;
        Ok(listing.map_err(unavailable(prefix))?.common_prefixes)
    }

    async fn numbers_after(
        &self,
        stream: StreamName,
        after: u64,
    ) -> Result<Vec<(SegmentNumber, SegmentNumber)>, ListError> {
        let prefix = key::stream_prefix(stream);
        let offset = key::listing_offset(stream, after);
        let mut objects = self.store.list_with_offset(Some(&prefix), &offset);
        let mut numbers = Vec::new();
        while let Some(object) = objects.try_next().await.map_err(unavailable(&prefix))? {
            match SegmentNumbers::of(object.location.as_ref()) {
                Some(found) if found.last().get() > after => {
                    numbers.push((found.first(), found.last()));
                }
                Some(_) => {}
                None => debug!(object.path = %object.location, "not a segment, passed over"),
            }
        }
        Ok(numbers)
    }
}

fn unread(key: &SegmentKey) -> impl Fn(object_store::Error) -> ReadError {
    let key = *key;
    move |source| match source {
        object_store::Error::NotFound { .. } => ReadError::NotFound { key },
        source => ReadError::Unavailable { key, source },
    }
}

pub(crate) fn unavailable(prefix: &Path) -> impl FnOnce(object_store::Error) -> ListError {
    move |source| ListError::Unavailable {
        prefix: prefix.to_string(),
        source,
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}
