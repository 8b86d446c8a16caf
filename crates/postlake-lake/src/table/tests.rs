//! Appends, positions and changes on a real lake in a temporary directory.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use tempfile::TempDir;

use crate::fixture::decoded;
use crate::{DataUrl, ErrorKind, Lake, LakeTable};

fn lake(directory: &TempDir) -> Lake {
    let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
    Lake::open(&url).unwrap()
}

async fn events(lake: &Lake) -> LakeTable {
    lake.table(Table::Events).await.unwrap().unwrap()
}

fn rows(ids: &[u64]) -> RecordBatch {
    let items: Vec<_> = ids
        .iter()
        .map(|id| {
            let day = 1_460_989_507 + id * 86_400;
            format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{day}"}}}}}}"#)
        })
        .collect();
    decoded(&items)
}

fn at(stream: &str, number: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([(stream.to_owned(), number)])
}

#[tokio::test]
async fn a_lake_that_was_not_created_has_no_tables_and_creating_twice_is_harmless() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    assert!(lake.table(Table::Events).await.unwrap().is_none());
    lake.create_missing().await.unwrap();
    lake.create_missing().await.unwrap();
    for table in Table::ALL {
        assert_eq!(lake.table(table).await.unwrap().unwrap().version(), 0);
    }
}

#[tokio::test]
async fn rows_and_positions_come_in_one_commit() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    assert_eq!(table.position("s").await.unwrap(), None);
    let version = table
        .append(vec![rows(&[1, 2])], &at("s", 7))
        .await
        .unwrap();
    assert_eq!(version, 1);
    let read = events(&lake).await;
    assert_eq!(read.position("s").await.unwrap(), Some(7));
    let batches: Vec<_> = read
        .select("SELECT * FROM events")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(found, 2);
}

#[tokio::test]
async fn a_commit_over_what_was_not_read_is_refused() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let (mut one, mut two) = (events(&lake).await, events(&lake).await);
    one.append(vec![rows(&[1])], &at("s", 1)).await.unwrap();
    // Not even for another stream: what the first commit brought may hold the same events.
    let error = two.append(vec![rows(&[1])], &at("t", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    two.refresh().await.unwrap();
    assert_eq!(two.position("s").await.unwrap(), Some(1));
    assert_eq!(two.position("t").await.unwrap(), None);
}

#[tokio::test]
async fn positions_outlive_a_checkpoint_of_the_log() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    table
        .append(vec![rows(&[1])], &at("early", 3))
        .await
        .unwrap();
    for number in 1..=100 {
        table.append(Vec::new(), &at("s", number)).await.unwrap();
    }
    let log = directory.path().join("lake/events/_delta_log");
    let checkpoints = std::fs::read_dir(log).unwrap();
    let checkpoints = checkpoints.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".checkpoint")
    });
    assert!(checkpoints.count() > 0);
    let read = events(&lake).await;
    assert_eq!(read.position("early").await.unwrap(), Some(3));
    assert_eq!(read.position("s").await.unwrap(), Some(100));
}

#[tokio::test]
async fn a_change_has_the_rows_of_its_version_alone() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    table
        .append(vec![rows(&[1, 2])], &at("s", 1))
        .await
        .unwrap();
    table.append(Vec::new(), &at("s", 2)).await.unwrap();
    table.append(vec![rows(&[3])], &at("s", 3)).await.unwrap();
    let mut found = Vec::new();
    for version in 0..=table.version() {
        let change = table.change(version).await.unwrap();
        for batch in &change.batches {
            assert_eq!(batch.schema(), Table::Events.schema());
        }
        found.push(
            change
                .batches
                .iter()
                .map(RecordBatch::num_rows)
                .sum::<usize>(),
        );
    }
    assert_eq!(found, [0, 2, 0, 1]);
    let error = table.change(99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[tokio::test]
async fn rows_of_many_days_come_in_one_commit_and_each_once() {
    use arrow::array::AsArray as _;
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    let ids: Vec<u64> = (0..40).collect();
    let version = table.append(vec![rows(&ids)], &at("s", 1)).await.unwrap();
    assert_eq!(version, 1);
    let change = table.change(1).await.unwrap();
    let mut found: Vec<u64> = Vec::new();
    for batch in &change.batches {
        let ids = batch.column_by_name("event_id").unwrap();
        let ids = ids.as_string::<i32>().iter().flatten();
        found.extend(ids.map(|id| id.parse::<u64>().unwrap()));
    }
    found.sort_unstable();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn what_is_written_piece_by_piece_is_one_commit_with_a_file_for_each_day() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    let mut append = table.begin().unwrap();
    for ids in [&[1, 2][..], &[2, 3], &[], &[1]] {
        append.write(rows(ids)).await.unwrap();
    }
    assert_eq!((append.rows(), events(&lake).await.version()), (5, 0));
    assert_eq!(table.commit(append, &at("s", 1)).await.unwrap(), 1);
    let mut files = events(&lake).await.data_files().unwrap();
    files.sort_by_key(|file| file.day);
    let found: Vec<_> = files
        .iter()
        .map(|file| (file.day.unwrap(), file.rows, file.flagged))
        .collect();
    // Each id is an event of another day.
    let first = 1_460_989_507 / 86_400;
    let expected = [(1, 2), (2, 2), (3, 1)].map(|(id, rows)| (first + id, Some(rows), Some(0)));
    assert_eq!(found, expected);
    let second = 1_460_989_507 + 86_400;
    assert_eq!(files[0].seconds, Some((second, second + 1)));
    // Dropped, it leaves nothing that anybody sees.
    let mut append = table.begin().unwrap();
    append.write(rows(&[7])).await.unwrap();
    drop(append);
    assert_eq!(events(&lake).await.version(), 1);
}

#[tokio::test]
async fn nobody_goes_past_a_commit_that_was_not_looked_at() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut behind = events(&lake).await;
    let mut other = events(&lake).await;
    other.append(vec![rows(&[1])], &at("s", 1)).await.unwrap();
    let since = behind.since().await.unwrap();
    // After the look, and before what follows from it.
    other.append(vec![rows(&[2])], &at("s", 2)).await.unwrap();
    behind.go_past(&since).await.unwrap();
    assert_eq!((behind.version(), other.version()), (1, 2));
    let refused = behind.append(vec![rows(&[2])], &at("s", 2)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}
