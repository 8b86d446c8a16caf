//! One Delta table: its version, its positions, appends and reads.

mod columns;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use postlake_event::schema::Table;

use crate::append::Append;
use crate::error::{ErrorKind, LakeError};
use crate::log::{self, Entry};
pub use columns::NewerColumns;

/// A table of the lake at one version.
#[derive(Debug)]
pub struct LakeTable {
    table: Table,
    delta: DeltaTable,
    /// Where rows lie that wait to be written, without a name.
    scratch: PathBuf,
    /// The day that [`LakeTable::kept_from`] has read.
    kept_from: OnceLock<Option<i32>>,
}

impl LakeTable {
    pub(crate) fn new(table: Table, delta: DeltaTable, scratch: PathBuf) -> LakeTable {
        LakeTable {
            table,
            delta,
            scratch,
            kept_from: OnceLock::new(),
        }
    }

    /// Which table it is.
    pub fn table(&self) -> Table {
        self.table
    }

    /// The version that reads and appends start from.
    pub fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// The table's own id: another one after the lake was made anew.
    ///
    /// # Errors
    /// When the table is not loaded, which is a defect.
    pub fn id(&self) -> Result<String, LakeError> {
        let doing = || format!("read the id of the table {}", self.table.name());
        let snapshot = self
            .delta
            .snapshot()
            .map_err(|source| LakeError::delta(doing(), source))?;
        Ok(snapshot.metadata().id().to_owned())
    }

    /// Goes to the newest version.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        let doing = format!("refresh the table {}", self.table.name());
        self.forget_kept_from();
        self.delta
            .update_state()
            .await
            .map_err(|source| LakeError::delta(doing, source))
    }

    /// The position that an application (a stream, a fence) has brought the table to.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn position(&self, application: &str) -> Result<Option<i64>, LakeError> {
        let doing = || format!("read a position of the table {}", self.table.name());
        let snapshot = self
            .delta
            .snapshot()
            .map_err(|source| LakeError::delta(doing(), source))?;
        snapshot
            .transaction_version(self.delta.log_store().as_ref(), application)
            .await
            .map_err(|source| LakeError::delta(doing(), source))
    }

    /// The first day, counted from the epoch, that retention has not let go; none if it has let nothing
    /// go. What lies before has gone for good: rows of it that come again are not new.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn kept_from(&self) -> Result<Option<i32>, LakeError> {
        if let Some(day) = self.kept_from.get() {
            return Ok(*day);
        }
        let day = self.position(log::KEPT_FROM).await?;
        let day = day.map(|day| i32::try_from(day).unwrap_or(i32::MAX));
        Ok(*self.kept_from.get_or_init(|| day))
    }

    /// Appends rows and moves positions, in one commit: [`LakeTable::begin`], [`Append::write`] and
    /// [`LakeTable::commit`] in one.
    ///
    /// # Errors
    /// As [`LakeTable::commit`].
    pub async fn append(
        &mut self,
        batches: Vec<RecordBatch>,
        positions: &BTreeMap<String, i64>,
    ) -> Result<u64, LakeError> {
        let mut append = self.begin()?;
        for rows in batches {
            append.write(rows).await?;
        }
        self.commit(append, positions).await
    }

    /// Begins to write rows for one commit.
    ///
    /// # Errors
    /// When the table is not one that can be written; [`ErrorKind::Newer`] when a newer release has given it
    /// columns.
    pub fn begin(&self) -> Result<Append, LakeError> {
        self.has_our_columns()?;
        let doing = || format!("append to the table {}", self.table.name());
        let scratch = self.scratch.clone();
        Append::new(self.table, &self.delta, scratch)
            .map_err(|source| LakeError::delta(doing(), source))
    }

    /// Commits what was written and moves positions.
    ///
    /// On `Ok` the rows are durable and visible, the positions stand, and the table is at the
    /// version returned. There may be no rows. Commits of others that brought no rows, moved no
    /// position and changed no column (files rewritten, rows taken away) do not stand in the way.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when anybody committed rows or positions since this table was read:
    /// nothing of this call is visible then. [`ErrorKind::Unavailable`] when the outcome is not known:
    /// after a [`LakeTable::refresh`] the positions tell it.
    pub async fn commit(
        &mut self,
        append: Append,
        positions: &BTreeMap<String, i64>,
    ) -> Result<u64, LakeError> {
        let name = self.table.name();
        let doing = || format!("append to the table {name}");
        let actions = append.finish().await;
        let actions = actions.map_err(|source| LakeError::delta(doing(), source))?;
        let mut attempts = 0;
        loop {
            let error = match self.try_commit(&actions, positions).await {
                Ok(version) => return Ok(version),
                Err(source) => LakeError::delta(doing(), source),
            };
            attempts += 1;
            if error.kind() != ErrorKind::Conflict || attempts >= ATTEMPTS {
                return Err(error);
            }
            let since = self.since().await?;
            let matters =
                |entry: &Entry| entry.brings_rows() || entry.moves_positions || entry.changes_table;
            if since.is_empty() || since.iter().any(matters) {
                return Err(error);
            }
            self.go_past(&since).await?;
        }
    }

    /// Goes past commits that were looked at, and no further: what came after them was not.
    pub(crate) async fn go_past(&mut self, since: &[Entry]) -> Result<(), LakeError> {
        let doing = format!("refresh the table {}", self.table.name());
        let version = self.version() + since.len() as u64;
        if since.iter().any(|entry| entry.expires) {
            self.forget_kept_from();
        }
        self.delta
            .update_incremental(Some(version))
            .await
            .map_err(|source| LakeError::delta(doing, source))
    }

    /// What was committed since this table was read, from the log.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is more than anybody should look at, or cannot be read any more.
    pub(crate) async fn since(&self) -> Result<Vec<Entry>, LakeError> {
        let mut entries = Vec::new();
        loop {
            let version = self.version() + 1 + entries.len() as u64;
            match log::entry(self.table, &self.delta, version).await? {
                Some(entry) if entries.len() < ENTRIES_READ => entries.push(entry),
                Some(_) => {
                    let doing = format!("see what was committed to {}", self.table.name());
                    return Err(LakeError::new(
                        ErrorKind::Conflict,
                        doing,
                        "too many commits of others",
                    ));
                }
                None => return Ok(entries),
            }
        }
    }

    pub(crate) fn forget_kept_from(&mut self) {
        self.kept_from = OnceLock::new();
    }

    pub(crate) fn take(&mut self, state: DeltaTableState) {
        self.delta.state = Some(state);
    }

    async fn try_commit(
        &mut self,
        actions: &[Action],
        positions: &BTreeMap<String, i64>,
    ) -> deltalake_core::DeltaResult<u64> {
        let transactions = positions
            .iter()
            .map(|(application, version)| Transaction::new(application, *version))
            .collect();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![self.table.partition_column().to_owned()]),
            predicate: None,
        };
        let properties = CommitProperties::default()
            .with_application_transactions(transactions)
            // No retry on top of somebody else's commit: what it brought was not looked at.
            .with_max_retries(0);
        let commit = CommitBuilder::from(properties)
            .with_actions(actions.to_vec())
            .build(
                Some(self.delta.snapshot()?),
                self.delta.log_store(),
                operation,
            )
            .await?;
        let version = commit.version();
        self.take(commit.snapshot());
        Ok(version)
    }

    /// The table as DataFusion reads it, fixed at this version, with every column that this release knows.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, LakeError> {
        let doing = || format!("read the table {}", self.table.name());
        let provider = self.delta.table_provider().await;
        let provider =
            provider.map_err(|source| LakeError::new(ErrorKind::Unavailable, doing(), source))?;
        columns::as_of_today(self.table, provider)
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))
    }

    /// The answer to a question about this table alone, at this version, as it is read.
    ///
    /// # Errors
    /// When the question cannot be planned; a batch is an error when a data file cannot be read.
    pub async fn select(
        &self,
        sql: &str,
    ) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
        let name = self.table.name();
        let failed = move |source: DataFusionError| {
            LakeError::new(
                ErrorKind::Unavailable,
                format!("look up the table {name}"),
                source,
            )
        };
        let session = SessionContext::new();
        self.delta
            .update_datafusion_session(&session.state())
            .map_err(|source| LakeError::delta(format!("look up the table {name}"), source))?;
        session
            .register_table(name, self.provider().await?)
            .map_err(failed)?;
        let answer = session.sql(sql).await.map_err(failed)?;
        let batches = answer.execute_stream().await.map_err(failed)?;
        Ok(batches.map_err(failed).boxed())
    }

    pub(crate) fn delta(&self) -> &DeltaTable {
        &self.delta
    }
}

/// Commits of others that a commit may be put on top of before it gives up.
const ATTEMPTS: u32 = 20;

/// Entries of the log that are read to see what others did.
const ENTRIES_READ: usize = 1000;

#[cfg(test)]
mod tests;
