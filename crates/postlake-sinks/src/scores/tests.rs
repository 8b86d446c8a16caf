use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use serde_json::json;

use super::*;
use crate::contract::{Entry, Log, StoreDestination, keeps, rows, s3};

fn sink(store: Arc<dyn ObjectStore>) -> Box<dyn Sink> {
    Box::new(ScoresSink::new("scores", store))
}

/// Name and content: one file, one score.
fn read(name: &str, text: &str) -> Vec<String> {
    vec![format!("{name} {text}")]
}

#[tokio::test]
async fn scores_keep_the_contract() {
    let destination = StoreDestination::new(Arc::new(InMemory::new()), sink, read);
    keeps(&destination).await;
}

#[tokio::test]
async fn scores_keep_the_contract_on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    keeps(&StoreDestination::new(Arc::new(store), sink, read)).await;
}

#[tokio::test]
async fn scores_keep_the_contract_on_s3() {
    let Some(store) = s3() else { return };
    keeps(&StoreDestination::new(store, sink, read).with_few_rows()).await;
}

async fn names(entries: &[Entry]) -> Vec<String> {
    let store = Arc::new(InMemory::new());
    let sink = sink(Arc::clone(&store) as Arc<dyn ObjectStore>);
    Log::of(entries).deliver(sink.as_ref()).await.unwrap();
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let names = objects.iter().map(|object| object.location.to_string());
    names
        .filter(|name| !name.ends_with("_checkpoint.json"))
        .collect()
}

fn entry(filters: &Value, triggered_at: &str) -> Entry {
    json!({
        "alert_id": 7, "name": "n", "metric": "health_score", "triggered_value": 78.27250957000001,
        "triggered_at": triggered_at, "filters": filters,
        "evaluator": { "operator": "gt", "source": "raw", "value": 1 },
    })
}

const TIME: &str = "2021-03-23T08:31:28.999Z";

#[tokio::test]
async fn names_say_subaccount_and_time() {
    let cases = [
        (json!({}), "HS--1-20210323T083128.999Z.json"),
        (
            json!({ "subaccount_id": 0 }),
            "HS-0-20210323T083128.999Z.json",
        ),
        (
            json!({ "subaccount_id": 6257 }),
            "HS-6257-20210323T083128.999Z.json",
        ),
    ];
    for (filters, expected) in cases {
        let found = names(&[entry(&filters, TIME)]).await;
        assert_eq!(found, [format!("scores/alert-7/{expected}")]);
    }
}

/// The original code named files by the second: of two facets in one second one was lost.
#[tokio::test]
async fn defect_one_second_names() {
    let sub = |extra: Value| {
        let mut filters = json!({ "subaccount_id": 6257 });
        for (key, value) in extra.as_object().unwrap() {
            filters[key] = value.clone();
        }
        filters
    };
    let mut entries = vec![
        entry(&sub(json!({})), TIME),
        entry(&sub(json!({ "ip_pool": "a" })), TIME),
        entry(&sub(json!({ "ip_pool": "b" })), TIME),
        entry(&sub(json!({ "sending_domain": "a" })), TIME),
        entry(&json!({ "subaccount_id": "6257" }), TIME),
        // The same moment in other words, and other moments of the same second.
        entry(&sub(json!({})), "2021-03-23T08:31:28.999000Z"),
        entry(&sub(json!({})), "2021-03-23T08:31:28.9995Z"),
        entry(&sub(json!({})), "2021-03-23T08:31:28.100Z"),
    ];
    let mut other_alert = entry(&sub(json!({})), TIME);
    other_alert["alert_id"] = json!(8);
    entries.push(other_alert);
    let mut no_alert = entry(&sub(json!({})), TIME);
    no_alert["alert_id"] = Value::Null;
    entries.push(no_alert);
    let found: BTreeSet<_> = names(&entries).await.into_iter().collect();
    assert_eq!(found.len(), entries.len(), "{found:#?}");
    let short = found.iter().filter(|name| name.ends_with(".999Z.json"));
    assert_eq!(short.count(), 2, "{found:#?}");
}

#[tokio::test]
async fn a_file_is_the_alert_as_it_was_sent() {
    let sent = entry(&json!({ "subaccount_id": 6257, "ip_pool": "a" }), TIME);
    let batch = rows(std::slice::from_ref(&sent));
    let alerts = Alerts::of(&batch).unwrap();
    let bytes = content(&alerts.rows().next().unwrap());
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    let read: Value = serde_json::from_slice(&bytes).unwrap();
    for (key, value) in sent.as_object().unwrap() {
        if key != "evaluator" {
            assert_eq!(read[key], *value, "{key}");
        }
    }
    assert_eq!(read["evaluator"]["operator"], "gt");
    assert_eq!(read["subaccount_id"], 6257);
    assert!(read["record_id"].is_string());
}

#[tokio::test]
async fn only_health_scores_become_files() {
    let entry = entry(&json!({}), TIME);
    let mut other = entry.clone();
    other["metric"] = json!("hard_bounce_rate");
    // Its value is a change in per cent.
    let mut change = entry.clone();
    change["evaluator"]["source"] = json!("day_over_day");
    let mut empty = entry;
    empty["triggered_value"] = Value::Null;
    assert!(names(&[other, change, empty]).await.is_empty());
}

#[tokio::test]
async fn a_checkpoint_of_another_form_is_refused() {
    let store = Arc::new(InMemory::new());
    let foreign = br#"{"format":"postlake-scores-checkpoint-9","table_id":"t","version":1}"#;
    let foreign = foreign.to_vec().into();
    store.put(&checkpoint_path(), foreign).await.unwrap();
    let sink = ScoresSink::new("scores", store);
    let error = sink.checkpoint(Table::Alerts).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "read the checkpoint scores/_checkpoint.json"
    );
}
