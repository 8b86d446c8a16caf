//! A table as an older release left it, and one as a newer release leaves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use deltalake_core::kernel::DataType;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::writer::{DeltaWriter as _, RecordBatchWriter};
use futures::TryStreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::fixture::decoded;
use crate::{DataUrl, Job, Lake};

/// What the older release did not know.
const ADDED: [&str; 2] = ["outbound_tls", "geo_ip_continent"];

fn lake(directory: &TempDir) -> Lake {
    let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
    Lake::open(&url).unwrap()
}

async fn events(lake: &Lake) -> LakeTable {
    lake.table(Table::Events).await.unwrap().unwrap()
}

fn rows(ids: std::ops::Range<u64>) -> RecordBatch {
    let items: Vec<_> = ids
        .map(|id| {
            format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"1460989507","outbound_tls":"1"}}}}}}"#)
        })
        .collect();
    decoded(&items)
}

/// The rows of [`rows`] as a release wrote them that had no column for a field: it lay in `extra`.
fn older_rows(ids: std::ops::Range<u64>) -> RecordBatch {
    let rows = rows(ids);
    let extra = vec![Some(r#"{"outbound_tls":"1"}"#); rows.num_rows()];
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.filter(|(field, _)| !ADDED.contains(&field.name().as_str()));
    let columns = columns.map(|(field, column)| match field.name().as_str() {
        "extra" => (
            field.name(),
            Arc::new(StringArray::from(extra.clone())) as ArrayRef,
            true,
        ),
        name => (
            field.name(),
            Arc::clone(column),
            schema.field_with_name(name).unwrap().is_nullable(),
        ),
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The table as that release made it, with three rows.
async fn older(directory: &TempDir) -> Lake {
    let folder = directory.path().join("lake/events");
    std::fs::create_dir_all(&folder).unwrap();
    let schema = StructType::try_from_arrow(older_rows(0..1).schema().as_ref()).unwrap();
    let mut table = CreateBuilder::new()
        .with_location(folder.to_str().unwrap())
        .with_columns(schema.fields().cloned())
        .with_partition_columns(["event_date"])
        .await
        .unwrap();
    let mut writer = RecordBatchWriter::for_table(&table).unwrap();
    writer.write(older_rows(0..3)).await.unwrap();
    writer.flush_and_commit(&mut table).await.unwrap();
    lake(directory)
}

fn names(table: &LakeTable) -> Vec<String> {
    let columns = columns_there(Table::Events, table.delta()).unwrap();
    columns.fields().map(|field| field.name().clone()).collect()
}

async fn selected(table: &LakeTable, sql: &str) -> RecordBatch {
    let batches: Vec<RecordBatch> = table
        .select(sql)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn todays() -> Vec<String> {
    let schema = Table::Events.schema();
    let fields = schema.fields().iter();
    fields.map(|field| field.name().clone()).collect()
}

#[tokio::test]
async fn a_table_of_an_older_release_gets_its_columns_in_one_commit_and_keeps_its_rows() {
    let directory = TempDir::new().unwrap();
    let lake = older(&directory).await;
    let before = events(&lake).await;
    assert_eq!(
        (before.version(), names(&before).len()),
        (1, todays().len() - 2)
    );
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    assert_eq!(table.version(), 2);
    assert_eq!(names(&table), todays());
    assert!(table.change(2).await.unwrap().batches.is_empty());
    let told = table.change(1).await.unwrap().batches;
    assert_eq!(told[0].schema(), Table::Events.schema());
    assert_eq!(
        told[0].column_by_name("outbound_tls").unwrap().null_count(),
        3
    );
    table
        .append(vec![rows(3..5)], &BTreeMap::new())
        .await
        .unwrap();
    // Nothing is left to add.
    lake.create_missing().await.unwrap();
    let table = events(&lake).await;
    assert_eq!(table.version(), 3);
    let sql = "SELECT event_id, outbound_tls, extra FROM events ORDER BY event_id";
    let found = selected(&table, sql).await;
    let tls = found
        .column(1)
        .as_primitive::<arrow::datatypes::Int64Type>();
    let tls: Vec<_> = tls.iter().collect();
    assert_eq!(tls, [None, None, None, Some(1), Some(1)]);
    assert_eq!(found.column(2).null_count(), 2);
}

#[tokio::test]
async fn a_table_of_an_older_release_is_read_with_todays_columns_before_it_has_them() {
    let directory = TempDir::new().unwrap();
    let lake = older(&directory).await;
    let table = events(&lake).await;
    let found = selected(&table, "SELECT * FROM events").await;
    let schema = found.schema();
    let named: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(named, todays());
    let count = selected(
        &table,
        "SELECT count(*), count(outbound_tls), count(extra) FROM events",
    )
    .await;
    let counts: Vec<_> = count
        .columns()
        .iter()
        .map(|column| {
            column
                .as_primitive::<arrow::datatypes::Int64Type>()
                .value(0)
        })
        .collect();
    assert_eq!(counts, [3, 0, 3]);
    let some = "SELECT event_id FROM events WHERE outbound_tls IS NULL AND event_id = '1'";
    assert_eq!(selected(&table, some).await.num_rows(), 1);
    assert_eq!(events(&lake).await.version(), 1, "reading writes nothing");
}

#[tokio::test]
async fn rows_are_not_written_into_a_table_that_would_lose_a_column_of_theirs() {
    let directory = TempDir::new().unwrap();
    let lake = older(&directory).await;
    let mut table = events(&lake).await;
    let refused = table.append(vec![rows(3..5)], &BTreeMap::new()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(table.begin_rewrite(Job::Replay).is_err());
    assert_eq!(events(&lake).await.version(), 1);
}

#[tokio::test]
async fn two_that_add_columns_at_the_same_time_add_them_once() {
    let directory = TempDir::new().unwrap();
    let lake = older(&directory).await;
    let (mut one, mut two) = (events(&lake).await, events(&lake).await);
    one.add_columns().await.unwrap();
    let refused = two.add_columns().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    lake.add_columns(two).await.unwrap();
    assert_eq!(events(&lake).await.version(), 2);
}

#[tokio::test]
async fn a_loader_of_the_older_release_is_turned_back_by_new_columns() {
    let directory = TempDir::new().unwrap();
    let lake = older(&directory).await;
    let table = events(&lake).await;
    let mut writer = RecordBatchWriter::for_table(table.delta()).unwrap();
    writer.write(older_rows(3..4)).await.unwrap();
    let adds = writer.flush().await.unwrap();
    lake.create_missing().await.unwrap();
    let mut behind = table;
    let actions: Vec<_> = adds.into_iter().map(Action::Add).collect();
    let refused = behind.try_commit(&actions, &BTreeMap::new()).await;
    let error = LakeError::delta("commit", refused.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let since = behind.since().await.unwrap();
    assert!(since.iter().any(|entry| entry.changes_table));
}

#[tokio::test]
async fn a_table_of_a_newer_release_is_read_and_not_written() {
    let directory = TempDir::new().unwrap();
    let lake = lake(&directory);
    lake.create_missing().await.unwrap();
    let mut table = events(&lake).await;
    table
        .append(vec![rows(0..2)], &BTreeMap::new())
        .await
        .unwrap();
    let added = StructField::nullable("of_tomorrow", DataType::STRING);
    let newer = table.delta().clone().add_columns();
    newer.with_fields([added]).await.unwrap();
    let refused = lake.create_missing().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Newer);
    assert_eq!(refused.to_string(), "write into the table events");
    let said = std::error::Error::source(&refused).unwrap().to_string();
    assert!(said.contains("of_tomorrow"), "{said}");
    assert_eq!(
        lake.refuse_newer().await.unwrap_err().kind(),
        ErrorKind::Newer
    );
    // Who had it open is turned back, and refused when it starts over.
    let conflict = table.append(vec![rows(2..3)], &BTreeMap::new()).await;
    assert_eq!(conflict.unwrap_err().kind(), ErrorKind::Conflict);
    table.refresh().await.unwrap();
    let refused = table.append(vec![rows(2..3)], &BTreeMap::new()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Newer);
    assert_eq!(
        table.begin_rewrite(Job::Replay).unwrap_err().kind(),
        ErrorKind::Newer
    );
    assert!(table.begin_rewrite(Job::Compact).is_ok());
    let found = selected(&table, "SELECT * FROM events").await;
    assert_eq!(
        (found.num_rows(), found.num_columns()),
        (2, todays().len() + 1)
    );
}
