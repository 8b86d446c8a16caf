//! The lake as a table source: the only file that names `postlake-lake`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeError, LakeTable};
use tokio::sync::Mutex;

use crate::source::{BoxError, TableSnapshot, TableSource};

/// Reads a lake. Keeps each table open and reads only the log entries that are new.
#[derive(Debug)]
pub struct LakeSource {
    lake: Lake,
    open: Mutex<HashMap<Table, Opened>>,
}

#[derive(Debug)]
struct Opened {
    table: LakeTable,
    snapshot: TableSnapshot,
}

impl LakeSource {
    /// A source over `lake`, which need not exist yet.
    pub fn new(lake: Lake) -> LakeSource {
        LakeSource {
            lake,
            open: Mutex::new(HashMap::new()),
        }
    }

    async fn newest(
        &self,
        table: Table,
        kept: Option<Opened>,
    ) -> Result<Option<Opened>, LakeError> {
        let Some(mut kept) = kept else {
            return match self.lake.table(table).await? {
                Some(table) => Ok(Some(opened(table).await?)),
                None => Ok(None),
            };
        };
        kept.table.refresh().await?;
        if kept.table.version() == kept.snapshot.version {
            Ok(Some(kept))
        } else {
            Ok(Some(opened(kept.table).await?))
        }
    }
}

async fn opened(table: LakeTable) -> Result<Opened, LakeError> {
    let snapshot = TableSnapshot {
        version: table.version(),
        provider: table.provider().await?,
    };
    Ok(Opened { table, snapshot })
}

#[async_trait]
impl TableSource for LakeSource {
    async fn table(&self, table: Table) -> Result<Option<TableSnapshot>, BoxError> {
        let mut open = self.open.lock().await;
        // Taken out first: after an error the table is opened anew.
        let kept = open.remove(&table);
        let Some(newest) = self.newest(table, kept).await? else {
            return Ok(None);
        };
        let snapshot = TableSnapshot {
            version: newest.snapshot.version,
            provider: Arc::clone(&newest.snapshot.provider),
        };
        open.insert(table, newest);
        Ok(Some(snapshot))
    }
}
