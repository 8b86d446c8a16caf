//! A real lake in a temporary directory; its clock is the caller's.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use tempfile::TempDir;

use super::*;
use crate::fixture::decoded;
use crate::{DataUrl, Job, Lake, Onto, Passed};

#[expect(
    clippy::disallowed_methods,
    reason = "files are as old as the system says"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn rows(id: u64) -> RecordBatch {
    decoded(&[format!(
        r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"1460989507"}}}}}}"#
    )])
}

struct World {
    directory: TempDir,
    lake: Lake,
}

impl World {
    async fn new(appends: u64) -> World {
        let directory = TempDir::new().unwrap();
        let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
        let lake = Lake::open(&url).unwrap();
        lake.create_missing().await.unwrap();
        let world = World { directory, lake };
        let mut table = world.table().await;
        for id in 0..appends {
            table
                .append(vec![rows(id)], &BTreeMap::new())
                .await
                .unwrap();
        }
        world
    }

    async fn table(&self) -> LakeTable {
        self.lake.table(Table::Events).await.unwrap().unwrap()
    }

    async fn compact(&self) {
        let mut table = self.table().await;
        let files = table.stored_files().unwrap();
        let mut rewrite = table.begin_rewrite(Job::Compact).unwrap();
        let mut keep = |rows| Ok(Passed::kept(rows));
        rewrite.pass(&files, None, &mut keep).await.unwrap();
        let nothing = BTreeMap::new();
        let committed = table.commit_rewrite(rewrite, &nothing, Onto::OtherRows);
        committed.await.unwrap();
    }

    fn files(&self) -> usize {
        let day = self
            .directory
            .path()
            .join("lake/events/event_date=2016-04-18");
        let names = std::fs::read_dir(day).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".parquet"))
            .count()
    }

    async fn count(&self) -> usize {
        let table = self.table().await;
        let batches = table.select("SELECT event_id FROM events").await.unwrap();
        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
        batches.iter().map(RecordBatch::num_rows).sum()
    }
}

fn vacuum(after: TimeDelta, keep: TimeDelta) -> Vacuum {
    Vacuum {
        now: now() + after,
        keep,
        unread_from: None,
        read: HashSet::new(),
    }
}

#[tokio::test]
async fn replaced_files_go_after_their_time_and_rows_stay() {
    let world = World::new(5).await;
    world.compact().await;
    let keep = TimeDelta::days(2);
    let early = world
        .table()
        .await
        .vacuum(&vacuum(TimeDelta::days(1), keep))
        .await
        .unwrap();
    assert_eq!((early.files, world.files()), (0, 6));
    let late = vacuum(TimeDelta::days(3), keep);
    let dry = world.table().await.vacuumable(&late).await.unwrap();
    assert_eq!((dry.files, world.files()), (5, 6));
    let done = world.table().await.vacuum(&late).await.unwrap();
    assert_eq!((done.files, done.bytes, world.files()), (5, dry.bytes, 1));
    assert_eq!(world.count().await, 5);
    let again = world.table().await.vacuum(&late).await.unwrap();
    assert_eq!(again.files, 0);
}

#[tokio::test]
async fn what_somebody_has_still_to_read_stays() {
    let world = World::new(5).await;
    world.compact().await;
    let unread = Vacuum {
        // Version 3 brought the third row.
        unread_from: Some(3),
        ..vacuum(TimeDelta::days(30), TimeDelta::days(2))
    };
    let done = world.table().await.vacuum(&unread).await.unwrap();
    assert_eq!((done.files, world.files()), (2, 4));
    let table = world.table().await;
    for version in 3..=5 {
        assert_eq!(table.change(version).await.unwrap().batches.len(), 1);
    }
    // What went is said to be gone.
    let error = table.change(2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(format!("{error:?}").contains("MissingVersion"), "{error:?}");
}

#[tokio::test]
async fn a_file_that_no_log_names_is_left_to_its_writer_for_a_day() {
    let world = World::new(1).await;
    let mut append = world.table().await.begin().unwrap();
    append.write(rows(7)).await.unwrap();
    drop(append.finish().await.unwrap());
    let none = TimeDelta::zero();
    let soon = world
        .table()
        .await
        .vacuum(&vacuum(TimeDelta::hours(1), none))
        .await
        .unwrap();
    assert_eq!((soon.files, world.files()), (0, 2));
    let later = world
        .table()
        .await
        .vacuum(&vacuum(TimeDelta::hours(25), none))
        .await
        .unwrap();
    assert_eq!((later.files, world.files()), (1, 1));
    assert_eq!(world.count().await, 1);
}

#[tokio::test]
async fn log_entries_go_behind_a_checkpoint_and_never_those_that_somebody_reads() {
    let world = World::new(30).await;
    let entries = || {
        let log = world.directory.path().join("lake/events/_delta_log");
        let names = std::fs::read_dir(log).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".json")).count()
    };
    let keep = TimeDelta::days(2);
    let early = vacuum(TimeDelta::days(1), keep);
    assert_eq!(
        world
            .table()
            .await
            .vacuum(&early)
            .await
            .unwrap()
            .log_entries,
        0
    );
    assert_eq!(entries(), 31);
    let unread = Vacuum {
        unread_from: Some(12),
        ..vacuum(TimeDelta::days(9), keep)
    };
    // The only checkpoint is at 30, and 12 has still to be read.
    assert_eq!(
        world
            .table()
            .await
            .vacuum(&unread)
            .await
            .unwrap()
            .log_entries,
        0
    );
    let late = vacuum(TimeDelta::days(9), keep);
    assert_eq!(
        world.table().await.vacuum(&late).await.unwrap().log_entries,
        30
    );
    assert_eq!(entries(), 1);
    assert_eq!(world.count().await, 30);
    let mut table = world.table().await;
    table
        .append(vec![rows(99)], &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(world.count().await, 31);
}

#[tokio::test]
async fn a_file_that_is_committed_at_the_last_moment_stays() {
    let world = World::new(1).await;
    let mut writer = world.table().await;
    let mut append = writer.begin().unwrap();
    append.write(rows(7)).await.unwrap();
    let mut stale = world.table().await;
    writer.commit(append, &BTreeMap::new()).await.unwrap();
    let later = vacuum(TimeDelta::hours(25), TimeDelta::zero());
    let done = stale.vacuum(&later).await.unwrap();
    assert_eq!((done.files, world.files()), (0, 2));
    assert_eq!(world.count().await, 2);
}
