//! Rows on their way into a table: data files that no log entry names yet.

mod aside;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use deltalake_core::kernel::Action;
use deltalake_core::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use postlake_event::schema::Table;

use crate::error::LakeError;
use aside::Aside;

/// Days whose files are open while rows come: each holds buffers for every column, some 17 MiB. Rows of other days
/// wait aside until these are closed; most of the time there are none.
const OPEN_DAYS: usize = 2;

/// Rows that wait in memory, where there is no disk for them. When there are so many they become files, or each few
/// of them would.
const HELD_ROWS: usize = 50_000;

/// Writes rows into data files, one for each day. Nothing is visible before [`crate::LakeTable::commit`]; dropped, it
/// leaves at most files that no log names.
pub struct Append {
    table: Table,
    writer: RecordBatchWriter,
    /// Days with an open file.
    open: BTreeSet<i32>,
    aside: Aside,
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
    /// Rows of more days than can be written at a time wait in `folder`, without a name.
    pub(crate) fn new(table: Table, delta: &DeltaTable, folder: PathBuf) -> DeltaResult<Append> {
        let writer = RecordBatchWriter::for_table(delta)?;
        Ok(Append {
            table,
            writer: writer.with_writer_properties(writer_properties(None)),
            open: BTreeSet::new(),
            aside: Aside::new(folder),
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
        self.close_files().await?;
        self.write_aside().await?;
        Ok(self.actions)
    }

    async fn try_write(&mut self, rows: RecordBatch) -> DeltaResult<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows() as u64;
        let column = self.table.partition_column();
        let days = days_of(&rows, column);
        self.open_days(&days);
        let later: Vec<i32> = days
            .into_keys()
            .filter(|day| !self.open.contains(day))
            .collect();
        if later.is_empty() {
            return self.writer.write(rows).await;
        }
        let now = rows_of_days(&rows, column, |day| self.open.contains(&day))?;
        if now.num_rows() > 0 {
            self.writer.write(now).await?;
        }
        self.off_thread(move |aside| {
            for day in later {
                aside.put(day, rows_of_days(&rows, column, |of| of == day)?)?;
            }
            Ok(())
        })
        .await?;
        if self.aside.rows_in_memory() >= HELD_ROWS {
            self.close_files().await?;
            self.write_aside().await?;
        }
        Ok(())
    }

    /// As long as files may be opened, those of the days with the most rows are.
    fn open_days(&mut self, days: &BTreeMap<i32, usize>) {
        let mut fresh: Vec<_> = days
            .iter()
            .filter(|(day, _)| !self.open.contains(day))
            .collect();
        fresh.sort_by_key(|(_, rows)| Reverse(**rows));
        let free = OPEN_DAYS.saturating_sub(self.open.len());
        self.open
            .extend(fresh.into_iter().take(free).map(|(day, _)| *day));
    }

    /// One day after the other, while no other file is open.
    async fn write_aside(&mut self) -> DeltaResult<()> {
        let schema = self.table.schema();
        while let Some(mut day) = self.aside.take_day() {
            loop {
                let schema = Arc::clone(&schema);
                let next = move |aside: &mut Aside| Ok((aside.next(&mut day, &schema)?, day));
                let (rows, rest) = self.off_thread(next).await?;
                day = rest;
                let Some(rows) = rows else {
                    break;
                };
                self.writer.write(rows).await?;
            }
            self.flush().await?;
        }
        Ok(())
    }

    /// Works with what lies aside where a disk that is slow holds nobody up.
    async fn off_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Aside) -> Result<T, ArrowError> + Send + 'static,
    ) -> DeltaResult<T> {
        let mut aside = std::mem::replace(&mut self.aside, Aside::new(PathBuf::new()));
        let done = tokio::task::spawn_blocking(move || {
            let found = work(&mut aside);
            (aside, found)
        });
        let (aside, found) = done
            .await
            .map_err(|error| DeltaTableError::generic(format!("rows put aside: {error}")))?;
        self.aside = aside;
        Ok(found?)
    }

    async fn close_files(&mut self) -> DeltaResult<()> {
        if !self.open.is_empty() {
            self.flush().await?;
            self.open.clear();
        }
        Ok(())
    }

    async fn flush(&mut self) -> DeltaResult<()> {
        let files = self.writer.flush().await?;
        self.actions.extend(files.into_iter().map(Action::Add));
        Ok(())
    }
}

/// The different values of a date column, and how many rows have each.
fn days_of(rows: &RecordBatch, column: &str) -> BTreeMap<i32, usize> {
    let mut days = BTreeMap::new();
    let dates = rows.column_by_name(column).into_iter();
    for day in dates.flat_map(|dates| dates.as_primitive::<Date32Type>().values().iter()) {
        *days.entry(*day).or_default() += 1;
    }
    days
}

/// The rows whose day is wanted.
fn rows_of_days(
    batch: &RecordBatch,
    column: &str,
    is_wanted: impl Fn(i32) -> bool,
) -> Result<RecordBatch, ArrowError> {
    let Some(dates) = batch.column_by_name(column) else {
        return Ok(batch.slice(0, 0));
    };
    let dates = dates.as_primitive::<Date32Type>().values();
    let wanted: BooleanArray = dates.iter().map(|day| Some(is_wanted(*day))).collect();
    filter_record_batch(batch, &wanted)
}

/// What a column of an open file holds in memory before it is compressed: a page, and a dictionary.
/// There are some fifty columns with values. A dictionary that would be larger
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
