use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeZone as _, Utc};
use object_store::ObjectStoreExt as _;
use postlake_raw::{Batch, SourceKind, StreamName, segment};
use postlake_testkit::Place;
use postlake_testkit::faulty_s3::{Faults, FaultyS3};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// Bodies that do not pack.
const NOISE_BYTES: usize = 8 << 20;
const BYTES_PER_SEC: u32 = 400_000;

fn large_segment() -> (SegmentKey, bytes::Bytes) {
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let key = SegmentKey::new(StreamName::from_parts(at, 1), SegmentNumber::FIRST);
    let mut noise = vec![0; NOISE_BYTES];
    StdRng::seed_from_u64(1).fill_bytes(&mut noise);
    let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), noise.into());
    (key, segment::encode(&key, &[batch]).unwrap())
}

/// Reading all of the large segment would take 20 s.
#[tokio::test]
async fn only_the_start_of_a_segment_is_read_before_a_start() {
    let s3 = FaultyS3::start(1);
    let place = Place::on_faulty_s3("nothing is run", &s3);
    let (key, bytes) = large_segment();
    let store = place.store();
    store.put(&key.path(), bytes.into()).await.unwrap();
    let slow = || Faults {
        bytes_per_sec: Some(BYTES_PER_SEC),
        ..Faults::default()
    };
    s3.set(slow());
    let raw = RawStore::new(Arc::clone(&store));
    let start = Instant::now();
    assert!(find_newer(&raw).await.unwrap().is_none());
    let seconds = start.elapsed().as_secs_f64();
    assert!(seconds < NOISE_BYTES as f64 / f64::from(BYTES_PER_SEC) / 2.0);

    s3.set(Faults::default());
    let newer = tokio::task::spawn_blocking(move || place.put_newer_segment());
    let newer = newer.await.unwrap();
    s3.set(slow());
    let (found, source) = find_newer(&raw).await.unwrap().unwrap();
    assert_eq!(found.path().to_string(), newer);
    assert!(matches!(source, SegmentError::UnknownFormat { .. }));
}
