//! Files of a table written anew: to make many small ones into few, to take rows out, to correct them.
//!
//! A rewrite reads files, passes their rows through a function, writes what is kept into new files, and
//! commits both sides at once: the old files go and the new ones come, or nothing happens. Rows that
//! are kept are no news (`dataChange` is false): readers of the log, such as sinks, do not see them
//! again. Rows that are new go into files of their own and are seen.
//!
//! The commit holds on to what was read. When somebody else has committed meanwhile, the log says what:
//! if the files are still there and nothing came that matters ([`Onto`]), the rewrite is put on top of
//! it, otherwise it is [`ErrorKind::Conflict`] and nothing has happened.

mod sort;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use deltalake_core::DeltaResult;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::writer::{DeltaWriter as _, RecordBatchWriter};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store_lake::ObjectStore;
use postlake_event::schema::Table;
use serde_json::json;

use crate::append::writer_properties;
use crate::error::{ErrorKind, LakeError};
use crate::files::StoredFile;
use crate::rows::{self, Source};
use crate::table::LakeTable;
use sort::Sorter;
pub use sort::Sorting;

/// What a rewrite is for; the log says so of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// The same rows in fewer files.
    Compact,
    /// Rows whose time is over go.
    Retain,
    /// Rows of a recipient go.
    Erase,
    /// Rows are corrected by what is read from raw segments today.
    Replay,
}

impl Job {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Job::Compact => "compact",
            Job::Retain => "retain",
            Job::Erase => "erase",
            Job::Replay => "replay",
        }
    }

    fn operation(self) -> DeltaOperation {
        match self {
            Job::Compact => DeltaOperation::Optimize {
                predicate: None,
                target_size: 0,
            },
            Job::Retain | Job::Erase | Job::Replay => DeltaOperation::Delete { predicate: None },
        }
    }
}

/// What a function makes of some rows. Both have the columns that it was given.
#[derive(Debug)]
pub struct Passed {
    /// Rows that stay, as they are or corrected. Readers of the log are not told of them.
    pub kept: RecordBatch,
    /// Rows that readers of the log get as new ones.
    pub fresh: Option<RecordBatch>,
}

impl Passed {
    /// All rows stay.
    pub fn kept(rows: RecordBatch) -> Passed {
        Passed {
            kept: rows,
            fresh: None,
        }
    }
}

/// Makes of some rows of the table what becomes of them.
pub type RowFunction<'a> = dyn FnMut(RecordBatch) -> Result<Passed, ArrowError> + Send + 'a;

/// What may have come between reading and committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// Whatever leaves the files alone: rows that others append meanwhile do not matter.
    OtherRows,
    /// Nothing that brings rows: what is written depends on all rows that there are.
    SameRows,
}

/// What a rewrite has read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Files that go.
    pub files_removed: u64,
    /// Their bytes.
    pub bytes_removed: u64,
    /// Files that come.
    pub files_added: u64,
    /// Their bytes.
    pub bytes_added: u64,
    /// Rows that were read.
    pub rows_read: u64,
    /// Rows that were kept.
    pub rows_kept: u64,
    /// Rows that are new to readers of the log.
    pub rows_fresh: u64,
}

/// A rewrite on its way. Nothing is visible before [`LakeTable::commit_rewrite`]; dropped, it leaves at
/// most files that no log names.
pub struct Rewrite {
    table: Table,
    job: Job,
    columns: SchemaRef,
    store: Arc<dyn ObjectStore>,
    kept: RecordBatchWriter,
    fresh: RecordBatchWriter,
    /// Files that go, as the log has their names.
    removed: HashSet<String>,
    amounts: Amounts,
}

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rewrite { table, job, .. } = self;
        write!(
            formatter,
            "Rewrite({}, {}, {:?})",
            table.name(),
            job.name(),
            self.amounts
        )
    }
}

impl Rewrite {
    /// The table that it is for.
    pub fn table(&self) -> Table {
        self.table
    }

    /// What was read and written so far. Files that come are counted when they are closed.
    pub fn amounts(&self) -> Amounts {
        self.amounts
    }

    /// Reads the rows of these files, which go with the commit, and writes what the function makes of
    /// them. The files should be of one partition: for each of their partitions a file is open.
    ///
    /// Memory is bounded: by a few batches, or by what the sorting says.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the function fails. What was begun is not to be
    /// committed then.
    pub async fn pass(
        &mut self,
        files: &[StoredFile],
        sorting: Option<Sorting>,
        function: &mut RowFunction<'_>,
    ) -> Result<(), LakeError> {
        let columns = SchemaRef::clone(&self.columns);
        let sorter = sorting.map(|sorting| Sorter::new(sorting, columns));
        let mut sorter = sorter.transpose().map_err(|source| self.failed(source))?;
        for file in files {
            self.remove(file);
            let (store, columns) = (Arc::clone(&self.store), SchemaRef::clone(&self.columns));
            let rows = rows::of_file(store, self.table, columns, source_of(file));
            let mut rows = rows.await?;
            while let Some(batch) = rows.try_next().await? {
                self.amounts.rows_read += batch.num_rows() as u64;
                let passed = function(batch).map_err(|source| self.failed(source))?;
                if let Some(rows) = passed.fresh {
                    self.add(rows).await?;
                }
                match &mut sorter {
                    Some(sorter) => sorter
                        .push(passed.kept)
                        .map_err(|source| self.failed(source))?,
                    None => self.keep(passed.kept).await?,
                }
            }
        }
        let Some(sorter) = sorter else {
            return Ok(());
        };
        let mut sorted = sorter.finish().map_err(|source| self.failed(source))?;
        while let Some(rows) = sorted.next().map_err(|source| self.failed(source))? {
            self.keep(rows).await?;
        }
        Ok(())
    }

    /// A file goes with the commit, whatever is in it.
    pub fn remove(&mut self, file: &StoredFile) {
        if self.removed.insert(file.path.clone()) {
            self.amounts.files_removed += 1;
            self.amounts.bytes_removed += file.bytes;
        }
    }

    /// Adds rows that stood in the table before: readers of the log are not told of them.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn keep(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.amounts.rows_kept += rows.num_rows() as u64;
        let written = self.kept.write(rows).await;
        written.map_err(|source| self.refused(source))
    }

    /// Adds rows that readers of the log get as new ones.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn add(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.amounts.rows_fresh += rows.num_rows() as u64;
        let written = self.fresh.write(rows).await;
        written.map_err(|source| self.refused(source))
    }

    /// Closes the files.
    async fn finish(&mut self) -> DeltaResult<Vec<Add>> {
        let mut adds = self.kept.flush().await?;
        for add in &mut adds {
            add.data_change = false;
        }
        adds.extend(self.fresh.flush().await?);
        self.amounts.files_added = adds.len() as u64;
        let bytes = adds
            .iter()
            .map(|add| u64::try_from(add.size).unwrap_or_default());
        self.amounts.bytes_added = bytes.sum();
        Ok(adds)
    }

    fn failed(&self, source: ArrowError) -> LakeError {
        let doing = format!("rewrite files of the table {}", self.table.name());
        LakeError::new(ErrorKind::Unavailable, doing, source)
    }

    fn refused(&self, source: deltalake_core::DeltaTableError) -> LakeError {
        let doing = format!("rewrite files of the table {}", self.table.name());
        LakeError::delta(doing, source)
    }
}

fn source_of(file: &StoredFile) -> Source {
    Source {
        path: file.path.clone(),
        day: file.about.day,
        bytes: file.bytes,
    }
}

/// Commits of others that a rewrite may be put on top of before it gives up.
const ATTEMPTS: u32 = 50;

impl LakeTable {
    /// Begins a rewrite of some files of this version.
    ///
    /// # Errors
    /// When the table is not one that can be written; [`ErrorKind::Newer`] for a replay when a newer release
    /// has given it columns. The other jobs leave columns as they are.
    pub fn begin_rewrite(&self, job: Job) -> Result<Rewrite, LakeError> {
        if job == Job::Replay {
            self.has_our_columns()?;
        }
        let doing = || format!("rewrite files of the table {}", self.table().name());
        let writer = || {
            RecordBatchWriter::for_table(self.delta())
                .map(|writer| writer.with_writer_properties(writer_properties(Some(GROUP_ROWS))))
                .map_err(|source| LakeError::delta(doing(), source))
        };
        Ok(Rewrite {
            table: self.table(),
            job,
            columns: rows::columns_of(self.table(), self.delta())?,
            store: self.delta().object_store(),
            kept: writer()?,
            fresh: writer()?,
            removed: HashSet::new(),
            amounts: Amounts::default(),
        })
    }

    /// The rows of a file of this version, a few at a time, in all columns of the table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn rows_of(
        &self,
        file: &StoredFile,
    ) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
        let columns = rows::columns_of(self.table(), self.delta())?;
        let store = self.delta().object_store();
        let rows = rows::of_file(store, self.table(), columns, source_of(file)).await?;
        Ok(rows.boxed())
    }

    /// Commits a rewrite and moves positions.
    ///
    /// On `Ok` the old files have gone and the new ones have come, the positions stand, and the table
    /// is at the version of that commit or a later one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when somebody else has taken one of the files, changed the table or, if
    /// that matters, brought rows: nothing of this call is visible then. [`ErrorKind::Unavailable`]
    /// when the outcome is not known: after a [`LakeTable::refresh`] the files tell it.
    pub async fn commit_rewrite(
        &mut self,
        mut rewrite: Rewrite,
        positions: &BTreeMap<String, i64>,
        onto: Onto,
    ) -> Result<Amounts, LakeError> {
        let name = self.table().name();
        let doing = || format!("rewrite files of the table {name}");
        let adds = rewrite.finish().await;
        let adds = adds.map_err(|source| LakeError::delta(doing(), source))?;
        let ours: HashSet<String> = adds.iter().map(|add| add.path.clone()).collect();
        let mut attempts = 0;
        loop {
            let mut actions = self.removals(&rewrite)?;
            actions.extend(adds.iter().cloned().map(Action::Add));
            if actions.is_empty() && positions.is_empty() {
                return Ok(rewrite.amounts);
            }
            let error = match self.try_rewrite(rewrite.job, actions, positions).await {
                Ok(()) => return Ok(rewrite.amounts),
                Err(source) => LakeError::delta(doing(), source),
            };
            attempts += 1;
            if error.kind() != ErrorKind::Conflict || attempts >= ATTEMPTS {
                return Err(error);
            }
            let since = self.since().await?;
            let landed = since.iter().flat_map(|entry| &entry.adds);
            let landed = landed.into_iter().any(|add| ours.contains(&add.path));
            let moved = since.iter().any(|entry| entry.changes_table);
            let brought = since.iter().any(|entry| entry.brings_rows());
            // What it counted is part of what we count.
            let moved = moved || (!positions.is_empty() && since.iter().any(|entry| entry.expires));
            self.go_past(&since).await?;
            if landed {
                // The answer to an earlier attempt of ours was lost.
                return Ok(rewrite.amounts);
            }
            // With nothing to look at, the entries were cleaned up.
            if since.is_empty() || moved || (brought && onto == Onto::SameRows) {
                return Err(error);
            }
        }
    }

    /// The actions that take the files of a rewrite away.
    fn removals(&self, rewrite: &Rewrite) -> Result<Vec<Action>, LakeError> {
        let name = self.table().name();
        let doing = || format!("rewrite files of the table {name}");
        let snapshot = self
            .delta()
            .snapshot()
            .map_err(|source| LakeError::delta(doing(), source))?;
        // The rows of a compaction are all there afterwards.
        let data_change = rewrite.job != Job::Compact;
        let files = snapshot.log_data().into_iter();
        let files = files.filter(|file| rewrite.removed.contains(file.path().as_ref()));
        let actions: Vec<_> = files
            .map(|file| Action::Remove(file.remove_action(data_change)))
            .collect();
        if actions.len() == rewrite.removed.len() {
            return Ok(actions);
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            doing(),
            "somebody else has rewritten some of the files",
        ))
    }

    async fn try_rewrite(
        &mut self,
        job: Job,
        actions: Vec<Action>,
        positions: &BTreeMap<String, i64>,
    ) -> DeltaResult<()> {
        let transactions = positions
            .iter()
            .map(|(application, version)| Transaction::new(application, *version))
            .collect();
        let properties = CommitProperties::default()
            .with_metadata([("postlake".to_owned(), json!({ "job": job.name() }))])
            .with_application_transactions(transactions)
            // What others have committed is looked at first.
            .with_max_retries(0);
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(
                Some(self.delta().snapshot()?),
                self.delta().log_store(),
                job.operation(),
            )
            .await?;
        self.take(commit.snapshot());
        Ok(())
    }
}

/// Rows of a group of a rewritten file: what has to be read at least where a reader looks for one
/// recipient or one subaccount, and what is held in memory until it is written.
const GROUP_ROWS: usize = 128 << 10;

#[cfg(test)]
mod tests;
