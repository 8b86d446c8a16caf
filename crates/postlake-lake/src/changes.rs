//! The table's own append log, as sinks read it: which rows each version brought.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use object_store_lake::path::Path;
use object_store_lake::{Error, ObjectStoreExt as _};

use crate::error::{ErrorKind, LakeError};
use crate::log::{self, Added};
use crate::rows::{self, Source};
use crate::table::LakeTable;

/// What one version of a table brought: rows, in the table's columns and order.
#[derive(Debug)]
pub struct Change {
    /// The version.
    pub version: u64,
    /// Its rows; empty for a version that moved positions, rewrote files or took rows away.
    pub batches: Vec<RecordBatch>,
}

/// A version whose log entry or whose files are gone, so that what it brought cannot be told apart any
/// more.
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

impl LakeTable {
    /// The rows that `version` brought.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with a [`MissingVersion`] when the log entry or a file of it is gone,
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn change(&self, version: u64) -> Result<Change, LakeError> {
        let Some(entry) = log::entry(self.table(), self.delta(), version).await? else {
            return Err(self.missing(version));
        };
        let mut batches = Vec::new();
        for add in entry.adds.into_iter().filter(|add| add.data_change) {
            batches.extend(self.rows_added(version, add).await?);
        }
        Ok(Change { version, batches })
    }

    async fn rows_added(&self, version: u64, add: Added) -> Result<Vec<RecordBatch>, LakeError> {
        let store = self.delta().object_store();
        let path = Path::from_url_path(&add.path).map_err(|source| {
            let doing = format!("read the data file {}", add.path);
            LakeError::new(ErrorKind::Damaged, doing, source)
        })?;
        if let Err(Error::NotFound { .. }) = store.head(&path).await {
            return Err(self.missing(version));
        }
        let file = Source {
            day: add.day(self.table()),
            path: add.path,
            bytes: add.size,
        };
        let columns = self.table().schema();
        let rows = rows::of_file(store, self.table(), columns, file).await?;
        rows.try_collect().await
    }

    fn missing(&self, version: u64) -> LakeError {
        let table = self.table().name();
        let doing = format!("read version {version} of the table {table}");
        let missing = MissingVersion { table, version };
        LakeError::new(ErrorKind::Damaged, doing, missing)
    }
}
