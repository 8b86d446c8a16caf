//! Days whose time is over: marked, then deleted.
//!
//! The mark says "days before D went, at that time, by that rule", and is there before anything is
//! deleted, so that whoever misses a segment of such a day knows that it was not lost. Marks are created
//! and never replaced; the latest day counts.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{LandError, ListError, RawStore, unavailable};
use crate::key::{self, SegmentNumbers, StreamName};

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Days before this one went.
    pub before: NaiveDate,
    /// When that was decided.
    pub at: DateTime<Utc>,
    /// Why.
    pub rule: String,
}

/// What stands in the folder of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDay {
    /// For each stream the number of its last segment.
    pub streams: BTreeMap<StreamName, u64>,
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl RawStore {
    /// Days before this one were retired; their segments are gone or going.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn retired_before(&self) -> Result<Option<NaiveDate>, ListError> {
        let prefix = key::retired_prefix();
        let mut marks = self.store.list(Some(&prefix));
        let mut latest = None;
        while let Some(mark) = marks.try_next().await.map_err(unavailable(&prefix))? {
            latest = latest.max(key::parse_retired(&mark.location));
        }
        Ok(latest)
    }

    /// Marks the days before one as retired. On `Ok` the mark is durable.
    ///
    /// # Errors
    /// When the store refuses or does not say; nothing may be deleted then.
    pub async fn retire(&self, retired: &Retired) -> Result<(), LandError> {
        // Dates and text: they have a form in JSON.
        let mut text = serde_json::to_vec(retired).unwrap_or_default();
        text.push(b'\n');
        let path = key::retired_path(retired.before);
        match self.create(&path, Bytes::from(text)).await {
            Ok(()) => Ok(()),
            // Another process, or this one before it was broken off, has said so.
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(self.explain(&path, error).await),
        }
    }

    /// What stands in the folder of a day, by a listing.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn stored_day(&self, date: NaiveDate) -> Result<StoredDay, ListError> {
        let mut day = StoredDay::default();
        for (numbers, bytes, _) in self.objects_of(date).await? {
            let last = day.streams.entry(numbers.stream()).or_default();
            *last = numbers.last().get().max(*last);
            day.segments += numbers.segments();
            day.bytes += bytes;
        }
        Ok(day)
    }

    /// Deletes the segments of a day that is retired, those that an earlier listing has seen; what came
    /// since and names that are not ours stay. On `Err` some are
    /// gone, and the next call goes on. The last number of a stream goes last: as long as one is there,
    /// so is what tells how long the stream was.
    ///
    /// # Errors
    /// When the store cannot be listed, or refuses.
    pub async fn delete_day(&self, date: NaiveDate, seen: &StoredDay) -> Result<(), ListError> {
        let mut objects = self.objects_of(date).await?;
        let was_seen = |numbers: &SegmentNumbers| {
            let last = seen.streams.get(&numbers.stream());
            last.is_some_and(|last| numbers.last().get() <= *last)
        };
        objects.retain(|(numbers, ..)| was_seen(numbers));
        objects.sort_unstable_by_key(|(numbers, ..)| (numbers.stream(), numbers.last()));
        for (_, _, path) in objects {
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(unavailable(&path)(source)),
            }
        }
        Ok(())
    }

    /// Removes the folders of a day from a data directory, those that are empty: an object store has
    /// none. What is not empty stays.
    pub fn remove_empty_folders(directory: &std::path::Path, date: NaiveDate) {
        let day = directory.join(key::date_prefix(date).as_ref());
        let streams = std::fs::read_dir(&day).into_iter().flatten().flatten();
        for stream in streams.map(|stream| stream.path()).chain([day.clone()]) {
            if let Err(error) = std::fs::remove_dir(&stream) {
                tracing::debug!("{} stays: {error}", stream.display());
            }
        }
    }

    async fn objects_of(
        &self,
        date: NaiveDate,
    ) -> Result<Vec<(SegmentNumbers, u64, Path)>, ListError> {
        let prefix = key::date_prefix(date);
        let mut listing = self.store.list(Some(&prefix));
        let mut objects = Vec::new();
        while let Some(object) = listing.try_next().await.map_err(unavailable(&prefix))? {
            if let Some(numbers) = SegmentNumbers::of(object.location.as_ref()) {
                objects.push((numbers, object.size, object.location));
            }
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::key::{SegmentKey, SegmentNumber};

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
    }

    fn retired(before: u32) -> Retired {
        Retired {
            before: day(before),
            at: DateTime::UNIX_EPOCH,
            rule: "raw = 30d".to_owned(),
        }
    }

    #[tokio::test]
    async fn marks_are_never_replaced_and_the_latest_counts() {
        let raw = RawStore::new(Arc::new(InMemory::new()));
        assert_eq!(raw.retired_before().await.unwrap(), None);
        for before in [4, 9, 4, 2] {
            raw.retire(&retired(before)).await.unwrap();
        }
        assert_eq!(raw.retired_before().await.unwrap(), Some(day(9)));
        assert_eq!(raw.dates().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_day_is_deleted_and_no_other() {
        let raw = RawStore::new(Arc::new(InMemory::new()));
        for date in [1, 2] {
            let started = day(date).and_hms_opt(1, 0, 0).unwrap().and_utc();
            let stream = StreamName::from_parts(started, 7);
            for number in 1..=3 {
                let key = SegmentKey::new(stream, SegmentNumber::new(number).unwrap());
                raw.land(&key, Bytes::from_static(b"12345")).await.unwrap();
            }
        }
        let stored = raw.stored_day(day(1)).await.unwrap();
        assert_eq!((stored.segments, stored.bytes), (3, 15));
        assert_eq!(stored.streams.values().collect::<Vec<_>>(), [&3]);
        let started = day(1).and_hms_opt(23, 0, 0).unwrap().and_utc();
        let late = SegmentKey::new(StreamName::from_parts(started, 8), SegmentNumber::FIRST);
        raw.land(&late, Bytes::from_static(b"late")).await.unwrap();
        for _ in 0..2 {
            raw.delete_day(day(1), &stored).await.unwrap();
            assert_eq!(raw.dates().await.unwrap(), [day(1), day(2)]);
        }
        // What came after the listing that was judged has stayed.
        let left = raw.stored_day(day(1)).await.unwrap();
        assert_eq!(
            left.streams.into_keys().collect::<Vec<_>>(),
            [late.stream()]
        );
        assert_eq!(raw.stored_day(day(2)).await.unwrap().segments, 3);
    }
}
