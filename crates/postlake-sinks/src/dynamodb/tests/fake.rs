//! A table in memory that knows the calls of the sink, and has moods.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use postlake_testkit::seed::dice;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::api::BoxError;
use super::super::item::{Item, ORDERED_BY};
use super::super::line::Answer;
use super::*;

/// How often, of one, something goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moods {
    pub(super) throttled: f64,
    /// For each item of a batch.
    pub(super) left_over: f64,
    pub(super) server_error: f64,
    pub(super) answer_lost: f64,
    pub(super) seed: u64,
}

impl Moods {
    pub(super) fn bad(seed: u64) -> Moods {
        Moods {
            throttled: 0.1,
            left_over: 0.3,
            server_error: 0.1,
            answer_lost: 0.1,
            seed,
        }
    }
}

#[derive(Debug)]
pub(super) struct Fake(Mutex<State>);

#[derive(Debug)]
struct State {
    items: Option<BTreeMap<String, Item>>,
    moods: Moods,
    dice: StdRng,
    break_at: Option<(usize, Break)>,
}

/// What no service takes: the text of an attribute is not the point.
const POISON: &str = "poison";

/// An entry that this table refuses.
pub(super) fn poison() -> Entry {
    let mut entry = score(&json!({ "subaccount_id": 666 }), 1.0, first_time());
    entry["name"] = json!(POISON);
    entry
}

impl Fake {
    pub(super) fn new(moods: Moods) -> Arc<Fake> {
        Fake::with(Some(BTreeMap::new()), moods)
    }

    pub(super) fn without_table() -> Arc<Fake> {
        Fake::with(None, Moods::default())
    }

    fn with(items: Option<BTreeMap<String, Item>>, moods: Moods) -> Arc<Fake> {
        Arc::new(Fake(Mutex::new(State {
            items,
            moods,
            dice: dice(moods.seed, 7),
            break_at: None,
        })))
    }

    pub(super) fn item(&self, key: &str) -> Option<Value> {
        let state = self.0.lock().unwrap();
        let item = state.items.as_ref().unwrap().get(key).cloned();
        item.map(Value::Object)
    }

    /// The alert with that attribute.
    pub(super) fn find(&self, name: &str, value: &str) -> Value {
        let state = self.0.lock().unwrap();
        let mut items = state.items.as_ref().unwrap().values();
        let found = items.find(|item| item["kind"]["S"] == "alert" && item[name]["N"] == value);
        Value::Object(found.unwrap().clone())
    }

    pub(super) fn insert(&self, item: Value) {
        let mut state = self.0.lock().unwrap();
        state.put(item);
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().items.as_ref().unwrap().len()
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().items.as_mut().unwrap().clear();
    }

    pub(super) fn items_without_checkpoints(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let items = state.items.as_ref().unwrap().values();
        items
            .filter(|item| item["kind"]["S"] != "checkpoint")
            .map(|item| Value::Object(item.clone()).to_string())
            .collect()
    }

    pub(super) fn set_break(&self, calls: Option<(usize, Break)>) {
        self.0.lock().unwrap().break_at = calls;
    }

    /// How long a writer tries: one whose line is to be cut gives up soon.
    pub(super) fn backoff(&self) -> Backoff {
        let state = self.0.lock().unwrap();
        match (state.break_at, state.moods.throttled > 0.0) {
            (None, _) => HASTY,
            (Some(_), false) => ONE_TRY,
            (Some(_), true) => Backoff {
                patience: Duration::from_millis(40),
                ..HASTY
            },
        }
    }
}

fn error(status: u16, name: &str, message: &str) -> (u16, Value) {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    (status, json!({ "__type": kind, "message": message }))
}

impl State {
    fn happens(&mut self, chance: f64) -> bool {
        self.dice.random_bool(chance)
    }

    fn breaks(&mut self) -> Option<Break> {
        let (left, how) = self.break_at.as_mut()?;
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                None
            }
            None => Some(std::mem::replace(how, Break::Before)),
        }
    }

    fn answer(&mut self, action: &str, request: &Value) -> (u16, Value) {
        if self.items.is_none() {
            return error(
                400,
                "ResourceNotFoundException",
                "Requested resource not found",
            );
        }
        if self.happens(self.moods.throttled) {
            return error(400, "ProvisionedThroughputExceededException", "slow down");
        }
        if self.happens(self.moods.server_error) {
            return error(500, "InternalServerError", "try again");
        }
        match action {
            "GetItem" => self.get(request),
            "PutItem" => self.put_item(request),
            "BatchWriteItem" => self.batch(request),
            other => panic!("{other} is no call of the sink"),
        }
    }

    fn get(&self, request: &Value) -> (u16, Value) {
        assert_eq!(request["ConsistentRead"], true);
        let key = request["Key"]["record_id"]["S"].as_str().unwrap();
        match self.items.as_ref().unwrap().get(key) {
            Some(item) => (200, json!({ "Item": item })),
            None => (200, json!({})),
        }
    }

    fn put_item(&mut self, request: &Value) -> (u16, Value) {
        let item = request["Item"].clone();
        if let Err(refused) = check(&item) {
            return refused;
        }
        let known = self.items.as_ref().unwrap().get(key_of(&item));
        let values = &request["ExpressionAttributeValues"];
        let holds = match (request["ConditionExpression"].as_str(), known) {
            (None, _) | (Some(_), None) => true,
            (Some("attribute_not_exists(#key) OR #order < :order"), Some(known)) => {
                known[ORDERED_BY]["S"].as_str() < values[":order"]["S"].as_str()
            }
            (
                Some("attribute_not_exists(#key) OR table_id <> :table_id OR #version < :version"),
                Some(known),
            ) => {
                let number = |value: &Value| value["N"].as_str().unwrap().parse::<u64>().unwrap();
                known["table_id"] != values[":table_id"]
                    || number(&known["version"]) < number(&values[":version"])
            }
            (Some(other), _) => panic!("the fake does not know the condition {other}"),
        };
        if !holds {
            return error(
                400,
                "ConditionalCheckFailedException",
                "The conditional request failed",
            );
        }
        self.put(item);
        (200, json!({}))
    }

    fn batch(&mut self, request: &Value) -> (u16, Value) {
        let puts = request["RequestItems"]["scores"].as_array().unwrap();
        assert!(!puts.is_empty() && puts.len() <= 25, "{} items", puts.len());
        let items: Vec<_> = puts
            .iter()
            .map(|put| put["PutRequest"]["Item"].clone())
            .collect();
        let keys: std::collections::BTreeSet<_> = items.iter().map(key_of).collect();
        assert_eq!(
            keys.len(),
            items.len(),
            "the service refuses equal keys in one batch"
        );
        if let Some(refused) = items.iter().find_map(|item| check(item).err()) {
            return refused;
        }
        let mut left = Vec::new();
        for (put, item) in puts.iter().zip(items) {
            if self.happens(self.moods.left_over) {
                left.push(put.clone());
            } else {
                self.put(item);
            }
        }
        match left.is_empty() {
            true => (200, json!({ "UnprocessedItems": {} })),
            false => (200, json!({ "UnprocessedItems": { "scores": left } })),
        }
    }

    fn put(&mut self, item: Value) {
        let key = key_of(&item).to_owned();
        let Value::Object(item) = item else {
            panic!("{item} is no item")
        };
        self.items.as_mut().unwrap().insert(key, item);
    }
}

fn key_of(item: &Value) -> &str {
    item["record_id"]["S"].as_str().unwrap()
}

/// What the service refuses for good: more than 400 KB, keys beyond 2 KB, numbers of more than 38 digits.
fn check(item: &Value) -> Result<(), (u16, Value)> {
    let invalid = |message| Err(error(400, "ValidationException", message));
    let attributes = item.as_object().unwrap();
    let mut bytes = 0;
    for (name, typed) in attributes {
        let (kind, value) = typed.as_object().unwrap().iter().next().unwrap();
        bytes += name.len() + value.as_str().map_or(0, str::len);
        let digits = value.as_str().filter(|_| kind == "N");
        if digits.is_some_and(|digits| digits.len() > 38 || digits.parse::<f64>().is_err()) {
            return invalid("a number is out of range");
        }
    }
    if item["name"]["S"] == POISON {
        return invalid("it is poison");
    }
    if bytes > 400 * 1024 {
        return invalid("Item size has exceeded the maximum allowed size");
    }
    if key_of(item).is_empty() || key_of(item).len() > 2048 {
        return invalid("the key has no size that is allowed");
    }
    Ok(())
}

#[async_trait]
impl Line for Fake {
    async fn call(&self, action: &str, request: Vec<u8>) -> Result<Answer, BoxError> {
        // Calls at the same time take turns at random places.
        tokio::task::yield_now().await;
        let request: Value = serde_json::from_slice(&request)?;
        let mut state = self.0.lock().unwrap();
        let breaks = state.breaks();
        if breaks == Some(Break::Before) {
            return Err("the line is cut".into());
        }
        let (status, body) = state.answer(action, &request);
        let lost = state.moods.answer_lost;
        if breaks.is_some() || state.happens(lost) {
            return Err("the answer is lost".into());
        }
        Ok(Answer {
            status,
            body: Bytes::from(body.to_string()),
        })
    }
}
