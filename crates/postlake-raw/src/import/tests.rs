use std::collections::BTreeMap;

use object_store::PutPayload;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::clock::ManualClock;
use crate::store::faults::{Fault, Faulty};

struct Case {
    source: Source,
    inner: Arc<dyn ObjectStore>,
    clock: ManualClock,
}

impl Case {
    fn new() -> Case {
        let source = Source {
            store: Arc::new(InMemory::new()),
            address: "s3://old/bucket".to_owned(),
            kind: None,
        };
        Case {
            source,
            inner: Arc::new(InMemory::new()),
            clock: ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap()),
        }
    }

    async fn put(&self, name: &str, body: &[u8]) {
        let payload = PutPayload::from(body.to_vec());
        self.source
            .store
            .put(&Path::from(name), payload)
            .await
            .unwrap();
    }

    async fn onto(&self, store: Arc<dyn ObjectStore>) -> Result<Imported, ImportError> {
        import(
            &self.source,
            &RawStore::new(store),
            &self.clock,
            &mut |_| {},
        )
        .await
    }

    async fn run(&self) -> Imported {
        self.onto(Arc::clone(&self.inner)).await.unwrap()
    }

    /// Every batch in the raw store.
    async fn batches(&self) -> Vec<Batch> {
        let raw = RawStore::new(Arc::clone(&self.inner));
        let mut batches = Vec::new();
        for date in raw.dates().await.unwrap() {
            for stream in raw.streams(date).await.unwrap() {
                for key in raw.segments_after(date, stream, 0).await.unwrap() {
                    batches.extend(raw.read(&key).await.unwrap().batches);
                }
            }
        }
        batches
    }

    /// How often each object was landed.
    async fn landed(&self) -> BTreeMap<String, usize> {
        let mut landed = BTreeMap::new();
        for batch in self.batches().await {
            *landed
                .entry(batch.envelope.headers[0].1.clone())
                .or_default() += 1;
        }
        landed
    }
}

fn counts(imported: &Imported) -> [u64; 5] {
    let left = [&imported.passed_over, &imported.unread].map(|left| left.count);
    [
        imported.events,
        imported.alerts,
        imported.known,
        left[0],
        left[1],
    ]
}

#[tokio::test]
async fn objects_become_batches_byte_for_byte() {
    let case = Case::new();
    case.clock.set("2100-01-01T00:00:00Z".parse().unwrap());
    let gzip = [&GZIP_MAGIC[..], b"rest"].concat();
    let objects: [(&str, &[u8], SourceKind, Option<&str>); 6] = [
        (
            "SP Event Data/0a-1b",
            b"[ {\"msys\":{}}]\n",
            SourceKind::Event,
            Some("0a-1b"),
        ),
        ("SP Event Data/None", b"[1]", SourceKind::Event, None),
        ("deep/er/x.json.gz", &gzip, SourceKind::Event, Some("x")),
        (
            "HS-12--1-1616488288",
            b"{\"alert_id\":12}",
            SourceKind::Alert,
            None,
        ),
        ("hs/HS-55-2021.json", b" \n{}", SourceKind::Alert, None),
        (
            "truncated",
            b"[{\"msys\"",
            SourceKind::Event,
            Some("truncated"),
        ),
    ];
    for (name, body, ..) in objects {
        case.put(name, body).await;
    }
    let imported = case.run().await;
    assert_eq!(counts(&imported), [4, 2, 0, 0, 0]);
    let batches = case.batches().await;
    assert_eq!(batches.len(), objects.len());
    for (name, body, kind, id) in objects {
        let named = |batch: &&Batch| batch.envelope.headers[0].1 == Path::from(name).as_ref();
        let batch = batches.iter().find(named).unwrap();
        assert_eq!(batch.body, body, "{name}");
        assert_eq!(batch.envelope.source, kind, "{name}");
        assert_eq!(batch.envelope.batch_id.as_deref(), id, "{name}");
        let written = case
            .source
            .store
            .head(&Path::from(name))
            .await
            .unwrap()
            .last_modified;
        let written = written.timestamp_micros();
        assert_eq!(
            batch.envelope.received_at.timestamp_micros(),
            written,
            "{name}"
        );
        let encoding = batch
            .envelope
            .headers
            .get(1)
            .map(|(_, value)| value.as_str());
        assert_eq!(encoding, name.ends_with(".gz").then_some("gzip"), "{name}");
    }
}

#[tokio::test]
async fn a_kind_that_is_said_holds_for_all() {
    let mut case = Case::new();
    case.source.kind = Some(SourceKind::Alert);
    case.put("a-batch", b"[]").await;
    assert_eq!(counts(&case.run().await), [0, 1, 0, 0, 0]);
    assert_eq!(case.batches().await[0].envelope.batch_id, None);
}

#[tokio::test]
async fn what_is_no_body_is_passed_over_and_named() {
    let case = Case::new();
    case.put("folder", b"").await;
    case.put("table.csv", b"type,event_id\n").await;
    case.put("white", b"  \n").await;
    case.put("batch", b"[]").await;
    let imported = case.run().await;
    assert_eq!(counts(&imported), [1, 0, 0, 3, 0]);
    let named: Vec<_> = imported
        .passed_over
        .named
        .iter()
        .map(|(name, why)| (name.as_str(), why.as_str()))
        .collect();
    let other = "it is neither json nor gzip";
    assert_eq!(
        named,
        [
            ("folder", "it is empty"),
            ("table.csv", other),
            ("white", other)
        ]
    );
}

#[tokio::test]
async fn a_second_run_lands_what_is_new_alone() {
    let case = Case::new();
    for number in 0..10 {
        case.put(&format!("batch-{number}"), b"[1]").await;
    }
    assert_eq!(counts(&case.run().await), [10, 0, 0, 0, 0]);
    let once = case.landed().await;
    // At once, within the second that the names of streams tell apart.
    assert_eq!(counts(&case.run().await), [0, 0, 10, 0, 0]);
    assert_eq!(case.landed().await, once);
    case.put("batch-0a", b"[2]").await;
    case.put("batch-3", b"[1,2,3]").await;
    assert_eq!(counts(&case.run().await), [2, 0, 9, 0, 0]);
    assert_eq!(case.landed().await.values().sum::<usize>(), 12);
    // Of another source it is another import.
    let other = Source {
        address: "s3://other".to_owned(),
        ..case.source.clone()
    };
    let raw = RawStore::new(Arc::clone(&case.inner));
    let imported = import(&other, &raw, &case.clock, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(counts(&imported), [11, 0, 0, 0, 0]);
}

/// What cannot be read costs no other object, is named, and is read by the next run.
#[tokio::test]
async fn an_object_that_cannot_be_read_is_left_for_the_next_run() {
    let mut case = Case::new();
    for number in 0..5 {
        case.put(&format!("batch-{number}"), b"[1]").await;
    }
    let whole = Arc::clone(&case.source.store);
    case.source.store = Faulty::later(Arc::clone(&whole), Fault::Unread, 2, 1);
    let imported = case.run().await;
    assert_eq!(counts(&imported), [4, 0, 0, 0, 1]);
    let [(name, reason)] = &imported.unread.named[..] else {
        panic!("{imported:?}");
    };
    assert!(
        name.starts_with("batch-") && reason.contains("connection reset"),
        "{reason}"
    );
    case.source.store = whole;
    assert_eq!(counts(&case.run().await), [1, 0, 4, 0, 0]);
    assert_eq!(case.landed().await.len(), 5);
}

/// Nobody can load a damaged segment, so that its objects are wanted once more.
#[tokio::test]
async fn objects_of_a_damaged_segment_are_imported_again() {
    let case = Case::new();
    for number in 0..4 {
        case.put(&format!("batch-{number}"), b"[1]").await;
    }
    case.run().await;
    let raw = RawStore::new(Arc::clone(&case.inner));
    let date = raw.dates().await.unwrap()[0];
    let stream = raw.streams(date).await.unwrap()[0];
    let first = raw.segments_after(date, stream, 0).await.unwrap()[0];
    case.inner
        .put(&first.path(), "damaged".into())
        .await
        .unwrap();
    assert_eq!(counts(&case.run().await), [3, 0, 1, 0, 0]);
}

/// Whatever a put came to, the next run lands the rest, and nothing twice.
#[tokio::test]
async fn an_import_that_was_broken_off_goes_on() {
    for fault in [Fault::Before, Fault::After, Fault::Full] {
        for spared in 0..4 {
            let case = Case::new();
            for number in 0..11 {
                case.put(&format!("batch-{number:02}"), b"[1]").await;
            }
            let broken = Faulty::later(Arc::clone(&case.inner), fault, spared, 1);
            assert!(case.onto(broken).await.is_err(), "{fault:?} {spared}");
            let imported = case.run().await;
            assert_eq!(imported.events + imported.known, 11, "{fault:?} {spared}");
            assert!(imported.known >= 3 * spared as u64, "{fault:?} {spared}");
            let landed = case.landed().await;
            assert_eq!(landed.len(), 11);
            assert!(
                landed.values().all(|times| *times == 1),
                "{fault:?} {spared} {landed:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_object_of_the_future_was_received_now_and_is_known_later() {
    // The store's clock is months ahead of ours.
    let case = Case::new();
    case.put("a.json", b"[]").await;
    assert_eq!(case.run().await.events, 1);
    let batch = case.batches().await.remove(0);
    assert_eq!(batch.envelope.received_at, case.clock.now());
    let (name, _) = &batch.envelope.headers[1];
    assert_eq!(name, WRITTEN_HEADER);
    for later in ["2026-01-03T00:00:00Z", "2036-01-03T00:00:00Z"] {
        case.clock.set(later.parse().unwrap());
        assert_eq!(case.run().await.known, 1);
    }
}
