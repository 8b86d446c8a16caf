//! The table `alerts` in DynamoDB: an item for each alert entry, one for the newest of each subject.
//!
//! The key of an alert's item is the row's `record_id`, made of what was sent, so that another delivery
//! writes the same item. A `latest` item gives way to a newer one only, in whatever order they come. The
//! checkpoint is an item too, written after the rows. Under the key `record_id` they are told apart by
//! `kind`: `alert`, `latest`, `checkpoint`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink, SinkError, Taken};
use serde_json::{Value, json};

use crate::alert::{Alert, Alerts};

mod api;
mod create;
mod item;
mod line;
mod write;

use api::{Api, Backoff, Fault, FaultKind};
use item::KEY;
pub use line::DynamoDbEndpoint;
use line::{Line, SignedLine};
use write::Placed;

const FORMAT: &str = "postlake-dynamodb-checkpoint-1";

/// Tells the present time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How long items stay.
#[derive(Clone)]
pub struct Retention {
    /// Counted from the time of the alert.
    pub keep: Duration,
    /// What is over already is not written: the service takes days to remove what has expired.
    pub now: Now,
}

impl fmt::Debug for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Retention({:?})", self.keep)
    }
}

/// Writes alerts to a table of DynamoDB.
#[derive(Debug)]
pub struct DynamoDbSink {
    name: String,
    table: String,
    api: Api,
    retention: Option<Retention>,
}

impl DynamoDbSink {
    /// A sink of that name that writes to `table`. Asks nothing yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(
        name: impl Into<String>,
        table: impl Into<String>,
        endpoint: DynamoDbEndpoint,
        retention: Option<Retention>,
    ) -> Result<DynamoDbSink, SinkError> {
        let line = SignedLine::open(endpoint)
            .map_err(|source| SinkError::new("set up the client for dynamodb", source))?;
        let name = name.into();
        Ok(DynamoDbSink::on(
            Arc::new(line),
            name,
            table.into(),
            retention,
        ))
    }

    fn on(
        line: Arc<dyn Line>,
        name: String,
        table: String,
        retention: Option<Retention>,
    ) -> DynamoDbSink {
        DynamoDbSink {
            name,
            table,
            api: Api::new(line, Backoff::USUAL),
            retention,
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Makes the table with its index, waits until it can be used and has expired items removed. True if
    /// it was not there; one that is there is checked.
    ///
    /// # Errors
    /// When the service does not answer or the table that is there has other keys.
    pub async fn create_table(&self) -> Result<bool, SinkError> {
        create::create(&self.api, &self.table)
            .await
            .map_err(|fault| fault.into_sink_error(&self.table))
    }

    fn checkpoint_key(&self, table: Table) -> String {
        format!("checkpoint#{}#{}", self.name, table.name())
    }

    fn failed(&self) -> impl Fn(Fault) -> SinkError {
        |fault| fault.into_sink_error(&self.table)
    }

    fn has_expired(&self, alert: &Alert<'_>) -> bool {
        self.retention.as_ref().is_some_and(|retention| {
            let age = (retention.now)() - alert.time();
            age.to_std().is_ok_and(|age| age > retention.keep)
        })
    }

    /// The items of a delivery: one for each alert, and the newest of each subject.
    fn items(&self, alerts: &Alerts<'_>) -> (Vec<Placed>, Vec<Placed>) {
        let keep = self.retention.as_ref().map(|retention| retention.keep);
        let mut items = BTreeMap::new();
        let mut newest = BTreeMap::<String, Alert<'_>>::new();
        for alert in alerts.rows().filter(|alert| !self.has_expired(alert)) {
            let item = item::alert_item(&alert, keep);
            let place = alert.place();
            items.insert(alert.record_id, Placed { item, place });
            if !alert.is_level() {
                continue;
            }
            let known = newest.entry(item::latest_key(&alert)).or_insert(alert);
            if known.order() < alert.order() {
                *known = alert;
            }
        }
        let latest = newest.into_values().map(|alert| Placed {
            item: item::latest_item(&alert, keep),
            place: alert.place(),
        });
        (items.into_values().collect(), latest.collect())
    }
}

#[async_trait]
impl Sink for DynamoDbSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> &[Table] {
        &[Table::Alerts]
    }

    async fn checkpoint(&self, table: Table) -> Result<Option<Checkpoint>, SinkError> {
        let key = self.checkpoint_key(table);
        let request = json!({
            "TableName": self.table,
            "Key": { KEY: { "S": key } },
            "ConsistentRead": true,
        });
        let answer = self.api.call("GetItem", &request).await;
        let answer = answer.map_err(self.failed())?;
        match answer.get("Item") {
            None => Ok(None),
            Some(item) => read_checkpoint(item)
                .map(Some)
                .map_err(|message| SinkError::new(format!("read the checkpoint {key}"), message)),
        }
    }

    async fn advance(&self, table: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        let request = json!({
            "TableName": self.table,
            "Item": {
                KEY: { "S": self.checkpoint_key(table) },
                "kind": { "S": "checkpoint" },
                "format": { "S": FORMAT },
                "table_id": { "S": checkpoint.table_id },
                "version": { "N": checkpoint.version.to_string() },
            },
            // A writer that is behind another does not take it back.
            "ConditionExpression":
                "attribute_not_exists(#key) OR table_id <> :table_id OR #version < :version",
            "ExpressionAttributeNames": { "#key": KEY, "#version": "version" },
            "ExpressionAttributeValues": {
                ":table_id": { "S": checkpoint.table_id },
                ":version": { "N": checkpoint.version.to_string() },
            },
        });
        match self.api.call("PutItem", &request).await {
            Err(fault) if fault.kind == FaultKind::Condition => Ok(()),
            put => put.map(drop).map_err(self.failed()),
        }
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError> {
        let mut refused = 0;
        for batch in delivery.rows {
            let (items, latest) = self.items(&Alerts::of(batch)?);
            let put = write::put_all(&self.api, &self.table, &items).await;
            refused += put.map_err(self.failed())?;
            let put = write::put_newest(&self.api, &self.table, &latest).await;
            put.map_err(self.failed())?;
        }
        self.advance(delivery.table, delivery.checkpoint).await?;
        Ok(Taken { refused })
    }
}

/// # Errors
/// When it is none of ours, in words.
fn read_checkpoint(item: &Value) -> Result<Checkpoint, String> {
    let text = |name: &str, kind: &str| item.get(name)?.get(kind)?.as_str();
    match text("format", "S") {
        Some(FORMAT) => {}
        other => {
            let other = other.unwrap_or("none");
            return Err(format!("it has the form {other}, not {FORMAT}"));
        }
    }
    let version = text("version", "N").and_then(|digits| digits.parse().ok());
    match (text("table_id", "S"), version) {
        (Some(table_id), Some(version)) => Ok(Checkpoint {
            table_id: table_id.to_owned(),
            version,
        }),
        _ => Err("it names no table and version".to_owned()),
    }
}

#[cfg(test)]
mod tests;
