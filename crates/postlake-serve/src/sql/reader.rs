//! Our own statements over one set of tables.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use serde::de::DeserializeOwned;

use super::error::SqlError;
use super::limits::SqlLimits;
use super::session;
use crate::format::{self, Format};
use crate::source::{TableSet, Versions};

/// Runs statements that are written in this crate, all over the same tables.
pub(crate) struct Reader {
    context: SessionContext,
    versions: Versions,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) async fn open(
        base: &Arc<RuntimeEnv>,
        tables: &TableSet,
    ) -> Result<Reader, SqlError> {
        let limits = SqlLimits {
            max_memory_bytes: SqlLimits::local().max_memory_bytes,
            ..SqlLimits::remote()
        };
        let runtime = session::runtime(base, &limits)?;
        Ok(Reader {
            context: session::session(runtime, tables).await?,
            versions: tables.versions(),
        })
    }

    /// The versions of the tables that every statement of this reader reads.
    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }

    /// All rows of a statement as one record batch. A fault in the statement is ours, not the caller's.
    pub(crate) async fn batch(
        &self,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<RecordBatch, SqlError> {
        let mut frame = self.context.sql(sql).await.map_err(own_fault)?;
        if !parameters.is_empty() {
            frame = frame.with_param_values(parameters).map_err(own_fault)?;
        }
        let schema = Arc::clone(frame.schema().inner());
        let batches = frame.collect().await?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        concat_batches(&schema, &batches)
            .map_err(|error| SqlError::internal("cannot join the rows of an answer", error))
    }
}

fn own_fault(error: datafusion::error::DataFusionError) -> SqlError {
    SqlError::internal("a built-in statement does not fit the tables", error)
}

/// The rows of a batch as Rust values, by column name.
pub(crate) fn rows<T: DeserializeOwned>(batch: &RecordBatch) -> Result<Vec<T>, SqlError> {
    let mut json = Vec::new();
    format::write(
        &batch.schema(),
        std::slice::from_ref(batch),
        Format::Json,
        &mut json,
    )
    .map_err(|error| SqlError::internal("cannot write the rows of an answer", error))?;
    serde_json::from_slice(&json)
        .map_err(|error| SqlError::internal("cannot read the rows of an answer", error))
}
