//! The port to the lake: tables at a version, and the four of them at one moment.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use postlake_event::schema::Table;
use serde::Serialize;

/// Any error of a table source; its text goes to the log, never to a caller of the API.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A table at one version.
#[derive(Clone)]
pub struct TableSnapshot {
    /// The table's version in the lake's log.
    pub version: u64,
    /// Reads exactly that version.
    pub provider: Arc<dyn TableProvider>,
    /// What retention has taken from it.
    pub gone: Gone,
}

/// What partitions that retention took away have held, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Rows; of `quarantine` without those that stand for a whole segment.
    pub rows: i64,
    /// Of `batches`: events that they accounted for.
    pub events: i64,
    /// Of `batches`: alerts.
    pub alerts: i64,
    /// Of `batches`: rejects.
    pub rejects: i64,
}

impl fmt::Debug for TableSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSnapshot")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Where tables come from: the lake, or tables in memory.
#[async_trait]
pub trait TableSource: Send + Sync {
    /// The newest snapshot of a table. `Ok(None)`: the table does not exist yet. `Err`: it may
    /// exist but cannot be read now; asking again later may succeed.
    async fn table(&self, table: Table) -> Result<Option<TableSnapshot>, BoxError>;
}

/// The version of each table in one answer; `None` for a table that does not exist yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Versions {
    /// Version of `events`.
    pub events: Option<u64>,
    /// Version of `alerts`.
    pub alerts: Option<u64>,
    /// Version of `quarantine`.
    pub quarantine: Option<u64>,
    /// Version of `batches`.
    pub batches: Option<u64>,
}

/// The four tables at one moment: every statement of one answer reads these.
#[derive(Clone, Debug, Default)]
pub struct TableSet {
    events: Option<TableSnapshot>,
    alerts: Option<TableSnapshot>,
    quarantine: Option<TableSnapshot>,
    batches: Option<TableSnapshot>,
}

impl TableSet {
    /// Takes the newest snapshot of each table. The loader commits the tables one after the other
    /// (`batches` last), so a set taken in the middle of a pass can hold rows whose batch is not
    /// there yet; it never changes afterwards.
    ///
    /// # Errors
    ///
    /// The source's error when any table cannot be read.
    pub async fn take(source: &dyn TableSource) -> Result<TableSet, BoxError> {
        // Batches first: a set taken across a commit then shows rows without their batch, never a
        // batch without its rows.
        let batches = source.table(Table::Batches).await?;
        let quarantine = source.table(Table::Quarantine).await?;
        let alerts = source.table(Table::Alerts).await?;
        let events = source.table(Table::Events).await?;
        Ok(TableSet {
            events,
            alerts,
            quarantine,
            batches,
        })
    }

    /// The versions of this set.
    pub fn versions(&self) -> Versions {
        let version = |table: Table| self.snapshot(table).map(|snapshot| snapshot.version);
        Versions {
            events: version(Table::Events),
            alerts: version(Table::Alerts),
            quarantine: version(Table::Quarantine),
            batches: version(Table::Batches),
        }
    }

    /// What retention has taken from a table.
    pub(crate) fn gone(&self, table: Table) -> Gone {
        let snapshot = self.snapshot(table);
        snapshot.map(|snapshot| snapshot.gone).unwrap_or_default()
    }

    /// The tables that do not exist yet; they read as empty.
    pub fn missing(&self) -> Vec<Table> {
        Table::ALL
            .into_iter()
            .filter(|table| self.snapshot(*table).is_none())
            .collect()
    }

    pub(crate) fn provider(&self, table: Table) -> Arc<dyn TableProvider> {
        match self.snapshot(table) {
            Some(snapshot) => Arc::clone(&snapshot.provider),
            None => Arc::new(EmptyTable::new(table.schema())),
        }
    }

    fn snapshot(&self, table: Table) -> Option<&TableSnapshot> {
        match table {
            Table::Events => self.events.as_ref(),
            Table::Alerts => self.alerts.as_ref(),
            Table::Quarantine => self.quarantine.as_ref(),
            Table::Batches => self.batches.as_ref(),
        }
    }
}
