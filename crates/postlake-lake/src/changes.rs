//! The table's own append log, as sinks read it: which rows each version brought.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use chrono::{DateTime, NaiveDate};
use deltalake_core::logstore::commit_uri_from_version;
use futures::TryStreamExt;
use object_store_lake::path::Path;
use object_store_lake::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::error::{ErrorKind, LakeError};
use crate::table::LakeTable;

/// What one version of a table brought: rows, in the table's columns and order.
#[derive(Debug)]
pub struct Change {
    /// The version.
    pub version: u64,
    /// Its rows; empty for a version that moved positions or rewrote files only.
    pub batches: Vec<RecordBatch>,
}

/// A version whose log entry is gone, so that what it brought cannot be told apart any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "version {version} of the table {table} is no longer in its log; the sink has to be filled anew"
)]
pub struct MissingVersion {
    /// The table's name.
    pub table: &'static str,
    /// The version.
    pub version: u64,
}

#[derive(Deserialize)]
struct LogLine {
    add: Option<AddLine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddLine {
    path: String,
    partition_values: std::collections::HashMap<String, Option<String>>,
    data_change: bool,
}

impl LakeTable {
    /// The rows that `version` brought.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with a [`MissingVersion`] when the log entry is gone,
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn change(&self, version: u64) -> Result<Change, LakeError> {
        let name = self.table().name();
        let doing = || format!("read version {version} of the table {name}");
        let store = self.delta().object_store();
        let entry = match store.get(&commit_uri_from_version(Some(version))).await {
            Ok(entry) => entry.bytes().await,
            Err(object_store_lake::Error::NotFound { .. }) => {
                let missing = MissingVersion {
                    table: name,
                    version,
                };
                return Err(LakeError::new(ErrorKind::Damaged, doing(), missing));
            }
            Err(source) => Err(source),
        }
        .map_err(|source| LakeError::new(ErrorKind::Unavailable, doing(), source))?;
        let mut batches = Vec::new();
        for line in entry
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: LogLine = serde_json::from_slice(line)
                .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
            if let Some(add) = line.add.filter(|add| add.data_change) {
                batches.extend(self.read_file(store.as_ref(), &add).await?);
            }
        }
        Ok(Change { version, batches })
    }

    async fn read_file(
        &self,
        store: &dyn ObjectStore,
        add: &AddLine,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let doing = || format!("read the data file {}", add.path);
        let unavailable = |source: object_store_lake::Error| {
            LakeError::new(ErrorKind::Unavailable, doing(), source)
        };
        let path = Path::from_url_path(&add.path)
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
        let chunks = store.get(&path).await.map_err(unavailable)?.into_stream();
        let chunks: Vec<bytes::Bytes> = chunks.try_collect().await.map_err(unavailable)?;
        let bytes = bytes::Bytes::from(chunks.concat());
        let day = self.partition_day(add);
        let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|builder| builder.build())
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
        batches
            .map(|batch| batch.and_then(|batch| self.with_partition(&batch, day)))
            .collect::<Result<_, _>>()
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))
    }

    /// Days since the epoch of the file's partition.
    fn partition_day(&self, add: &AddLine) -> Option<i32> {
        let text = add.partition_values.get(self.table().partition_column())?;
        let date = NaiveDate::parse_from_str(text.as_deref()?, "%Y-%m-%d").ok()?;
        let since = date - DateTime::UNIX_EPOCH.date_naive();
        i32::try_from(since.num_days()).ok()
    }

    /// The file's columns in the table's order, the partition column put back; columns that an older
    /// file lacks are null.
    fn with_partition(
        &self,
        batch: &RecordBatch,
        day: Option<i32>,
    ) -> Result<RecordBatch, arrow::error::ArrowError> {
        let schema = self.table().schema();
        let columns = schema
            .fields()
            .iter()
            .map(|field| -> Result<ArrayRef, arrow::error::ArrowError> {
                if field.name() == self.table().partition_column() {
                    return Ok(Arc::new(Date32Array::from(vec![day; batch.num_rows()])));
                }
                match batch.column_by_name(field.name()) {
                    Some(column) => arrow::compute::cast(column, field.data_type()),
                    None => Ok(arrow::array::new_null_array(
                        field.data_type(),
                        batch.num_rows(),
                    )),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(schema, columns)
    }
}
