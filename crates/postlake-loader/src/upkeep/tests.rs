//! Upkeep of a real lake that a real loader has filled.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use object_store::memory::InMemory;
use postlake_event::sink::{Checkpoint, Delivery, SinkError, Taken};
use postlake_lake::DataUrl;
use postlake_raw::clock::{Clock, ManualClock};
use postlake_raw::{Batch, RawStore, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use tempfile::TempDir;

use super::*;
use crate::books::{Hour, Window, verify};
use crate::{Choice, KeyLimits, Loader, PassLimits, Replay, ReplayReport, deliver_pending};

pub(super) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

pub(super) struct World {
    pub(super) raw: RawStore,
    pub(super) lake: Lake,
    pub(super) clock: Arc<ManualClock>,
    loader: Loader,
    next: u64,
    _directory: TempDir,
}

impl World {
    pub(super) fn new() -> World {
        let directory = TempDir::new().unwrap();
        let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
        let raw = RawStore::new(Arc::new(InMemory::new()));
        let lake = Lake::open(&url).unwrap();
        let clock = Arc::new(ManualClock::new(noon()));
        let limits = PassLimits::default();
        let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        World {
            loader: Loader::new(raw.clone(), lake.clone(), as_clock, limits),
            raw,
            lake,
            clock,
            next: 0,
            _directory: directory,
        }
    }

    /// A batch received now, loaded at once: events of now, and one item that is broken.
    pub(super) async fn receive(&mut self, events: u64) {
        self.land(self.clock.now(), events).await;
        self.loader.pass().await.unwrap();
    }

    /// A batch received then, and not loaded.
    pub(super) async fn land_unloaded(&mut self, at: DateTime<Utc>) {
        self.land(at, 1).await;
    }

    /// Segments of one stream, each with an event, loaded.
    async fn stream(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let key = SegmentKey::new(streamed(), SegmentNumber::new(number).unwrap());
            let body = body(number, noon(), 1);
            let batch = Batch::new(SourceKind::Event, noon(), None, Vec::new(), body);
            let bytes = segment::encode(&key, &[batch]).unwrap();
            self.raw.land(&key, bytes).await.unwrap();
        }
        self.loader.pass().await.unwrap();
    }

    /// The batch with this number, received then, comes once more, to a loader that remembers nothing.
    pub(super) async fn resend(&mut self, number: u64, then: DateTime<Utc>, events: u64) {
        let body = body(number, then, events);
        self.land_body(self.clock.now(), body).await;
        let as_clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let limits = PassLimits::default();
        self.loader = Loader::new(self.raw.clone(), self.lake.clone(), as_clock, limits);
        self.loader.pass().await.unwrap();
    }

    async fn land(&mut self, now: DateTime<Utc>, events: u64) {
        self.land_body(now, body(self.next, now, events)).await;
    }

    async fn land_body(&mut self, now: DateTime<Utc>, body: Bytes) {
        let batch = Batch::new(SourceKind::Event, now, None, Vec::new(), body);
        let stream = StreamName::from_parts(now, self.next);
        let key = SegmentKey::new(stream, SegmentNumber::new(1).unwrap());
        let bytes = segment::encode(&key, &[batch]).unwrap();
        self.raw.land(&key, bytes).await.unwrap();
        self.next += 1;
    }

    pub(super) async fn rows(&self, table: Table) -> u64 {
        let table = self.lake.table(table).await.unwrap().unwrap();
        let files = table.stored_files().unwrap();
        files.iter().map(|file| file.about.rows.unwrap()).sum()
    }

    /// Merges all that can be merged.
    async fn compacted(&self, now: DateTime<Utc>) -> Vec<Compacted> {
        let bounds = Bounds::none(&self.lake);
        let done = compact(&self.lake, now, &bounds, false, &mut |_| {}).await;
        done.unwrap()
    }

    pub(super) async fn files(&self, table: Table) -> usize {
        let table = self.lake.table(table).await.unwrap().unwrap();
        table.stored_files().unwrap().len()
    }

    pub(super) async fn books_hold(&self) -> Hour {
        let mut quiet = |_: &crate::books::Progress| {};
        let found = verify(&self.raw, &self.lake, Window::default(), &mut quiet).await;
        let found = found.unwrap();
        assert_eq!(found.findings.faults(), 0, "{:?}", found.findings.kept());
        found.hours.total()
    }

    /// Everything once more; nobody knows of any rule.
    pub(super) async fn replayed(&self) -> ReplayReport {
        let replay = Replay {
            raw: self.raw.clone(),
            lake: self.lake.clone(),
            now: self.clock.now(),
            keys: KeyLimits::default(),
            rules: Rules::default(),
            dry_run: false,
        };
        replay.run(&Choice::default(), &mut |_| ()).await.unwrap()
    }
}

fn streamed() -> StreamName {
    StreamName::from_parts(noon(), 77)
}

/// Events of then, and an item that is broken.
fn body(number: u64, then: DateTime<Utc>, events: u64) -> Bytes {
    let items = (0..events).map(|event| {
        let (id, at) = (number * 1000 + event, then.timestamp());
        format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{at}"}}}}}}"#)
    });
    let items: Vec<String> = items.chain(["7".to_owned()]).collect();
    Bytes::from(format!("[{}]", items.join(",")))
}

/// Counts the rows that it is given, until it is told to refuse.
#[derive(Debug, Default)]
struct Counting {
    held: Mutex<Option<Checkpoint>>,
    rows: Mutex<usize>,
}

#[derive(Debug)]
struct Shared(Arc<Counting>);

#[async_trait]
impl Sink for Shared {
    fn name(&self) -> &str {
        "counting"
    }

    fn tables(&self) -> &[Table] {
        &[Table::Events]
    }

    async fn checkpoint(&self, _table: Table) -> Result<Option<Checkpoint>, SinkError> {
        Ok(self.0.held.lock().unwrap().clone())
    }

    async fn advance(&self, _table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        *self.0.held.lock().unwrap() = Some(checkpoint.clone());
        Ok(())
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError> {
        *self.0.rows.lock().unwrap() += delivery
            .rows
            .iter()
            .map(|rows| rows.num_rows())
            .sum::<usize>();
        self.advance(delivery.table, delivery.checkpoint).await?;
        Ok(Taken::default())
    }
}

#[tokio::test]
async fn small_files_become_one_of_each_table_and_the_books_hold() {
    let mut world = World::new();
    for events in 1..=9 {
        world.receive(events).await;
    }
    assert_eq!(world.files(Table::Events).await, 9);
    let bounds = Bounds::none(&world.lake);
    let mut quiet = |_: &Compacted| {};
    let now = Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0).unwrap();
    let planned = compact(&world.lake, now, &bounds, true, &mut quiet)
        .await
        .unwrap();
    assert_eq!(world.files(Table::Events).await, 9);
    let done = world.compacted(now).await;
    for (planned, done) in planned.iter().zip(&done) {
        assert_eq!(planned.groups, done.groups);
        assert_eq!(planned.amounts.rows_read, done.amounts.rows_read);
        assert_eq!(
            (done.left, done.amounts.rows_read),
            (0, done.amounts.rows_kept)
        );
        let files = if done.table == Table::Alerts { 0 } else { 1 };
        assert_eq!(world.files(done.table).await, files);
    }
    assert_eq!(world.rows(Table::Events).await, 45);
    assert_eq!(world.rows(Table::Quarantine).await, 9);
    world.books_hold().await;
    let again = world.compacted(now).await;
    assert!(again.iter().all(|done| done.groups == 0));
    // The loader goes on, and a resend is found among the merged rows.
    world.receive(3).await;
    world.books_hold().await;
}

#[tokio::test]
async fn a_turn_is_bounded_and_the_next_one_goes_on() {
    let mut world = World::new();
    for events in 1..=8 {
        world.receive(events).await;
    }
    let bounds = Bounds {
        groups: Some(1),
        ..Bounds::none(&world.lake)
    };
    let mut quiet = |_: &Compacted| {};
    let now = world.clock.now();
    let mut turns = Vec::new();
    for _ in 0..4 {
        let done = compact(&world.lake, now, &bounds, false, &mut quiet)
            .await
            .unwrap();
        turns.push(done.iter().map(|done| done.groups).sum::<u64>());
    }
    assert_eq!(turns, [1, 1, 1, 0]);
    world.books_hold().await;
}

#[tokio::test]
async fn a_sink_that_is_behind_finds_what_it_has_not_read() {
    let mut world = World::new();
    let counting = Arc::new(Counting::default());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Shared(Arc::clone(&counting)))];
    let mut delivered = crate::Delivered::default();
    for events in 1..=4 {
        world.receive(events).await;
    }
    deliver_pending(&world.lake, sinks[0].as_ref(), &mut delivered)
        .await
        .unwrap();
    for events in 5..=8 {
        world.receive(events).await;
    }
    let now = world.clock.now();
    world.compacted(now).await;
    let late = Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0).unwrap();
    let late = Vacuuming {
        now: late,
        keep: TimeDelta::days(7),
        clock_is_right: true,
        dry_run: false,
    };
    let done = vacuum(&world.raw, &world.lake, &sinks, &late)
        .await
        .unwrap();
    assert_eq!((done[0].vacuumed.files, done[0].unread_from), (4, Some(5)));
    deliver_pending(&world.lake, sinks[0].as_ref(), &mut delivered)
        .await
        .unwrap();
    assert_eq!(*counting.rows.lock().unwrap(), 36);
    let done = vacuum(&world.raw, &world.lake, &sinks, &late)
        .await
        .unwrap();
    assert_eq!((done[0].vacuumed.files, done[0].unread_from), (4, None));
    assert_eq!(world.rows(Table::Events).await, 36);
    world.books_hold().await;
}

fn in_a_month(world: &World, clock_is_right: bool) -> Vacuuming {
    Vacuuming {
        // Files are as old as the system says.
        now: Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0).unwrap() + (world.clock.now() - noon()),
        keep: TimeDelta::days(7),
        clock_is_right,
        dry_run: false,
    }
}

#[tokio::test]
async fn a_clock_that_runs_ahead_deletes_no_file() {
    let mut world = World::new();
    for events in 1..=8 {
        world.receive(events).await;
    }
    let now = world.clock.now();
    world.compacted(now).await;
    let open = world.lake.table(Table::Events).await.unwrap().unwrap();
    let before = open.survey().await.unwrap().unnamed.files;
    assert!(before > 0);
    let jumped = in_a_month(&world, false);
    let refused = vacuum(&world.raw, &world.lake, &[], &jumped).await;
    assert!(matches!(refused, Err(LoadError::Clock(_))), "{refused:?}");
    assert_eq!(open.survey().await.unwrap().unnamed.files, before);
    // Nothing that was received is left to hold it against.
    let rules = Rules {
        raw: Some(0),
        batches: Some(0),
        ..Rules::default()
    };
    let retention = Retention {
        rules,
        now: now + TimeDelta::days(1),
        clock_is_right: true,
        dry_run: false,
    };
    retain(&world.raw, &world.lake, &retention).await.unwrap();
    let refused = vacuum(&world.raw, &world.lake, &[], &jumped).await;
    assert!(matches!(refused, Err(LoadError::Clock(_))), "{refused:?}");
    let sure = in_a_month(&world, true);
    let done = vacuum(&world.raw, &world.lake, &[], &sure).await.unwrap();
    assert_eq!(done[0].vacuumed.files, before);
}

#[tokio::test]
async fn a_sink_that_is_half_filled_finds_the_files_of_its_version() {
    let mut world = World::new();
    for events in 1..=8 {
        world.receive(events).await;
    }
    let now = world.clock.now();
    // The version that it is filled with has a merged file, which brought no row.
    world.compacted(now).await;
    let open = world.lake.table(Table::Events).await.unwrap().unwrap();
    let filling = Filling::new(open.id().unwrap(), open.version());
    let counting = Arc::new(Counting::default());
    let begun = Checkpoint {
        version: 0,
        ..filling.at(0)
    };
    *counting.held.lock().unwrap() = Some(begun);
    let mut rewrite = open.begin_rewrite(postlake_lake::Job::Compact).unwrap();
    let mut keep = |rows| Ok(postlake_lake::Passed::kept(rows));
    let files = open.stored_files().unwrap();
    rewrite.pass(&files, None, &mut keep).await.unwrap();
    let mut newer = world.lake.table(Table::Events).await.unwrap().unwrap();
    let nothing = std::collections::BTreeMap::new();
    newer
        .commit_rewrite(rewrite, &nothing, postlake_lake::Onto::OtherRows)
        .await
        .unwrap();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Shared(Arc::clone(&counting)))];
    let late = in_a_month(&world, true);
    vacuum(&world.raw, &world.lake, &sinks, &late)
        .await
        .unwrap();
    let there = world.lake.table_at(Table::Events, filling.version()).await;
    let there = there.unwrap().unwrap().survey().await.unwrap();
    assert_eq!((there.faults, there.rows), (Vec::new(), 36));
}

#[tokio::test]
async fn one_unreadable_file_holds_up_no_other() {
    let mut world = World::new();
    for events in 1..=20 {
        world.receive(events).await;
    }
    let open = world.lake.table(Table::Events).await.unwrap().unwrap();
    let broken = open.stored_files().unwrap().swap_remove(3);
    let lake = world.lake.url().directory().unwrap().join("lake/events");
    std::fs::write(lake.join(&broken.path), "no parquet").unwrap();
    let now = world.clock.now();
    let done = world.compacted(now).await;
    assert_eq!((done[0].unreadable, done[0].groups), (1, 1));
    assert_eq!(world.files(Table::Events).await, 2);
    assert_eq!(world.files(Table::Batches).await, 1);
}

#[tokio::test]
async fn raw_segments_of_past_days_are_merged_and_everything_reads_them() {
    let mut world = World::new();
    world.stream(1..=12).await;
    // Not loaded: left alone.
    let key = |number| SegmentKey::new(streamed(), SegmentNumber::new(number).unwrap());
    let batch = Batch::new(
        SourceKind::Event,
        noon(),
        None,
        Vec::new(),
        body(99, noon(), 1),
    );
    let bounds = Bounds::none(&world.lake);
    let merge = async |world: &World, days: i64, dry_run: bool| {
        let now = noon() + TimeDelta::days(days);
        merge_raw(&world.raw, &world.lake, now, &bounds, dry_run)
            .await
            .unwrap()
    };
    // Its stream may still be written.
    assert_eq!(merge(&world, 2, false).await, MergedRaw::default());
    let unloaded = segment::encode(&key(13), &[batch]).unwrap();
    world.raw.land(&key(13), unloaded).await.unwrap();
    let planned = merge(&world, 3, true).await;
    assert_eq!((planned.objects, planned.segments), (1, 12));
    let before = world.raw.read_bytes(&key(7)).await.unwrap();
    assert_eq!(merge(&world, 3, false).await, planned);
    assert_eq!(merge(&world, 3, false).await, MergedRaw::default());
    assert_eq!(world.raw.read_bytes(&key(7)).await.unwrap(), before);
    // Who verifies, loads, replays and lets go reads them as before.
    let books = world.books_hold().await;
    assert_eq!((books.received_batches, books.waiting_batches), (13, 1));
    world.clock.set(noon() + TimeDelta::days(3));
    world.receive(1).await;
    assert_eq!(world.books_hold().await.batches, 14);
    assert!(world.replayed().await.changes_nothing());
    let emptied = World::new();
    let emptied = World {
        raw: world.raw.clone(),
        loader: Loader::new(
            world.raw.clone(),
            emptied.lake.clone(),
            Arc::clone(&world.clock) as Arc<dyn Clock>,
            PassLimits::default(),
        ),
        ..emptied
    };
    let mut emptied = emptied;
    emptied.loader.pass().await.unwrap();
    assert_eq!(
        emptied.rows(Table::Events).await,
        world.rows(Table::Events).await
    );
    let rules = Rules {
        raw: Some(1),
        ..Rules::default()
    };
    let retention = Retention {
        rules,
        now: world.clock.now(),
        clock_is_right: true,
        dry_run: false,
    };
    let gone = retain(&world.raw, &world.lake, &retention).await.unwrap();
    assert_eq!(gone.raw.unwrap().segments, 13);
    assert_eq!(world.raw.dates().await.unwrap().len(), 1);
    world.books_hold().await;
}

#[tokio::test]
async fn a_damaged_segment_stays_and_those_beside_it_are_merged() {
    let mut world = World::new();
    let damaged = SegmentKey::new(streamed(), SegmentNumber::new(5).unwrap());
    world.raw.land(&damaged, "no segment".into()).await.unwrap();
    world.stream((1..=4).chain(6..=12)).await;
    let bounds = Bounds::none(&world.lake);
    let now = noon() + TimeDelta::days(9);
    let done = merge_raw(&world.raw, &world.lake, now, &bounds, false)
        .await
        .unwrap();
    assert_eq!((done.objects, done.segments, done.unreadable), (2, 11, 1));
    assert_eq!(world.raw.read_bytes(&damaged).await.unwrap(), "no segment");
}
