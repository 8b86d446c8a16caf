//! Tables in memory for this crate's tests.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::datasource::MemTable;
use postlake_event::schema::Table;
use serde_json::{Map, Value, json};

use crate::source::{BoxError, Gone, TableSnapshot, TableSource};
use crate::sql::{SqlEngine, SqlLimits};
use crate::state::{ServeConfig, ServeState};

/// A lake in memory; each change of a table is a new version.
#[derive(Default)]
pub(crate) struct Memory {
    tables: Mutex<HashMap<Table, (u64, Vec<RecordBatch>)>>,
}

impl Memory {
    pub(crate) fn empty() -> Arc<Memory> {
        Arc::new(Memory::default())
    }

    /// Adds rows; columns that are left out are null, or a zero of their type where null is not allowed.
    pub(crate) fn add(&self, table: Table, rows: &[Value]) {
        let mut tables = self.tables.lock().unwrap();
        let (version, batches) = tables.entry(table).or_insert((0, Vec::new()));
        *version += 1;
        batches.push(batch(table, rows));
    }

    pub(crate) fn engine(self: &Arc<Self>, limits: SqlLimits) -> SqlEngine {
        SqlEngine::new(self.source(), limits)
    }

    pub(crate) fn state(self: &Arc<Self>) -> ServeState {
        let address = "127.0.0.1:8080".parse().unwrap();
        let config = ServeConfig::new(
            address,
            "http://127.0.0.1:8025".to_owned(),
            Arc::new(|| at("2026-03-02T09:00:00Z")),
        );
        ServeState::new(self.source(), config)
    }

    fn source(self: &Arc<Self>) -> Arc<dyn TableSource> {
        Arc::<Memory>::clone(self)
    }
}

#[async_trait]
impl TableSource for Memory {
    async fn table(&self, table: Table) -> Result<Option<TableSnapshot>, BoxError> {
        let tables = self.tables.lock().unwrap();
        let Some((version, batches)) = tables.get(&table) else {
            return Ok(None);
        };
        let provider = MemTable::try_new(table.schema(), vec![batches.clone()])?;
        Ok(Some(TableSnapshot {
            version: *version,
            provider: Arc::new(provider),
            gone: Gone::default(),
        }))
    }
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn batch(table: Table, rows: &[Value]) -> RecordBatch {
    let schema = table.schema();
    let mut lines = Vec::new();
    for row in rows {
        let mut object: Map<String, Value> = schema
            .fields()
            .iter()
            .filter(|field| !field.is_nullable())
            .map(|field| (field.name().clone(), zero(field)))
            .collect();
        for (name, value) in row.as_object().unwrap() {
            assert!(schema.field_with_name(name).is_ok(), "no column {name}");
            object.insert(name.clone(), value.clone());
        }
        serde_json::to_writer(&mut lines, &object).unwrap();
    }
    let mut reader = ReaderBuilder::new(schema)
        .with_batch_size(rows.len())
        .build(Cursor::new(lines))
        .unwrap();
    reader.next().unwrap().unwrap()
}

fn zero(field: &Field) -> Value {
    match field.data_type() {
        DataType::Utf8 => json!(""),
        DataType::Date32 => json!("2026-03-01"),
        DataType::Timestamp(_, _) => json!("2026-03-01T08:00:00Z"),
        _ => json!(0),
    }
}

/// A Health Score alert.
pub(crate) fn score(subaccount: Option<i64>, triggered_at: &str, value: f64) -> Value {
    json!({
        "metric": "health_score", "source": "raw", "operator": "gt", "name": "feed", "alert_id": 7,
        "subaccount_id": subaccount, "triggered_at": triggered_at, "triggered_value": value,
        "record_id": format!("{subaccount:?} {triggered_at}"), "received_at": "2026-03-02T08:30:00Z",
    })
}

/// A small lake whose books balance: one good batch, one with a reject.
pub(crate) fn small_lake() -> Arc<Memory> {
    let lake = Memory::empty();
    let event = |number: i64, event_type: &str, subaccount: i64| {
        json!({
            "event_class": "message_event", "type": event_type, "event_id": number.to_string(),
            "subaccount_id": subaccount, "item_index": number, "received_at": "2026-03-02T08:59:50Z",
        })
    };
    let bounce = |number: i64, subaccount: i64, class: i64, reason: &str| {
        let mut event = event(number, "bounce", subaccount);
        event["bounce_class"] = json!(class);
        event["reason"] = json!(reason);
        event
    };
    lake.add(
        Table::Events,
        &[
            event(1, "injection", 0),
            event(2, "delivery", 0),
            event(3, "delivery", 0),
            event(4, "delivery", 101),
            bounce(5, 101, 10, "550 no such user"),
            bounce(6, 101, 10, "550 no such user"),
            bounce(
                7,
                0,
                51,
                "554 blocked <script>alert(1)</script>\r\nsecond line",
            ),
            bounce(8, 102, 777, "x"),
        ],
    );
    lake.add(
        Table::Alerts,
        &[
            score(None, "2026-03-01T08:00:00Z", 80.0),
            score(None, "2026-03-02T08:00:00Z", 79.25),
            score(Some(0), "2026-03-02T08:00:00Z", 54.9),
            score(Some(101), "2026-03-02T08:00:00Z", 55.0),
        ],
    );
    lake.add(
        Table::Quarantine,
        &[json!({
            "received_at": "2026-03-02T08:30:00Z", "source": "events", "code": "not-json",
            "message": "expected value", "stream": "s", "segment": 2, "excerpt": "<b>",
        })],
    );
    lake.add(
        Table::Batches,
        &[
            json!({
                "received_at": "2026-03-02T08:59:50Z", "loaded_at": "2026-03-02T08:59:52Z",
                "source": "events", "batch_id": "one", "bytes": 3000, "items": 9, "events": 8,
                "duplicates": 1, "stream": "s", "segment": 1,
            }),
            json!({
                "received_at": "2026-03-02T08:30:00Z", "loaded_at": "2026-03-02T08:30:01Z",
                "source": "alerts", "bytes": 500, "items": 5, "alerts": 4, "rejects": 1,
                "stream": "s", "segment": 2,
            }),
        ],
    );
    lake
}
