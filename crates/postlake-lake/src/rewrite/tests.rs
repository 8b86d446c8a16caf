//! Rewrites of a real lake in a temporary directory.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, BooleanArray};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt as _;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::fixture::decoded;
use crate::{DataUrl, Lake};

/// Noon of a day in 2016, in seconds.
const NOON: u64 = 1_460_980_800;

async fn lake(directory: &TempDir) -> Lake {
    let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
    let lake = Lake::open(&url).unwrap();
    lake.create_missing().await.unwrap();
    lake
}

async fn events(lake: &Lake) -> LakeTable {
    lake.table(Table::Events).await.unwrap().unwrap()
}

/// Events of one day, the later the larger their id.
fn rows(ids: impl IntoIterator<Item = u64>) -> RecordBatch {
    let items: Vec<_> = ids
        .into_iter()
        .map(|id| {
            let at = NOON + id;
            format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{at}","rcpt_to":"r{}@example.com"}}}}}}"#, id % 3)
        })
        .collect();
    decoded(&items)
}

async fn append(table: &mut LakeTable, ids: impl IntoIterator<Item = u64>) {
    let rows = rows(ids);
    table.append(vec![rows], &BTreeMap::new()).await.unwrap();
}

fn ids_of(batch: &RecordBatch) -> Vec<u64> {
    let ids = batch.column_by_name("event_id").unwrap();
    let ids = arrow::compute::cast(ids, &arrow::datatypes::DataType::Utf8).unwrap();
    let ids = ids.as_string::<i32>().iter().flatten();
    ids.map(|id| id.parse().unwrap()).collect()
}

/// The ids that a reader of the newest version finds, sorted.
async fn found(lake: &Lake) -> Vec<u64> {
    let table = events(lake).await;
    let batches = table.select("SELECT event_id FROM events").await.unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let mut ids: Vec<u64> = batches.iter().flat_map(ids_of).collect();
    ids.sort_unstable();
    ids
}

/// The ids that a reader of the log is given from a version on.
async fn told(lake: &Lake, from: u64) -> Vec<u64> {
    let table = events(lake).await;
    let mut ids = Vec::new();
    for version in from..=table.version() {
        let change = table.change(version).await.unwrap();
        ids.extend(change.batches.iter().flat_map(ids_of));
    }
    ids
}

fn sorting(directory: &TempDir) -> Sorting {
    Sorting {
        columns: &["rcpt_to", "event_at"],
        folder: directory.path().to_owned(),
        memory_bytes: 1 << 20,
    }
}

/// All files of the table become one.
async fn compact(table: &mut LakeTable, sorting: Sorting) -> Result<Amounts, LakeError> {
    let files = table.stored_files().unwrap();
    let mut rewrite = table.begin_rewrite(Job::Compact)?;
    let mut keep = |rows| Ok(Passed::kept(rows));
    rewrite.pass(&files, Some(sorting), &mut keep).await?;
    table
        .commit_rewrite(rewrite, &BTreeMap::new(), Onto::OtherRows)
        .await
}

/// Rows of these ids go.
async fn erase(table: &mut LakeTable, gone: &[u64], onto: Onto) -> Result<Amounts, LakeError> {
    let files = table.stored_files().unwrap();
    let mut rewrite = table.begin_rewrite(Job::Erase)?;
    let mut take_out = |rows: RecordBatch| {
        let stays: BooleanArray = ids_of(&rows)
            .iter()
            .map(|id| Some(!gone.contains(id)))
            .collect();
        filter_record_batch(&rows, &stays).map(Passed::kept)
    };
    rewrite.pass(&files, None, &mut take_out).await?;
    table.commit_rewrite(rewrite, &BTreeMap::new(), onto).await
}

#[tokio::test]
async fn many_files_become_one_with_the_same_rows_in_order_and_nobody_is_told() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    for part in 0..5 {
        append(&mut table, (part * 10..part * 10 + 10).rev()).await;
    }
    let amounts = compact(&mut table, sorting(&directory)).await.unwrap();
    assert_eq!(
        (
            amounts.files_removed,
            amounts.files_added,
            amounts.rows_read,
            amounts.rows_kept
        ),
        (5, 1, 50, 50)
    );
    assert!(amounts.bytes_added > 0 && amounts.bytes_added < amounts.bytes_removed);
    assert_eq!(table.version(), 6);
    assert_eq!(found(&lake).await, (0..50).collect::<Vec<_>>());
    assert_eq!(told(&lake, 6).await, Vec::<u64>::new());
    let table = events(&lake).await;
    let files = table.stored_files().unwrap();
    assert_eq!((files.len(), files[0].about.rows), (1, Some(50)));
    let second = i64::try_from(NOON).unwrap();
    assert_eq!(files[0].about.seconds, Some((second, second + 50)));
    let rows = table.rows_of(&files[0]).await.unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let order: Vec<u64> = rows.iter().flat_map(ids_of).collect();
    let by_recipient = (0..3).flat_map(|recipient| (recipient..50).step_by(3));
    assert_eq!(order, by_recipient.collect::<Vec<_>>());
    let log = directory
        .path()
        .join("lake/events/_delta_log/00000000000000000006.json");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(r#""operation":"OPTIMIZE""#), "{log}");
    assert!(log.contains(r#""postlake":{"job":"compact"}"#), "{log}");
    assert!(!log.contains(r#""dataChange":true"#), "{log}");
}

#[tokio::test]
async fn rows_that_go_are_gone_and_rows_that_come_are_told() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    append(&mut table, 0..10).await;
    let files = table.stored_files().unwrap();
    let mut rewrite = table.begin_rewrite(Job::Replay).unwrap();
    // The even ones stay, 7 comes anew, the other odd ones go.
    let mut function = |batch: RecordBatch| {
        let even: BooleanArray = ids_of(&batch).iter().map(|id| Some(id % 2 == 0)).collect();
        let seven: BooleanArray = ids_of(&batch).iter().map(|id| Some(*id == 7)).collect();
        Ok(Passed {
            kept: filter_record_batch(&batch, &even)?,
            fresh: Some(filter_record_batch(&batch, &seven)?),
        })
    };
    rewrite.pass(&files, None, &mut function).await.unwrap();
    rewrite.add(rows([20, 21])).await.unwrap();
    let positions = BTreeMap::from([("replay".to_owned(), 3)]);
    let amounts = table
        .commit_rewrite(rewrite, &positions, Onto::SameRows)
        .await
        .unwrap();
    assert_eq!((amounts.rows_kept, amounts.rows_fresh), (5, 3));
    assert_eq!(found(&lake).await, [0, 2, 4, 6, 7, 8, 20, 21]);
    let mut news = told(&lake, 2).await;
    news.sort_unstable();
    assert_eq!(news, [7, 20, 21]);
    let position = events(&lake).await.position("replay").await.unwrap();
    assert_eq!(position, Some(3));
}

#[tokio::test]
async fn a_rewrite_goes_on_top_of_what_leaves_its_files_alone() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    append(&mut table, 0..3).await;
    append(&mut table, 3..6).await;
    let (mut one, mut other) = (events(&lake).await, events(&lake).await);
    append(&mut table, 6..9).await;
    compact(&mut one, sorting(&directory)).await.unwrap();
    assert_eq!(found(&lake).await, (0..9).collect::<Vec<_>>());
    assert_eq!(events(&lake).await.stored_files().unwrap().len(), 2);
    // The files of the other one are gone.
    let error = compact(&mut other, sorting(&directory)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(found(&lake).await, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rewrite_that_depends_on_all_rows_is_refused_when_rows_came() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    append(&mut table, 0..6).await;
    let mut stale = events(&lake).await;
    append(&mut table, 6..7).await;
    let error = erase(&mut stale, &[1], Onto::SameRows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(found(&lake).await, (0..7).collect::<Vec<_>>());
    erase(&mut stale, &[1], Onto::SameRows).await.unwrap();
    assert_eq!(found(&lake).await, [0, 2, 3, 4, 5, 6]);
    assert_eq!(told(&lake, 3).await, Vec::<u64>::new());
}

#[tokio::test]
async fn an_append_goes_on_top_of_rewritten_files_and_of_nothing_else() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    append(&mut table, 0..3).await;
    append(&mut table, 3..6).await;
    let mut loader = events(&lake).await;
    compact(&mut table, sorting(&directory)).await.unwrap();
    erase(&mut table, &[2], Onto::OtherRows).await.unwrap();
    append(&mut loader, 6..8).await;
    assert_eq!(found(&lake).await, [0, 1, 3, 4, 5, 6, 7]);
    table.refresh().await.unwrap();
    let positions = BTreeMap::from([("s".to_owned(), 1)]);
    table.append(Vec::new(), &positions).await.unwrap();
    let refused = loader.append(vec![rows([9])], &positions).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn columns_of_a_newer_release_outlive_a_rewrite() {
    use deltalake_core::kernel::{DataType, StructField};
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut table = events(&lake).await;
    append(&mut table, 3..5).await;
    append(&mut table, 0..3).await;
    let added = StructField::nullable("of_tomorrow", DataType::STRING);
    let newer = table.delta().clone().add_columns();
    newer.with_fields([added]).await.unwrap();
    let mut table = events(&lake).await;
    let mut files = table.stored_files().unwrap();
    files.retain(|file| file.about.rows == Some(3));
    let mut rewrite = table.begin_rewrite(Job::Erase).unwrap();
    let mut fill = |batch: RecordBatch| {
        let place = batch.schema().index_of("of_tomorrow").unwrap();
        let mut columns = batch.columns().to_vec();
        let text = vec![Some("x"); batch.num_rows()];
        columns[place] = Arc::new(arrow::array::StringArray::from(text));
        RecordBatch::try_new(batch.schema(), columns).map(Passed::kept)
    };
    rewrite.pass(&files, None, &mut fill).await.unwrap();
    let nothing = BTreeMap::new();
    let committed = table
        .commit_rewrite(rewrite, &nothing, Onto::OtherRows)
        .await;
    committed.unwrap();
    compact(&mut table, sorting(&directory)).await.unwrap();
    let table = events(&lake).await;
    let sql = "SELECT event_id FROM events WHERE of_tomorrow = 'x'";
    let batches = table.select(sql).await.unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let mut ids: Vec<u64> = batches.iter().flat_map(ids_of).collect();
    ids.sort_unstable();
    assert_eq!(
        (ids, found(&lake).await),
        (vec![0, 1, 2], vec![0, 1, 2, 3, 4])
    );
}

#[derive(Clone, Debug)]
enum Act {
    Append(usize, u64),
    Compact(usize),
    Erase(usize, u64),
    Refresh(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let handle = || 0..2_usize;
    prop_oneof![
        3 => (handle(), 1..6_u64).prop_map(|(handle, rows)| Act::Append(handle, rows)),
        2 => handle().prop_map(Act::Compact),
        2 => (handle(), 0..20_u64).prop_map(|(handle, id)| Act::Erase(handle, id)),
        1 => handle().prop_map(Act::Refresh),
    ]
}

/// Two processes on one table: what one of them is told was done is done, what it is told was not is not.
async fn acted(acts: Vec<Act>) {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory).await;
    let mut handles = [events(&lake).await, events(&lake).await];
    let (mut model, mut all) = (Vec::<u64>::new(), Vec::<u64>::new());
    for act in acts {
        match act {
            Act::Append(handle, rows_wanted) => {
                let first = all.len() as u64;
                let ids: Vec<u64> = (first..first + rows_wanted).collect();
                let rows = vec![rows(ids.clone())];
                if handles[handle].append(rows, &BTreeMap::new()).await.is_ok() {
                    model.extend(&ids);
                    all.extend(&ids);
                } else {
                    handles[handle].refresh().await.unwrap();
                }
            }
            Act::Compact(handle) => {
                let ended = compact(&mut handles[handle], sorting(&directory)).await;
                if ended.is_err() {
                    handles[handle].refresh().await.unwrap();
                }
            }
            Act::Erase(handle, id) => {
                match erase(&mut handles[handle], &[id], Onto::SameRows).await {
                    // It has seen no file at all.
                    Ok(amounts) if amounts.files_removed == 0 => {}
                    Ok(_) => model.retain(|held| *held != id),
                    Err(_) => handles[handle].refresh().await.unwrap(),
                }
            }
            Act::Refresh(handle) => handles[handle].refresh().await.unwrap(),
        }
        let mut expected = model.clone();
        expected.sort_unstable();
        assert_eq!(found(&lake).await, expected);
    }
    let mut told = told(&lake, 1).await;
    told.sort_unstable();
    assert_eq!(told, all, "readers of the log get what was appended, once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn two_writers_agree_with_what_they_were_told(acts in prop::collection::vec(act(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(acted(acts));
    }
}
