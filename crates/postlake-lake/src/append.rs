//! Rows on their way into a table: data files that no log entry names yet.

use std::collections::BTreeSet;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use deltalake_core::kernel::Action;
use deltalake_core::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake_core::{DeltaResult, DeltaTable};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use postlake_event::schema::Table;

use crate::error::LakeError;

/// Files that are open at a time: each holds buffers for every column.
const OPEN_DAYS: usize = 16;

/// Rows of more days than that are held until there are so many, or each few of them would become a
/// file.
const HELD_ROWS: usize = 50_000;

/// Writes rows into data files, one for each day as long as the days are few. Nothing is visible
/// before [`crate::LakeTable::commit`]; dropped, it leaves at most files that no log names.
pub struct Append {
    table: Table,
    writer: RecordBatchWriter,
    /// Days with an open file.
    open: BTreeSet<i32>,
    held: Vec<RecordBatch>,
    actions: Vec<Action>,
    rows: u64,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Append({}, {} rows)",
            self.table.name(),
            self.rows
        )
    }
}

impl Append {
    pub(crate) fn new(table: Table, delta: &DeltaTable) -> DeltaResult<Append> {
        let writer = RecordBatchWriter::for_table(delta)?;
        Ok(Append {
            table,
            writer: writer.with_writer_properties(writer_properties(None)),
            open: BTreeSet::new(),
            held: Vec::new(),
            actions: Vec::new(),
            rows: 0,
        })
    }

    /// The table that it is for.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes rows that have the table's schema. On `Ok` they are on their way, on the disk or in
    /// memory.
    ///
    /// # Errors
    /// When the store refuses. What was begun is not to be committed then.
    pub async fn write(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
        self.try_write(rows).await.map_err(|source| {
            LakeError::delta(format!("append to the table {}", self.table.name()), source)
        })
    }

    /// Closes the files; the actions that a log entry names them with.
    pub(crate) async fn finish(mut self) -> DeltaResult<Vec<Action>> {
        self.write_held().await?;
        self.close_files().await?;
        Ok(self.actions)
    }

    async fn try_write(&mut self, rows: RecordBatch) -> DeltaResult<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows() as u64;
        let days = days_of(&rows, self.table.partition_column());
        if self.held.is_empty() && self.open.union(&days).count() <= OPEN_DAYS {
            self.open.extend(days);
            return self.writer.write(rows).await;
        }
        self.held.push(rows);
        let held: usize = self.held.iter().map(RecordBatch::num_rows).sum();
        if held >= HELD_ROWS {
            self.write_held().await?;
        }
        Ok(())
    }

    /// A few days after the other.
    async fn write_held(&mut self) -> DeltaResult<()> {
        let held = std::mem::take(&mut self.held);
        let column = self.table.partition_column();
        let days: BTreeSet<i32> = held.iter().flat_map(|rows| days_of(rows, column)).collect();
        let days: Vec<i32> = days.into_iter().collect();
        for some_days in days.chunks(OPEN_DAYS) {
            self.close_files().await?;
            for rows in &held {
                let part = rows_of_days(rows, column, some_days)?;
                if part.num_rows() > 0 {
                    self.writer.write(part).await?;
                }
            }
            self.open.extend(some_days);
        }
        Ok(())
    }

    async fn close_files(&mut self) -> DeltaResult<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let files = self.writer.flush().await?;
        self.actions.extend(files.into_iter().map(Action::Add));
        self.open.clear();
        Ok(())
    }
}

/// The different values of a date column.
fn days_of(rows: &RecordBatch, column: &str) -> BTreeSet<i32> {
    let mut days = BTreeSet::new();
    let mut last = None;
    let dates = rows.column_by_name(column).into_iter();
    for day in dates.flat_map(|dates| dates.as_primitive::<Date32Type>().values().iter()) {
        if last != Some(*day) {
            days.insert(*day);
            last = Some(*day);
        }
    }
    days
}

/// The rows of these days; `days` is sorted.
fn rows_of_days(
    batch: &RecordBatch,
    column: &str,
    days: &[i32],
) -> Result<RecordBatch, ArrowError> {
    let Some(dates) = batch.column_by_name(column) else {
        return Ok(batch.slice(0, 0));
    };
    let dates = dates.as_primitive::<Date32Type>().values();
    let wanted: BooleanArray = dates
        .iter()
        .map(|day| Some(days.binary_search(day).is_ok()))
        .collect();
    filter_record_batch(batch, &wanted)
}

/// What a column of an open file holds in memory before it is compressed: a page, and a dictionary.
/// There are some fifty columns with values, and a file for each day. A dictionary that would be larger
/// is of values that hardly repeat.
const PAGE_BYTES: usize = 64 << 10;
const DICTIONARY_BYTES: usize = 64 << 10;

/// zstd at level 1: within a tenth of level 3 in size at nearly twice the speed. Groups have so many
/// rows, or as many as the library likes.
pub(crate) fn writer_properties(group_rows: Option<usize>) -> WriterProperties {
    let builder = WriterProperties::builder();
    let builder = match group_rows {
        Some(rows) => builder.set_max_row_group_row_count(Some(rows)),
        None => builder,
    };
    builder
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!("postlake ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}
