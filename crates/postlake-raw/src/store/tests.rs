//! One contract, every store: memory, a directory with fsync, S3 when the environment names one.

use chrono::{TimeZone, Utc};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;

use super::faults::{Fault, Faulty};
use super::*;
use crate::batch::{Batch, SourceKind};
use crate::directory::DurableDirectory;

fn stream(day: u32, random: u64) -> StreamName {
    StreamName::from_parts(Utc.with_ymd_and_hms(2026, 1, day, 3, 4, 5).unwrap(), random)
}

fn key_in(stream: StreamName, number: u64) -> SegmentKey {
    SegmentKey::new(stream, SegmentNumber::new(number).unwrap())
}

fn segment_with(key: &SegmentKey, body: &'static str) -> (Vec<Batch>, Bytes) {
    let body = Bytes::from_static(body.as_bytes());
    let batches = vec![Batch::new(
        SourceKind::Event,
        Utc.timestamp_nanos(0),
        None,
        Vec::new(),
        body,
    )];
    let bytes = segment::encode(key, &batches).unwrap();
    (batches, bytes)
}

async fn check_contract(store: Arc<dyn ObjectStore>) {
    let raw = RawStore::new(Arc::clone(&store));
    assert_eq!(raw.dates().await.unwrap(), []);
    assert_eq!(raw.probe_create_only().await.unwrap(), CreateOnly::Honoured);
    assert_eq!(raw.dates().await.unwrap(), []);
    check_land_and_read(&raw).await;
    check_discovery(&raw, &store).await;
}

async fn check_land_and_read(raw: &RawStore) {
    let key = key_in(stream(1, 1), 1);
    let (batches, bytes) = segment_with(&key, "one");
    assert!(matches!(
        raw.read(&key).await,
        Err(ReadError::NotFound { .. })
    ));
    raw.land(&key, bytes.clone()).await.unwrap();
    assert_eq!(raw.read_bytes(&key).await.unwrap(), bytes);
    assert_eq!(raw.read(&key).await.unwrap().batches, batches);

    let header = raw.read_header(&key).await.unwrap();
    assert_eq!((header.stream, header.number), (key.stream(), key.number()));

    raw.land(&key, bytes.clone()).await.unwrap();
    for other in [segment_with(&key, "two").1, segment_with(&key, "more").1] {
        let error = raw.land(&key, other).await.unwrap_err();
        assert_eq!(error.kind(), LandErrorKind::Conflict);
    }
    assert_eq!(raw.read_bytes(&key).await.unwrap(), bytes);

    let misplaced = key_in(stream(1, 1), 2);
    assert!(matches!(
        raw.read_header(&misplaced).await,
        Err(ReadError::NotFound { .. })
    ));
    raw.land(&misplaced, bytes).await.unwrap();
    assert!(matches!(
        raw.read_header(&misplaced).await,
        Err(ReadError::Damaged { .. })
    ));
    assert!(matches!(
        raw.read(&misplaced).await,
        Err(ReadError::Damaged { .. })
    ));
}

async fn check_discovery(raw: &RawStore, store: &Arc<dyn ObjectStore>) {
    let (one, two) = (stream(2, 1), stream(2, 2));
    for (stream, number) in [
        (two, 1),
        (one, 3),
        (one, 1),
        (one, 2),
        (one, 5),
        (stream(3, 1), 2),
    ] {
        let key = key_in(stream, number);
        raw.land(&key, segment_with(&key, "body").1).await.unwrap();
    }
    for foreign in [
        "raw/notes.txt",
        "raw/2026-01-02/notes.txt",
        "raw/2026-1-2/x/y",
    ] {
        store
            .put(&Path::from(foreign), "hello".into())
            .await
            .unwrap();
    }
    let odd = format!("raw/2026-01-02/{one}/0000000004.tmp");
    store
        .put(&Path::from(odd.as_str()), "hello".into())
        .await
        .unwrap();

    let days = raw.dates().await.unwrap();
    let expected = [1, 2, 3].map(|day| NaiveDate::from_ymd_opt(2026, 1, day).unwrap());
    assert_eq!(days, expected);
    assert_eq!(raw.streams(one.date()).await.unwrap(), [one, two]);
    let foreign = raw.foreign_names(one.date()).await.unwrap();
    assert_eq!(
        sorted(foreign.into_iter()),
        [odd, "raw/2026-01-02/notes.txt".to_owned()]
    );
    check_numbers(raw, one).await;
}

async fn check_numbers(raw: &RawStore, one: StreamName) {
    let keys = |numbers: &[u64]| {
        numbers
            .iter()
            .map(|number| key_in(one, *number))
            .collect::<Vec<_>>()
    };
    let day = one.date();
    assert_eq!(
        raw.segments_after(day, one, 0).await.unwrap(),
        keys(&[1, 2, 3])
    );
    assert_eq!(raw.segments_after(day, one, 2).await.unwrap(), keys(&[3]));
    assert_eq!(raw.segments_after(day, one, 5).await.unwrap(), []);
    assert_eq!(raw.segments_after(day, one, u64::MAX).await.unwrap(), []);
    let hole = raw.segments_after(day, one, 3).await.unwrap_err();
    let ListError::Hole { missing, found } = hole else {
        panic!("{hole}")
    };
    assert_eq!((missing, found), (4, key_in(one, 5)));
    let unknown = stream(2, 99);
    assert_eq!(raw.segments_after(day, unknown, 0).await.unwrap(), []);
    assert_eq!(raw.streams(NaiveDate::MIN).await.unwrap(), []);
}

#[tokio::test]
async fn contract_holds_in_memory() {
    check_contract(Arc::new(InMemory::new())).await;
}

#[tokio::test]
async fn contract_holds_in_a_directory_with_fsync() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableDirectory::open(directory.path()).unwrap();
    check_contract(Arc::new(store)).await;
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
async fn contract_holds_on_s3() {
    let Ok(endpoint) = std::env::var("POSTLAKE_TEST_S3_ENDPOINT") else {
        eprintln!("skipped: POSTLAKE_TEST_S3_ENDPOINT is not set");
        return;
    };
    let store = AmazonS3Builder::from_env()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(std::env::var("POSTLAKE_TEST_S3_BUCKET").unwrap())
        .build()
        .unwrap();
    let prefix = format!("contract-{:016x}", rand::random::<u64>());
    check_contract(Arc::new(PrefixStore::new(store, prefix))).await;
}

#[tokio::test]
async fn a_staging_file_of_a_killed_process_is_in_no_listing_and_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableDirectory::open(directory.path()).unwrap();
    let raw = RawStore::new(Arc::new(store));
    let key = key_in(stream(1, 1), 1);
    let staging = directory.path().join(format!("{key}#1"));
    std::fs::create_dir_all(staging.parent().unwrap()).unwrap();
    std::fs::write(&staging, "half").unwrap();

    assert_eq!(
        raw.segments_after(key.date(), key.stream(), 0)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        raw.foreign_names(key.date()).await.unwrap(),
        Vec::<String>::new()
    );
    raw.land(&key, segment_with(&key, "body").1).await.unwrap();
    assert_eq!(
        raw.segments_after(key.date(), key.stream(), 0)
            .await
            .unwrap(),
        [key]
    );
}

/// Lands once with the fault; says how that ended and whether the object is there afterwards.
async fn check_fault(fault: Fault, expected: Result<(), LandErrorKind>, stored: bool) {
    let raw = RawStore::new(Faulty::new(Arc::new(InMemory::new()), fault, 1));
    let key = key_in(stream(1, 1), 1);
    let (_, bytes) = segment_with(&key, "body");
    let landed = raw.land(&key, bytes.clone()).await;
    assert_eq!(landed.map_err(|error| error.kind()), expected, "{fault:?}");
    assert_eq!(
        raw.read_bytes(&key).await.ok(),
        stored.then_some(bytes),
        "{fault:?}"
    );
}

#[tokio::test]
async fn faults_of_the_store_are_told_apart() {
    check_fault(Fault::Before, Err(LandErrorKind::Unknown), false).await;
    check_fault(Fault::After, Err(LandErrorKind::Unknown), true).await;
    check_fault(Fault::AfterAndRepeated, Ok(()), true).await;
    check_fault(Fault::TakenByNobody, Err(LandErrorKind::Unknown), false).await;
    check_fault(Fault::Full, Err(LandErrorKind::Refused), false).await;
}

#[tokio::test]
async fn a_refusal_for_a_name_that_is_there_leaves_the_outcome_unknown() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let key = key_in(stream(1, 1), 1);
    let (_, bytes) = segment_with(&key, "body");
    memory.put(&key.path(), bytes.clone().into()).await.unwrap();
    let raw = RawStore::new(Faulty::new(memory, Fault::Full, 1));
    let error = raw.land(&key, bytes).await.unwrap_err();
    assert_eq!(error.kind(), LandErrorKind::Unknown);
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_is_found_out() {
    let raw = RawStore::new(Faulty::new(
        Arc::new(InMemory::new()),
        Fault::ConditionIgnored,
        2,
    ));
    assert_eq!(raw.probe_create_only().await.unwrap(), CreateOnly::Ignored);
    let raw = RawStore::new(Faulty::new(Arc::new(InMemory::new()), Fault::Full, 1));
    assert_eq!(
        raw.probe_create_only().await.unwrap_err().kind(),
        LandErrorKind::Refused
    );
}

#[tokio::test]
async fn an_odd_failure_of_the_disk_leaves_the_outcome_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let key = key_in(stream(1, 1), 1);
    let (_, bytes) = segment_with(&key, "body");
    std::fs::write(
        directory.path().join("raw"),
        "a file where the folder should be",
    )
    .unwrap();
    let store = DurableDirectory::open(directory.path()).unwrap();
    let error = RawStore::new(Arc::new(store))
        .land(&key, bytes)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), LandErrorKind::Unknown);
    assert!(error.source().is_some());
}
