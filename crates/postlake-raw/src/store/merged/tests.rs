//! Segments merged and read again, also when it is broken off.

use std::sync::Arc;

use chrono::DateTime;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::*;
use crate::batch::{Batch, SourceKind};
use crate::key::SegmentNumber;
use crate::segment::encode;
use crate::store::faults::{Fault, Faulty};

fn stream() -> StreamName {
    StreamName::from_parts(DateTime::UNIX_EPOCH, 7)
}

fn key(number: u64) -> SegmentKey {
    SegmentKey::new(stream(), SegmentNumber::new(number).unwrap())
}

fn bytes(number: u64) -> Bytes {
    let at = DateTime::UNIX_EPOCH;
    let body = Bytes::from(format!("[{number}]"));
    let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body);
    encode(&key(number), &[batch]).unwrap()
}

async fn filled(store: &Arc<dyn ObjectStore>, numbers: impl IntoIterator<Item = u64>) -> RawStore {
    let raw = RawStore::new(Arc::clone(store));
    for number in numbers {
        raw.land(&key(number), bytes(number)).await.unwrap();
    }
    raw
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Every segment is listed, there, and read as it was landed.
async fn are_whole(raw: &RawStore, last: u64) {
    for after in 0..=last {
        let listed = raw.segments_after(stream().date(), stream(), after).await;
        let numbers = listed.unwrap().into_iter().map(|key| key.number().get());
        assert!(numbers.eq(after + 1..=last));
    }
    for number in 1..=last {
        assert_eq!(raw.read_bytes(&key(number)).await.unwrap(), bytes(number));
        assert!(raw.read(&key(number)).await.is_ok());
        assert_eq!(
            raw.read_header(&key(number)).await.unwrap().number.get(),
            number
        );
        assert!(raw.is_there(&key(number)).await.unwrap());
    }
    assert!(!raw.is_there(&key(last + 1)).await.unwrap());
    assert_eq!(raw.foreign_names(stream().date()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn merged_segments_are_read_as_they_were_landed() {
    let store = memory();
    let raw = filled(&store, 1..=20).await;
    let [mergeable] = &raw.mergeable(stream(), 15).await.unwrap()[..] else {
        panic!();
    };
    assert_eq!(
        (mergeable.key.segments(), mergeable.key.last().get()),
        (15, 15)
    );
    raw.merge(mergeable).await.unwrap();
    let objects = raw.objects_of_stream(stream()).await.unwrap();
    assert_eq!(objects.len(), 6);
    // Who has read nothing yet, and who has.
    are_whole(&RawStore::new(store), 20).await;
    are_whole(&raw, 20).await;
    // Five are too few to be merged.
    assert_eq!(raw.mergeable(stream(), 20).await.unwrap(), []);
    let day = raw.stored_day(stream().date()).await.unwrap();
    assert_eq!((day.segments, day.streams[&stream()]), (20, 20));
    raw.delete_day(stream().date(), &day).await.unwrap();
    assert_eq!(raw.objects_of_stream(stream()).await.unwrap(), []);
}

#[tokio::test]
async fn a_merge_that_was_broken_off_goes_on() {
    for left in [vec![], vec![3, 9], (1..=9).collect()] {
        let store = memory();
        let raw = filled(&store, 1..=9).await;
        let found = raw.mergeable(stream(), 9).await.unwrap();
        raw.merge(&found[0]).await.unwrap();
        // These were not deleted when it ended.
        filled(&store, left.clone()).await;
        are_whole(&raw, 9).await;
        let again = raw.mergeable(stream(), 9).await.unwrap();
        assert_eq!(again.is_empty(), left.is_empty());
        for mergeable in again {
            assert_eq!(mergeable.key, found[0].key);
            raw.merge(&mergeable).await.unwrap();
        }
        assert_eq!(raw.objects_of_stream(stream()).await.unwrap().len(), 1);
        are_whole(&raw, 9).await;
    }
}

#[tokio::test]
async fn nothing_goes_when_the_merged_object_is_not_certain() {
    for fault in [Fault::Before, Fault::After, Fault::Full] {
        let store = memory();
        let raw = filled(&store, 1..=9).await;
        let found = raw.mergeable(stream(), 9).await.unwrap();
        let faulty = RawStore::new(Faulty::new(Arc::clone(&store), fault, 1));
        faulty.merge(&found[0]).await.unwrap_err();
        are_whole(&raw, 9).await;
        for number in 1..=9 {
            assert!(raw.read_own(&key(number)).await.is_ok(), "{fault:?}");
        }
    }
    // A small object that is another than the merged one has stays, and so do the others.
    let store = memory();
    let raw = filled(&store, 1..=9).await;
    let found = raw.mergeable(stream(), 9).await.unwrap();
    raw.merge(&found[0]).await.unwrap();
    filled(&store, [4]).await;
    let path = key(5).path();
    store.put(&path, "something else".into()).await.unwrap();
    let differs = raw.merge(&found[0]).await.unwrap_err();
    assert!(matches!(differs, MergeError::Differs(_)), "{differs}");
    assert!(raw.read_own(&key(4)).await.is_ok() && raw.read_own(&key(5)).await.is_ok());
}

#[tokio::test]
async fn a_damaged_segment_is_not_merged() {
    let store = memory();
    let raw = filled(&store, (1..=9).filter(|number| *number != 5)).await;
    let cut = bytes(5).slice(..20);
    raw.land(&key(5), cut).await.unwrap();
    let found = raw.mergeable(stream(), 9).await.unwrap();
    let refused = raw.merge(&found[0]).await.unwrap_err();
    assert!(
        matches!(refused, MergeError::Read(ReadError::Damaged { .. })),
        "{refused}"
    );
    assert_eq!(raw.objects_of_stream(stream()).await.unwrap().len(), 9);
}

#[tokio::test]
async fn runs_end_at_holes_and_limits() {
    let bytes = |number: u64| if number == 4 { MERGED_BYTES } else { 10 };
    let numbers = [1, 2, 3, 4, 5, 6, 8, 9, 11];
    let small: Vec<_> = numbers
        .iter()
        .map(|each| (key(*each), bytes(*each)))
        .collect();
    let found = runs(stream(), &small).into_iter();
    let found = found.map(|run| (run.key.first().get(), run.key.last().get()));
    assert_eq!(found.collect::<Vec<_>>(), [(1, 3), (5, 6), (8, 9)]);
}
