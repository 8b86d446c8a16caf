//! CSV files: one for each version and table, `csv/<table>/<table>-<version, 20 digits>.csv`.
//!
//! The version in the name makes a second delivery write the same file; the checkpoint object
//! `csv/<table>/_checkpoint.json` is put after the file and names the last version delivered.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use postlake_event::csv::{write_header, write_rows};
use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink, SinkError};
use serde::{Deserialize, Serialize};

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

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CheckpointObject {
    /// Form of this object.
    format: String,
    /// Id of the table in the lake.
    table_id: String,
    /// Last version of the table whose file is there.
    version: u64,
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
        let path = checkpoint_path(table);
        let doing = || format!("read the checkpoint {path}");
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(source) => Err(source),
        }
        .map_err(|source| SinkError::new(doing(), source))?;
        let object: CheckpointObject =
            serde_json::from_slice(&bytes).map_err(|source| SinkError::new(doing(), source))?;
        if object.format != FORMAT {
            let message = format!("it has the form {}, not {FORMAT}", object.format);
            return Err(SinkError::new(doing(), message));
        }
        Ok(Some(Checkpoint {
            table_id: object.table_id,
            version: object.version,
        }))
    }

    async fn advance(&self, table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        let path = checkpoint_path(table);
        let object = CheckpointObject {
            format: FORMAT.to_owned(),
            table_id: checkpoint.table_id.clone(),
            version: checkpoint.version,
        };
        let object = serde_json::to_vec(&object)
            .map_err(|source| SinkError::new(format!("write the checkpoint {path}"), source))?;
        self.put(&path, object).await
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<(), SinkError> {
        let path = file_path(delivery.table, delivery.checkpoint.version);
        let doing = || format!("write the csv file {path}");
        let mut file = Vec::new();
        write_header(&delivery.table.schema(), &mut file)
            .map_err(|source| SinkError::new(doing(), source))?;
        for rows in delivery.rows {
            write_rows(rows, &mut file).map_err(|source| SinkError::new(doing(), source))?;
        }
        self.put(&path, file).await?;
        self.advance(delivery.table, delivery.checkpoint).await
    }
}

impl CsvSink {
    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), SinkError> {
        match self.store.put(path, bytes.into()).await {
            Ok(_) => Ok(()),
            Err(source) => Err(SinkError::new(format!("put {path}"), source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use chrono::{TimeZone, Utc};
    use object_store::memory::InMemory;
    use postlake_event::decode::{BatchInput, Decoder};

    use super::*;

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
