//! The sink on emulators of the service, each of another code base.

use std::sync::Mutex;

use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;
use postlake_testkit::peers::variable;

use super::super::api::BoxError;
use super::super::line::Answer;
use super::*;

/// A table of its own on a server.
#[derive(Debug)]
struct Peer {
    line: SignedLine,
    table: String,
    break_at: Mutex<Option<(usize, Break)>>,
}

fn endpoint(url: String) -> DynamoDbEndpoint {
    let credential = AwsCredential {
        key_id: "test".to_owned(),
        secret_key: "test".to_owned(),
        token: None,
    };
    DynamoDbEndpoint {
        url,
        region: "us-east-1".to_owned(),
        credentials: Arc::new(StaticCredentialProvider::new(credential)),
    }
}

async fn peer(name: &str) -> Option<Arc<Peer>> {
    let url = variable(name)?;
    let peer = Arc::new(Peer {
        line: SignedLine::open(endpoint(url)).unwrap(),
        table: format!("scores-{:016x}", rand::random::<u64>()),
        break_at: Mutex::new(None),
    });
    let sink = peer.writer(HASTY);
    assert!(sink.create_table().await.unwrap(), "it was not there");
    assert!(!sink.create_table().await.unwrap(), "it is there");
    Some(peer)
}

impl Peer {
    fn writer(self: &Arc<Peer>, backoff: Backoff) -> DynamoDbSink {
        let line = Arc::clone(self) as Arc<dyn Line>;
        let mut sink = DynamoDbSink::on(line, "store".to_owned(), self.table.clone(), None);
        sink.api.backoff = backoff;
        sink
    }

    async fn ask(&self, action: &str, request: Value) -> Value {
        let answer = self
            .line
            .call(action, request.to_string().into_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{action}: {:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn scan(&self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut request = json!({ "TableName": self.table, "ConsistentRead": true });
        loop {
            let mut answer = self.ask("Scan", request.clone()).await;
            for item in answer["Items"].as_array_mut().unwrap() {
                items.push(item.as_object().unwrap().clone());
            }
            match answer.get("LastEvaluatedKey") {
                None | Some(Value::Null) => return items,
                Some(key) => request["ExclusiveStartKey"] = key.clone(),
            }
        }
    }
}

use super::super::item::Item;

#[async_trait]
impl Line for Peer {
    async fn call(&self, action: &str, request: Vec<u8>) -> Result<Answer, BoxError> {
        let breaks = {
            let mut break_at = self.break_at.lock().unwrap();
            match break_at.as_mut() {
                None => None,
                Some((0, how)) => Some(std::mem::replace(how, Break::Before)),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
            }
        };
        if breaks == Some(Break::Before) {
            return Err("the line is cut".into());
        }
        let answer = self.line.call(action, request).await;
        if breaks.is_some() {
            return Err("the answer is lost".into());
        }
        answer
    }
}

impl Destination for Arc<Peer> {
    fn sink(&self) -> Box<dyn Sink> {
        let breaking = self.break_at.lock().unwrap().is_some();
        Box::new(self.writer(if breaking { ONE_TRY } else { HASTY }))
    }

    /// Numbers by value: a service may write them in another way than they came.
    async fn content(&self) -> Vec<String> {
        let mut items = self.scan().await;
        items.retain(|item| item["kind"]["S"] != "checkpoint");
        for value in items.iter_mut().flat_map(Item::values_mut) {
            if let Some(number) = value["N"].as_str() {
                let number: f64 = number.parse().unwrap();
                *value = json!({ "N": number.to_string() });
            } else if value.get("N").is_some_and(Value::is_null) {
                value.as_object_mut().unwrap().remove("N");
            }
        }
        let mut lines: Vec<_> = items
            .into_iter()
            .map(|item| Value::Object(item).to_string())
            .collect();
        lines.sort_unstable();
        lines
    }

    async fn empty(&self) {
        for item in self.scan().await {
            let key = json!({ KEY: item[KEY] });
            let request = json!({ "TableName": self.table, "Key": key });
            self.ask("DeleteItem", request).await;
        }
    }

    fn break_at(&self, calls: Option<(usize, Break)>) {
        *self.break_at.lock().unwrap() = calls;
    }
}

/// Six scores of one time, two of another, asked for by subaccount.
async fn the_index_has_each_alert_once(peer: &Arc<Peer>) {
    peer.empty().await;
    let mut entries: Vec<Entry> = (1..=6)
        .map(|id| score(&json!({ "subaccount_id": id }), 50.0, first_time()))
        .collect();
    let day = TimeDelta::days(1);
    entries.push(score(
        &json!({ "subaccount_id": 3 }),
        60.0,
        first_time() + day,
    ));
    entries.push(score(
        &json!({ "subaccount_id": 3 }),
        40.0,
        first_time() - day,
    ));
    Log::of(&entries)
        .deliver(&peer.writer(HASTY))
        .await
        .unwrap();
    let request = json!({
        "TableName": peer.table,
        "IndexName": "by_subaccount",
        "KeyConditionExpression": "subaccount_id = :id AND triggered_at >= :from",
        "ExpressionAttributeValues": {
            ":id": { "N": "3" }, ":from": { "S": "2021-03-23" },
        },
        "ScanIndexForward": false,
    });
    let answer = peer.ask("Query", request).await;
    let items = answer["Items"].as_array().unwrap();
    let values: Vec<f64> = items
        .iter()
        .map(|item| {
            item["triggered_value"]["N"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(values, [60.0, 50.0]);
}

async fn everything_holds_on(name: &str) {
    let Some(peer) = peer(name).await else { return };
    keeps(&peer).await;
    the_index_has_each_alert_once(&peer).await;
    let request = json!({ "TableName": peer.table });
    let ttl = peer.ask("DescribeTimeToLive", request.clone()).await;
    assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "expires_at");
    peer.ask("DeleteTable", request).await;
}

#[tokio::test]
async fn dynamodb_keeps_the_contract_on_ministack() {
    everything_holds_on("POSTLAKE_TEST_AWS").await;
}

#[tokio::test]
async fn dynamodb_keeps_the_contract_on_dynoxide() {
    everything_holds_on("POSTLAKE_TEST_DYNOXIDE").await;
}
