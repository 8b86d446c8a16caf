//! Rows of data files, in the table's columns.

mod file;

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow as _;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store_lake::ObjectStore;
use object_store_lake::path::Path;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;
use postlake_event::schema::Table;

use crate::error::{ErrorKind, LakeError};
use file::ObjectFile;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 2048;

/// A data file and the day of its partition.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As the log has it: percent-encoded.
    pub(crate) path: String,
    pub(crate) day: Option<i32>,
    pub(crate) bytes: u64,
}

/// The columns of the table, those too that this release does not know.
pub(crate) fn columns_of(table: Table, delta: &DeltaTable) -> Result<SchemaRef, LakeError> {
    let doing = || format!("read the columns of the table {}", table.name());
    let snapshot = delta
        .snapshot()
        .map_err(|source| LakeError::delta(doing(), source))?;
    let schema: Schema = snapshot
        .schema()
        .as_ref()
        .try_into_arrow()
        .map_err(|source: ArrowError| LakeError::new(ErrorKind::Damaged, doing(), source))?;
    Ok(Arc::new(schema))
}

/// The rows of a file, a few at a time, in these columns.
pub(crate) async fn of_file(
    store: Arc<dyn ObjectStore>,
    table: Table,
    columns: SchemaRef,
    file: Source,
) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
    let failed = {
        let path = file.path.clone();
        move |source: ParquetError| {
            let kind = match &source {
                ParquetError::External(_) => ErrorKind::Unavailable,
                _ => ErrorKind::Damaged,
            };
            LakeError::new(kind, format!("read the data file {path}"), source)
        }
    };
    let doing = format!("read the data file {}", file.path);
    let path = Path::from_url_path(&file.path)
        .map_err(|source| LakeError::new(ErrorKind::Damaged, doing.clone(), source))?;
    let reader = ObjectFile::open(store, path, file.bytes)
        .await
        .map_err(|source| LakeError::new(ErrorKind::Unavailable, doing, source))?;
    let batches = ParquetRecordBatchStreamBuilder::new(reader)
        .await
        .map_err(&failed)?
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(&failed)?;
    let rows = batches.map_err(failed).and_then(move |batch| {
        let rows = in_columns(&columns, table, &batch, file.day).map_err(|source| {
            let doing = format!("read the data file {}", file.path);
            LakeError::new(ErrorKind::Damaged, doing, source)
        });
        std::future::ready(rows)
    });
    Ok(rows.boxed())
}

/// The columns of a file in the table's order, the partition column put back; those that an older file
/// lacks are null.
fn in_columns(
    columns: &SchemaRef,
    table: Table,
    batch: &RecordBatch,
    day: Option<i32>,
) -> Result<RecordBatch, ArrowError> {
    let values = columns.fields().iter().map(|field| -> Result<ArrayRef, _> {
        if field.name() == table.partition_column() {
            return Ok(Arc::new(Date32Array::from(vec![day; batch.num_rows()])));
        }
        match batch.column_by_name(field.name()) {
            Some(column) => arrow::compute::cast(column, field.data_type()),
            None => Ok(arrow::array::new_null_array(
                field.data_type(),
                batch.num_rows(),
            )),
        }
    });
    let values = values.collect::<Result<Vec<_>, ArrowError>>()?;
    RecordBatch::try_new(SchemaRef::clone(columns), values)
}
