//! The table and its index.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Api, Fault, FaultKind};
use super::item::{EXPIRES_AT, KEY};

/// The index by subaccount and time.
const INDEX: &str = "by_subaccount";

const CREATE: &str = "CreateTable";
const DESCRIBE: &str = "DescribeTable";

/// A new table is ready within seconds, as a rule.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// True if it was made now.
pub(super) async fn create(api: &Api, table: &str) -> Result<bool, Fault> {
    let created = match api.call(CREATE, &definition(table)).await {
        Ok(_) => true,
        Err(fault) if fault.kind == FaultKind::TableExists => false,
        Err(fault) => return Err(fault),
    };
    let description = wait_until_active(api, table).await?;
    check(&description)?;
    expire(api, table).await?;
    Ok(created)
}

fn definition(table: &str) -> Value {
    json!({
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": KEY, "AttributeType": "S" },
            { "AttributeName": "subaccount_id", "AttributeType": "N" },
            { "AttributeName": "triggered_at", "AttributeType": "S" },
        ],
        "KeySchema": table_keys(),
        "GlobalSecondaryIndexes": [{
            "IndexName": INDEX,
            "KeySchema": index_keys(),
            "Projection": { "ProjectionType": "ALL" },
        }],
    })
}

fn table_keys() -> Value {
    json!([{ "AttributeName": KEY, "KeyType": "HASH" }])
}

fn index_keys() -> Value {
    json!([
        { "AttributeName": "subaccount_id", "KeyType": "HASH" },
        { "AttributeName": "triggered_at", "KeyType": "RANGE" },
    ])
}

async fn wait_until_active(api: &Api, table: &str) -> Result<Value, Fault> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = api.call(DESCRIBE, &json!({ "TableName": table })).await?;
        let status =
            |part: &Value, name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
        let description = answer.get("Table").cloned().unwrap_or_default();
        let index = index_of(&description).and_then(|index| status(index, "IndexStatus"));
        let ready = [status(&description, "TableStatus"), index]
            .iter()
            .flatten()
            .all(|status| status == "ACTIVE");
        if ready {
            return Ok(description);
        }
        if Instant::now() > until {
            return Err(Fault::new(
                FaultKind::Later,
                DESCRIBE,
                "it is not active yet",
            ));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn index_of(description: &Value) -> Option<&Value> {
    let indexes = description.get("GlobalSecondaryIndexes")?.as_array()?;
    indexes
        .iter()
        .find(|index| index.get("IndexName").and_then(Value::as_str) == Some(INDEX))
}

/// A table that somebody else made must have our keys; the index is for readers and may be absent.
fn check(description: &Value) -> Result<(), Fault> {
    if description.get("KeySchema") != Some(&table_keys()) {
        let said = format!("its primary key is not {KEY} alone; choose another table");
        return Err(Fault::new(FaultKind::Other, DESCRIBE, said));
    }
    match index_of(description) {
        Some(index) if index.get("KeySchema") != Some(&index_keys()) => {
            let said = format!("its index {INDEX} has other keys; choose another table");
            Err(Fault::new(FaultKind::Other, DESCRIBE, said))
        }
        Some(_) => Ok(()),
        None => {
            tracing::warn!("the table has no index {INDEX}; it is written all the same");
            Ok(())
        }
    }
}

/// Has the service remove what has expired. Items without the attribute stay.
async fn expire(api: &Api, table: &str) -> Result<(), Fault> {
    let answer = api
        .call("DescribeTimeToLive", &json!({ "TableName": table }))
        .await?;
    let status = answer
        .pointer("/TimeToLiveDescription/TimeToLiveStatus")
        .and_then(Value::as_str);
    if matches!(status, Some("ENABLED" | "ENABLING")) {
        return Ok(());
    }
    let request = json!({
        "TableName": table,
        "TimeToLiveSpecification": { "Enabled": true, "AttributeName": EXPIRES_AT },
    });
    api.call("UpdateTimeToLive", &request).await.map(drop)
}
