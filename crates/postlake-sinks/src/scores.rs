//! Score files: one JSON object for each Health Score,
//! `scores/alert-<alert_id>/HS-<subaccount_id>-<time>.json`.
//!
//! The name is made of the entry alone, so a second delivery writes the same file with the same
//! content. `<subaccount_id>` is -1 for the whole account and `<time>` the moment of the score,
//! `20210323T083128.999Z`. That tells entries apart that differ in nothing else but alert, subaccount
//! and time. Any other entry (a facet among the filters, a time in another spelling, no alert id) has
//! its `record_id` at the end of the name. So two entries never share a file.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{TryStreamExt as _, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use postlake_event::health;
use postlake_event::key::record_id;
use postlake_event::schema::Table;
use postlake_event::sink::{Checkpoint, Delivery, Sink, SinkError, Taken};
use serde_json::{Map, Value, json};

use crate::alert::{Alert, Alerts};
use crate::checkpoint_object;

const FORMAT: &str = "postlake-scores-checkpoint-1";

/// Files that are put at the same time.
const PUTS_AT_A_TIME: usize = 64;

/// Writes a file for each Health Score below a store's root.
pub struct ScoresSink {
    name: String,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for ScoresSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ScoresSink({})", self.name)
    }
}

impl ScoresSink {
    /// A sink of that name. The store must have what it is given durable when it says so.
    pub fn new(name: impl Into<String>, store: Arc<dyn ObjectStore>) -> ScoresSink {
        ScoresSink {
            name: name.into(),
            store,
        }
    }
}

fn checkpoint_path() -> Path {
    Path::from_iter(["scores", "_checkpoint.json"])
}

#[async_trait]
impl Sink for ScoresSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> &[Table] {
        &[Table::Alerts]
    }

    async fn checkpoint(&self, _alerts: Table) -> Result<Option<Checkpoint>, SinkError> {
        checkpoint_object::read(&self.store, &checkpoint_path(), FORMAT).await
    }

    async fn advance(&self, _alerts: Table, checkpoint: &Checkpoint) -> Result<(), SinkError> {
        checkpoint_object::write(&self.store, &checkpoint_path(), FORMAT, checkpoint).await
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Taken, SinkError> {
        for batch in delivery.rows {
            let alerts = Alerts::of(batch)?;
            let scores = alerts
                .rows()
                .filter(|alert| alert.metric == Some(health::METRIC) && alert.is_level());
            let files: Vec<_> = scores
                .map(|score| (file_path(&score), content(&score)))
                .collect();
            stream::iter(files.into_iter().map(Ok))
                .try_for_each_concurrent(PUTS_AT_A_TIME, async |(path, content)| {
                    checkpoint_object::put(&self.store, &path, content).await
                })
                .await?;
        }
        self.advance(delivery.table, delivery.checkpoint).await?;
        Ok(Taken::default())
    }
}

fn file_path(score: &Alert<'_>) -> Path {
    let folder = match score.alert_id {
        Some(id) => format!("alert-{id}"),
        None => "alert-none".to_owned(),
    };
    let subaccount = score.subaccount_or_whole();
    let time = score.time().format("%Y%m%dT%H%M%S%.3fZ");
    let end = match is_told_by_its_name(score) {
        true => String::new(),
        false => format!("-{}", score.record_id),
    };
    let file = format!("HS-{subaccount}-{time}{end}.json");
    Path::from_iter(["scores", &folder, &file])
}

/// Whether alert, subaccount and time, as the short name has them, are all that its identity is made
/// of.
fn is_told_by_its_name(score: &Alert<'_>) -> bool {
    let Some(alert_id) = score.alert_id else {
        return false;
    };
    let filters = match score.subaccount_id {
        Some(id) => format!("{{\"subaccount_id\":{id}}}"),
        None => "{}".to_owned(),
    };
    let time = score.triggered_at_text();
    record_id(&alert_id.to_string(), health::METRIC, &filters, &time) == score.record_id
}

/// One line of JSON in the form of the alert that was sent, with the `record_id` before it.
fn content(score: &Alert<'_>) -> Vec<u8> {
    let mut object = Map::new();
    let mut add = |key: &str, value: Value| {
        if !value.is_null() {
            object.insert(key.to_owned(), value);
        }
    };
    add("record_id", json!(score.record_id));
    add("alert_id", json!(score.alert_id));
    add("incident_id", json!(score.incident_id));
    add("name", json!(score.name));
    add("metric", json!(score.metric));
    add("evaluator", evaluator(score));
    add("triggered_value", json!(score.triggered_value));
    add("triggered_at", json!(score.triggered_at_text()));
    add("subaccount_id", json!(score.subaccount_or_whole()));
    let filters = score
        .filters
        .and_then(|text| serde_json::from_str(text).ok());
    add("filters", filters.unwrap_or(Value::Null));
    let mut bytes = Value::Object(object).to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn evaluator(score: &Alert<'_>) -> Value {
    if score.operator.is_none() && score.source.is_none() && score.threshold.is_none() {
        return Value::Null;
    }
    json!({
        "operator": score.operator,
        "source": score.source,
        "value": score.threshold,
    })
}

#[cfg(test)]
mod tests;
