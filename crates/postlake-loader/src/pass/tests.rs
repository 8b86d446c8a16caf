//! Passes over a real lake in a temporary directory.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use postlake_lake::DataUrl;
use postlake_raw::clock::ManualClock;
use postlake_raw::{Batch, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use tempfile::TempDir;

use super::*;

mod crowd;
mod plain_set;
mod rewritten;

pub(crate) struct World {
    pub(crate) raw: RawStore,
    pub(crate) lake: Lake,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stream: StreamName,
    pub(crate) next: u64,
    pub(crate) directory: TempDir,
}

pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

impl World {
    pub(crate) fn new() -> World {
        let directory = TempDir::new().unwrap();
        let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
        World {
            raw: RawStore::new(Arc::new(InMemory::new())),
            lake: Lake::open(&url).unwrap(),
            clock: Arc::new(ManualClock::new(noon())),
            stream: StreamName::from_parts(noon(), 7),
            next: 1,
            directory,
        }
    }

    pub(crate) fn loader(&self) -> Loader {
        self.loader_within(PassLimits::default())
    }

    pub(crate) fn loader_within(&self, limits: PassLimits) -> Loader {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Loader::new(self.raw.clone(), self.lake.clone(), clock, limits)
    }

    pub(crate) fn key(&self, number: u64) -> SegmentKey {
        SegmentKey::new(self.stream, SegmentNumber::new(number).unwrap())
    }

    pub(crate) async fn land(&mut self, bodies: &[&str]) -> SegmentKey {
        let batches: Vec<_> = bodies
            .iter()
            .map(|body| {
                let body = Bytes::copy_from_slice(body.as_bytes());
                Batch::new(
                    SourceKind::Event,
                    noon(),
                    Some("id".to_owned()),
                    Vec::new(),
                    body,
                )
            })
            .collect();
        let key = self.key(self.next);
        let bytes = segment::encode(&key, &batches).unwrap();
        self.raw.land(&key, bytes).await.unwrap();
        self.next += 1;
        key
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let table = Table::ALL
            .into_iter()
            .find(|table| sql.contains(&format!("FROM {}", table.name())));
        let table = self.lake.table(table.unwrap()).await.unwrap().unwrap();
        let rows: Vec<_> = table
            .select(sql)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        rows[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    pub(crate) async fn counts(&self) -> [i64; 4] {
        {
            let mut counts = [0; 4];
            for (count, table) in counts.iter_mut().zip(Table::ALL) {
                *count = self
                    .number(&format!("SELECT count(*) FROM {}", table.name()))
                    .await;
            }
            counts
        }
    }

    async fn books_balance(&self) {
        for (column, table) in [
            ("events", "events"),
            ("alerts", "alerts"),
            ("rejects", "quarantine"),
        ] {
            let sum = self
                .number(&format!("SELECT coalesce(sum({column}), 0) FROM batches"))
                .await;
            let rows = self.number(&format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(sum, rows, "{table}");
        }
        let sql =
            "SELECT count(*) FROM batches WHERE items <> events + alerts + duplicates + rejects";
        assert_eq!(self.number(sql).await, 0);
    }
}

pub(crate) fn event(id: u64) -> String {
    format!(
        r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"1460989507"}}}}}}"#
    )
}

pub(crate) fn undated(id: u64) -> String {
    format!(
        r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"never"}}}}}}"#
    )
}

pub(crate) fn body(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

const ALERT: &str = r#"[{"alert_id":1,"metric":"health_score","triggered_value":40,"triggered_at":"2019-06-01T14:48:00.000Z","filters":{"subaccount_id":0}}]"#;

#[tokio::test]
async fn rows_rejects_duplicates_and_accounts_arrive_in_their_tables() {
    let mut world = World::new();
    let mixed = body(&[event(1), "{}".to_owned(), event(1), event(2)]);
    world.land(&[&mixed, "not json", "[]", ALERT]).await;
    world.land(&[ALERT]).await;
    let report = world.loader().pass().await.unwrap();
    let expected = PassReport {
        segments: 2,
        batches: 5,
        items: 7,
        events: 2,
        alerts: 1,
        duplicates: 2,
        rejects: 2,
        ..PassReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(world.counts().await, [2, 1, 2, 5]);
    world.books_balance().await;
}

#[tokio::test]
async fn a_pass_without_new_segments_commits_nothing() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let mut loader = world.loader();
    loader.pass().await.unwrap();
    let version = world
        .lake
        .table(Table::Events)
        .await
        .unwrap()
        .unwrap()
        .version();
    assert_eq!(loader.pass().await.unwrap(), PassReport::default());
    assert_eq!(world.loader().pass().await.unwrap(), PassReport::default());
    assert_eq!(
        world
            .lake
            .table(Table::Events)
            .await
            .unwrap()
            .unwrap()
            .version(),
        version
    );
}

#[tokio::test]
async fn resends_change_no_row_across_passes_restarts_and_streams() {
    let mut world = World::new();
    let batch = body(&[event(1), event(2), undated(3)]);
    world.land(&[&batch, ALERT]).await;
    let mut loader = world.loader();
    loader.pass().await.unwrap();
    world.land(&[&batch, ALERT]).await;
    assert_eq!(loader.pass().await.unwrap().duplicates, 4);
    // Another process on another day, another receiver's stream.
    world.clock.set(noon() + chrono::Days::new(40));
    world.stream = StreamName::from_parts(noon() + chrono::Days::new(40), 8);
    world.next = 1;
    world.land(&[&batch, ALERT]).await;
    assert_eq!(world.loader().pass().await.unwrap().duplicates, 4);
    assert_eq!(world.counts().await, [3, 1, 0, 6]);
    world.books_balance().await;
}

/// A pass that is cut off after its commit to `last`: tables up to that are ahead of `batches`.
async fn cut_off_after(world: &World, limits: PassLimits, last: Option<Table>) {
    let loader = world.loader_within(limits);
    let mut open = loader.open_lake().await.unwrap();
    let discovery = &mut open.discovery;
    let found = discovery
        .new_segments(&world.raw, &mut open.tables, noon(), limits.segments)
        .await
        .unwrap();
    let source = Source::new(world.raw.clone(), found.segments, limits);
    let mut report = PassReport::default();
    let (_, files) = loader.load(&mut open, source, &mut report).await.unwrap();
    if let (Some(last), true) = (last, report.segments > 0) {
        files.commit(&mut open.tables, last).await.unwrap();
    }
}

#[tokio::test]
async fn a_pass_cut_off_between_two_tables_is_completed_with_right_accounts() {
    let order = [Table::Events, Table::Alerts, Table::Quarantine];
    for last in order.map(Some).into_iter().chain([None]) {
        let mut world = World::new();
        world.land(&[&body(&[event(9)])]).await;
        world.loader().pass().await.unwrap();
        let items = body(&[event(1), event(9), event(2)]);
        world.land(&[&items, "broken", ALERT]).await;
        cut_off_after(&world, PassLimits::default(), last).await;
        let report = world.loader().pass().await.unwrap();
        let found = (
            report.events,
            report.alerts,
            report.duplicates,
            report.rejects,
        );
        assert_eq!(found, (2, 1, 1, 1), "cut off after {last:?}");
        assert_eq!(world.counts().await, [3, 1, 1, 4]);
        world.books_balance().await;
    }
}

#[tokio::test]
async fn two_loaders_on_one_backlog_double_nothing() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    let (mut one, mut two) = (world.loader(), world.loader());
    one.pass().await.unwrap();
    two.pass().await.unwrap();
    world.land(&[&body(&[event(1), event(2)])]).await;
    one.pass().await.unwrap();
    // The second still believes in the state before: it is turned back, and right the next time.
    let error = two.pass().await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert_eq!(two.pass().await.unwrap(), PassReport::default());
    assert_eq!(world.counts().await, [2, 0, 0, 2]);
    world.books_balance().await;
}

#[tokio::test]
async fn a_batch_id_that_comes_with_other_bytes_is_kept_and_flagged() {
    let mut world = World::new();
    world.land(&[&body(&[event(1)])]).await;
    world.loader().pass().await.unwrap();
    world.land(&[&body(&[event(1)]), &body(&[event(2)])]).await;
    world.loader().pass().await.unwrap();
    let sql = "SELECT count(*) FROM batches WHERE flags = 'batch_id_reused'";
    assert_eq!(world.number(sql).await, 1);
    assert_eq!(world.counts().await, [2, 0, 0, 3]);
}

#[tokio::test]
async fn a_damaged_segment_is_quarantined_and_the_next_ones_load() {
    let mut world = World::new();
    let key = world.key(1);
    world
        .raw
        .land(&key, Bytes::from_static(b"garbage"))
        .await
        .unwrap();
    world.next = 2;
    world.land(&[&body(&[event(1)])]).await;
    let report = world.loader().pass().await.unwrap();
    assert_eq!((report.damaged_segments, report.events), (1, 1));
    assert_eq!(world.counts().await, [1, 0, 1, 1]);
    assert_eq!(world.loader().pass().await.unwrap(), PassReport::default());
}

#[tokio::test]
async fn limits_cut_a_pass_and_say_so() {
    let mut world = World::new();
    for id in 0..5 {
        world.land(&[&body(&[event(id)])]).await;
    }
    let limits = PassLimits {
        segments: 2,
        ..PassLimits::default()
    };
    let mut loader = world.loader_within(limits);
    let mut segments = Vec::new();
    loop {
        let report = loader.pass().await.unwrap();
        segments.push(report.segments);
        if !report.more {
            break;
        }
    }
    assert_eq!(segments, [2, 2, 1]);
    assert_eq!(world.counts().await, [5, 0, 0, 5]);
}

#[tokio::test]
async fn positions_never_go_back_when_a_later_pass_reaches_less_far() {
    let mut world = World::new();
    // A pass over three segments is broken off after `events`; the next ones take one at a time.
    for id in 0..3 {
        world.land(&[&body(&[event(id)])]).await;
    }
    cut_off_after(&world, PassLimits::default(), Some(Table::Events)).await;
    let limits = PassLimits {
        segments: 1,
        ..PassLimits::default()
    };
    let mut loader = world.loader_within(limits);
    for _ in 0..3 {
        let report = loader.pass().await.unwrap();
        assert_eq!((report.events, report.duplicates), (1, 0));
    }
    assert_eq!(world.counts().await, [3, 0, 0, 3]);
    world.books_balance().await;
}

#[tokio::test]
async fn a_disk_that_refuses_keys_costs_one_pass() {
    let mut world = World::new();
    let limits = PassLimits {
        keys: KeyLimits {
            loose: 2,
            ..KeyLimits::default()
        },
        ..PassLimits::default()
    };
    let mut loader = world.loader_within(limits);
    loader.key_folder = world.directory.path().join("nothing");
    let items: Vec<_> = (0..9).map(event).collect();
    world.land(&[&body(&items)]).await;
    assert_eq!(loader.pass().await.unwrap().events, 9);
    world.land(&[&body(&items)]).await;
    let error = loader.pass().await.unwrap_err();
    assert!(matches!(error, LoadError::Keys(_)), "{error:?}");
    assert_eq!(loader.pass().await.unwrap().duplicates, 9);
    assert_eq!(world.counts().await, [9, 0, 0, 2]);
    // After a while the disk is tried again.
    world.clock.advance(WITHOUT_DISK + TimeDelta::minutes(1));
    loader.key_folder = world.directory.path().to_owned();
    world.land(&[&body(&items)]).await;
    assert_eq!(loader.pass().await.unwrap().duplicates, 9);
    assert!(loader.keys_refused_at.is_none());
}

#[tokio::test]
async fn a_stream_with_a_hole_holds_up_no_other() {
    let mut world = World::new();
    world.next = 2;
    world.land(&[&body(&[event(1)])]).await;
    world.stream = StreamName::from_parts(noon(), 9);
    world.next = 1;
    world.land(&[&body(&[event(2)])]).await;
    let report = world.loader().pass().await.unwrap();
    assert_eq!((report.events, report.blocked_streams), (1, 1));
    // The hole is filled: the stream goes on.
    world.stream = StreamName::from_parts(noon(), 7);
    world.next = 1;
    world.land(&[&body(&[event(3)])]).await;
    assert_eq!(world.loader().pass().await.unwrap().events, 2);
    assert_eq!(world.counts().await, [3, 0, 0, 3]);
}
