//! The lake as a table source: the only file that names `postlake-lake`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeError, LakeTable};
use tokio::sync::Mutex;

use crate::source::{BoxError, Gone, TableSnapshot, TableSource};

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
    let expired = table.expired().await?;
    let snapshot = TableSnapshot {
        version: table.version(),
        provider: table.provider().await?,
        gone: Gone {
            rows: expired.rows,
            events: expired.events,
            alerts: expired.alerts,
            rejects: expired.rejects,
        },
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
            gone: newest.snapshot.gone,
        };
        open.insert(table, newest);
        Ok(Some(snapshot))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postlake_lake::DataUrl;
    use serde_json::json;

    use super::*;
    use crate::fixture::{batch, score};
    use crate::format::{self, Format};
    use crate::sql::{SqlEngine, SqlLimits};
    use crate::{scores, summary};

    async fn append(lake: &Lake, table: Table, rows: &[serde_json::Value]) {
        let mut opened = lake.table(table).await.unwrap().unwrap();
        let rows = vec![batch(table, rows)];
        opened.append(rows, &BTreeMap::new()).await.unwrap();
    }

    #[tokio::test]
    async fn a_lake_on_disk_is_read_at_its_newest_version() {
        let directory = tempfile::tempdir().unwrap();
        let url = DataUrl::parse(directory.path().to_str().unwrap()).unwrap();
        let lake = Lake::open(&url).unwrap();
        let source = Arc::new(LakeSource::new(lake.clone()));
        let engine = SqlEngine::new(source, SqlLimits::remote());

        let before = engine.query("select * from events").await.unwrap();
        assert_eq!((before.rows(), before.versions.events), (0, None));
        assert_eq!(before.notices.len(), 1);

        lake.create_missing().await.unwrap();
        let created = engine.query("select * from events").await.unwrap();
        assert_eq!((created.rows(), created.versions.events), (0, Some(0)));
        assert!(created.notices.is_empty());

        let event = json!({"event_class": "message_event", "type": "bounce", "bounce_class": 10});
        append(&lake, Table::Events, std::slice::from_ref(&event)).await;
        append(&lake, Table::Events, &[event]).await;
        append(
            &lake,
            Table::Alerts,
            &[
                score(None, "2026-03-01T08:00:00Z", 80.0),
                score(None, "2026-03-02T08:00:00Z", 79.25),
            ],
        )
        .await;
        append(
            &lake,
            Table::Batches,
            &[json!({"source": "events", "items": 4, "events": 2, "alerts": 2})],
        )
        .await;

        let after = engine
            .query("select event_date, bounce_class from events where \"type\" = 'bounce'")
            .await
            .unwrap();
        let mut csv = Vec::new();
        format::write(&after.schema, &after.batches, Format::Csv, &mut csv).unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "event_date,bounce_class\n2026-03-01,10\n2026-03-01,10\n"
        );
        assert_eq!(after.versions.events, Some(2));
        let scores = scores::latest(&engine).await.unwrap();
        assert_eq!(scores[0].change, Some(-0.75));
        let summary = summary::summary(&engine).await.unwrap();
        assert!(summary.books.balanced, "{:?}", summary.books);
        assert_eq!(summary.bounces_by_class[0].class_name, "Invalid Recipient");
    }
}
