//! Writing many items: batches of 25, what is left over again, a refused item alone.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::api::{Api, Fault, FaultKind, Waits};
use super::item::{Item, KEY, ORDERED_BY};

/// What the service takes in one batch.
const BATCH_ITEMS: usize = 25;

/// Batches, or single writes, that are under way at the same time.
const CALLS_AT_A_TIME: usize = 8;

const BATCH: &str = "BatchWriteItem";
const PUT: &str = "PutItem";

/// An item with where its row came from, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) item: Item,
    pub(crate) place: String,
}

/// Puts all items, whatever stood under their keys. Their keys must differ. Returns how many the service
/// can never take.
pub(crate) async fn put_all(api: &Api, table: &str, items: &[Placed]) -> Result<u64, Fault> {
    let batches = items.chunks(BATCH_ITEMS);
    sum(batches.map(|batch| put_batch(api, table, batch)).collect()).await
}

/// Puts each item unless a newer one stands under its key. Returns how many the service can never take.
pub(crate) async fn put_newest(api: &Api, table: &str, items: &[Placed]) -> Result<u64, Fault> {
    let items = items.iter();
    sum(items.map(|item| put_if_newer(api, table, item)).collect()).await
}

/// Some at a time, to the first that fails.
async fn sum(calls: Vec<impl Future<Output = Result<u64, Fault>>>) -> Result<u64, Fault> {
    stream::iter(calls)
        .buffer_unordered(CALLS_AT_A_TIME)
        .try_fold(0, async |all, refused| Ok(all + refused))
        .await
}

async fn put_batch(api: &Api, table: &str, batch: &[Placed]) -> Result<u64, Fault> {
    let puts = batch
        .iter()
        .map(|placed| json!({ "PutRequest": { "Item": placed.item } }));
    let mut pending: Vec<Value> = puts.collect();
    let mut waits = Waits::new(api.backoff);
    while !pending.is_empty() {
        let request = json!({ "RequestItems": { table: pending } });
        let mut answer = match api.call(BATCH, &request).await {
            // One item is enough for the whole batch to be refused.
            Err(fault) if fault.kind == FaultKind::Invalid => {
                return put_one_by_one(api, table, batch).await;
            }
            answered => answered?,
        };
        let left = unprocessed(&mut answer, table);
        if left.len() < pending.len() {
            waits.progress();
        }
        if !left.is_empty() && !waits.wait().await {
            let said = format!("{} items are left over each time", left.len());
            return Err(Fault::new(FaultKind::Later, BATCH, said));
        }
        pending = left;
    }
    Ok(0)
}

fn unprocessed(answer: &mut Value, table: &str) -> Vec<Value> {
    match answer
        .pointer_mut("/UnprocessedItems")
        .and_then(|all| all.get_mut(table))
    {
        Some(Value::Array(left)) => std::mem::take(left),
        _ => Vec::new(),
    }
}

async fn put_one_by_one(api: &Api, table: &str, batch: &[Placed]) -> Result<u64, Fault> {
    let mut refused = 0;
    for placed in batch {
        let request = json!({ "TableName": table, "Item": placed.item });
        let put = api.call(PUT, &request).await.map(drop);
        refused += refused_or(put, placed)?;
    }
    Ok(refused)
}

async fn put_if_newer(api: &Api, table: &str, placed: &Placed) -> Result<u64, Fault> {
    let request = json!({
        "TableName": table,
        "Item": placed.item,
        "ConditionExpression": "attribute_not_exists(#key) OR #order < :order",
        "ExpressionAttributeNames": { "#key": KEY, "#order": ORDERED_BY },
        "ExpressionAttributeValues": { ":order": placed.item.get(ORDERED_BY) },
    });
    match api.call(PUT, &request).await {
        // What stands there is as new or newer.
        Err(fault) if fault.kind == FaultKind::Condition => Ok(0),
        put => refused_or(put.map(drop), placed),
    }
}

/// Counts an item that can never be taken, and says so.
fn refused_or(put: Result<(), Fault>, placed: &Placed) -> Result<u64, Fault> {
    match put {
        Err(fault) if fault.kind == FaultKind::Invalid => {
            let reason = std::error::Error::source(&fault).map(ToString::to_string);
            tracing::error!(
                place = placed.place,
                reason,
                "dynamodb can never take this row; the others are there"
            );
            Ok(1)
        }
        put => put.map(|()| 0),
    }
}
