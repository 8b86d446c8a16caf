//! CSV files: one for each version and table, `csv/<table>/<table>-<version, 20 digits>.csv`.
//!
//! The version in the name makes a second delivery write the same file, and sorts the files in the
//! order of loading, so that a job that loads them into a database goes on behind the last name that
//! it has seen. The checkpoint object `csv/<table>/_checkpoint.json` is put after the file and names
//! the last version delivered.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::path::Path;
use postlake_event::csv::{write_header, write_rows};
use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink, SinkError, Taken};

use crate::checkpoint_object;

/// Writes CSV files below a store's root.
pub struct CsvSink {
    name: String,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for CsvSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CsvSink({})", self.name)
    }
}

const FORMAT: &str = "postlake-csv-checkpoint-1";

impl CsvSink {
    /// A sink of that name. The store must have what it is given durable when it says so.
    pub fn new(name: impl Into<String>, store: Arc<dyn ObjectStore>) -> CsvSink {
        CsvSink {
            name: name.into(),
            store,
        }
    }
}

fn file_path(table: Table, version: u64) -> Path {
    let name = table.name();
    Path::from_iter(["csv", name, &format!("{name}-{version:020}.csv")])
}

fn checkpoint_path(table: Table) -> Path {
    Path::from_iter(["csv", table.name(), "_checkpoint.json"])
}

#[async_trait]
impl Sink for CsvSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> &[Table] {
        &Table::ALL
    }

    async fn checkpoint(&self, table: Table) -> Result<Option<Checkpoint>, SinkError> {
        checkpoint_object::read(&self.store, &checkpoint_path(table), FORMAT).await
    }

    async fn advance(&self, table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        let path = checkpoint_path(table);
        checkpoint_object::write(&self.store, &path, FORMAT, checkpoint).await
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError> {
        let path = file_path(delivery.table, delivery.checkpoint.version);
        let doing = || format!("write the csv file {path}");
        let mut file = Vec::new();
        write_header(&delivery.table.schema(), &mut file)
            .map_err(|source| SinkError::new(doing(), source))?;
        for rows in delivery.rows {
            write_rows(rows, &mut file).map_err(|source| SinkError::new(doing(), source))?;
        }
        checkpoint_object::put(&self.store, &path, file).await?;
        self.advance(delivery.table, delivery.checkpoint).await?;
        Ok(Taken::default())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use chrono::{TimeZone, Utc};
    use object_store::ObjectStoreExt as _;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;
    use postlake_event::decode::{BatchInput, Decoder};

    use super::*;
    use crate::contract::{StoreDestination, keeps, s3};

    fn sink(store: Arc<dyn ObjectStore>) -> Box<dyn Sink> {
        Box::new(CsvSink::new("csv", store))
    }

    /// The rows of a file, less what says in which item of which batch they were.
    fn read(name: &str, text: &str) -> Vec<String> {
        assert!(name.ends_with(".csv"), "{name}");
        let (header, rows) = text.split_once("\r\n").unwrap();
        assert!(header.ends_with(",stream,segment,batch_index,item_index"));
        rows.split_terminator("\r\n")
            .map(|row| row.rsplit_once(',').unwrap().0.to_owned())
            .collect()
    }

    #[tokio::test]
    async fn csv_files_keep_the_contract() {
        keeps(&StoreDestination::new(
            Arc::new(InMemory::new()),
            sink,
            read,
        ))
        .await;
    }

    #[tokio::test]
    async fn csv_files_keep_the_contract_on_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        keeps(&StoreDestination::new(Arc::new(store), sink, read)).await;
    }

    #[tokio::test]
    async fn csv_files_keep_the_contract_on_s3() {
        let Some(store) = s3() else { return };
        keeps(&StoreDestination::new(store, sink, read).with_few_rows()).await;
    }

    fn rows(ids: &[&str]) -> RecordBatch {
        let items: Vec<_> = ids
            .iter()
            .map(|id| format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"1460989507","reason":"a, \"b\"\r\nc"}}}}}}"#))
            .collect();
        let body = format!("[{}]", items.join(","));
        let mut decoder = Decoder::new();
        decoder.decode(&BatchInput {
            source: "events",
            received_at: Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap(),
            batch_id: None,
            content_encoding: None,
            body: body.as_bytes(),
            stream: "s",
            segment: 1,
            batch_index: 0,
        });
        decoder.finish().unwrap().events
    }

    async fn files(store: &InMemory) -> Vec<(String, String)> {
        use futures::TryStreamExt;
        let mut found: Vec<_> = store.list(None).try_collect().await.unwrap();
        found.sort_by(|one, two| one.location.cmp(&two.location));
        let mut files = Vec::new();
        for object in found {
            let bytes = store
                .get(&object.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            files.push((object.location.to_string(), text));
        }
        files
    }

    #[tokio::test]
    async fn delivering_twice_reads_once() {
        let store = Arc::new(InMemory::new());
        let sink = CsvSink::new("files", Arc::clone(&store) as Arc<dyn ObjectStore>);
        assert_eq!(sink.checkpoint(Table::Events).await.unwrap(), None);
        let batch = [rows(&["1", "2"])];
        let at = |version| Checkpoint {
            table_id: "t".to_owned(),
            version,
        };
        let delivery = Delivery {
            table: Table::Events,
            checkpoint: &at(3),
            rows: &batch,
        };
        sink.deliver(delivery).await.unwrap();
        let once = files(&store).await;
        sink.deliver(delivery).await.unwrap();
        assert_eq!(files(&store).await, once);
        assert_eq!(sink.checkpoint(Table::Events).await.unwrap(), Some(at(3)));
        assert_eq!(sink.checkpoint(Table::Alerts).await.unwrap(), None);
        sink.advance(Table::Events, &at(9)).await.unwrap();
        assert_eq!(sink.checkpoint(Table::Events).await.unwrap(), Some(at(9)));
        let (name, text) = &once[1];
        assert_eq!(name, "csv/events/events-00000000000000000003.csv");
        assert!(text.starts_with("event_date,event_class,type,event_id,"));
        assert_eq!(
            text.matches("2016-04-18,message_event,delivery,").count(),
            2
        );
    }

    #[tokio::test]
    async fn a_checkpoint_of_another_form_is_refused() {
        let store = Arc::new(InMemory::new());
        let foreign =
            br#"{"format":"postlake-csv-checkpoint-9","table_id":"t","version":1}"#.to_vec();
        store
            .put(&checkpoint_path(Table::Events), foreign.into())
            .await
            .unwrap();
        let sink = CsvSink::new("files", store);
        let error = sink.checkpoint(Table::Events).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "read the checkpoint csv/events/_checkpoint.json"
        );
    }
}
