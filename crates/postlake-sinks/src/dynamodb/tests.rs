//! The sink on a table of our own, on two emulators, and the faults that the service is known for.

mod fake;
mod peers;

use chrono::TimeDelta;
use postlake_testkit::seed::{dice, seed};
use rand::seq::SliceRandom as _;

use super::*;
use crate::contract::{Break, Destination, Entry, Log, first_time, keeps, score};
use fake::{Fake, Moods};

/// Retries without the waits.
const HASTY: Backoff = Backoff {
    first: Duration::from_millis(1),
    most: Duration::from_millis(4),
    patience: Duration::from_secs(20),
};

/// Gives up at once: a broken line is for the test to see.
const ONE_TRY: Backoff = Backoff {
    first: Duration::from_millis(1),
    most: Duration::from_millis(1),
    patience: Duration::ZERO,
};

fn sink_on(line: &Arc<Fake>, backoff: Backoff) -> DynamoDbSink {
    let line = Arc::clone(line) as Arc<dyn Line>;
    let mut sink = DynamoDbSink::on(line, "store".to_owned(), "scores".to_owned(), None);
    sink.api.backoff = backoff;
    sink
}

impl Destination for Arc<Fake> {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(sink_on(self, self.backoff()))
    }

    async fn content(&self) -> Vec<String> {
        self.items_without_checkpoints()
    }

    async fn empty(&self) {
        self.clear();
    }

    fn break_at(&self, calls: Option<(usize, Break)>) {
        self.set_break(calls);
    }

    fn poison(&self) -> Vec<Entry> {
        vec![fake::poison()]
    }
}

#[tokio::test]
async fn dynamodb_keeps_the_contract() {
    keeps(&Fake::new(Moods::default())).await;
}

/// F22: throttled, half-taken batches, answers that get lost, errors of the server, all at once.
#[tokio::test]
async fn dynamodb_keeps_the_contract_when_the_service_is_moody() {
    keeps(&Fake::new(Moods::bad(seed()))).await;
}

#[tokio::test]
async fn a_table_that_throttles_for_good_is_an_error_and_not_a_loop() {
    let fake = Fake::new(Moods {
        throttled: 1.0,
        ..Moods::default()
    });
    let mut sink = sink_on(&fake, HASTY);
    sink.api.backoff.patience = Duration::from_millis(50);
    let log = Log::of(&[score(&json!({}), 1.0, first_time())]);
    let error = log.deliver(&sink).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
        error.source()
    });
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "use the table scores",
            "call GetItem",
            "it answered 400 ProvisionedThroughputExceededException: slow down",
        ]
    );
}

#[tokio::test]
async fn items_that_are_left_over_each_time_are_an_error_in_the_end() {
    let fake = Fake::new(Moods {
        left_over: 1.0,
        ..Moods::default()
    });
    let mut sink = sink_on(&fake, HASTY);
    sink.api.backoff.patience = Duration::from_millis(50);
    let log = Log::of(&[score(&json!({}), 1.0, first_time())]);
    assert!(log.deliver(&sink).await.is_err());
    assert_eq!(sink.checkpoint(Table::Alerts).await.unwrap(), None);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_with_what_makes_it() {
    let fake = Fake::without_table();
    let error = sink_on(&fake, HASTY)
        .checkpoint(Table::Alerts)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "use the table scores, which is not there; `postlake dynamodb create-table` makes it"
    );
}

/// F11: the latest score is the one with the latest time, in whatever order they arrive.
#[tokio::test]
async fn an_older_score_that_arrives_late_does_not_overwrite_the_latest() {
    let seed = seed();
    let hours: Vec<i64> = (0..24).collect();
    for round in 0..100 {
        let mut order = hours.clone();
        order.shuffle(&mut dice(seed, round));
        let fake = Fake::new(Moods::default());
        let sink = sink_on(&fake, HASTY);
        for (version, hour) in order.iter().enumerate() {
            let at = first_time() + TimeDelta::hours(*hour);
            let value = 10.0 + f64::from(u32::try_from(*hour).unwrap());
            let entry = score(&json!({ "subaccount_id": 6257 }), value, at);
            Log::of(&[entry]).deliver_as(&sink, version).await.unwrap();
        }
        let latest = fake.item("latest#health_score#6257").unwrap();
        assert_eq!(latest["triggered_value"]["N"], "33.000", "{order:?}");
        assert_eq!(latest["latest_at"]["S"], "2021-03-24T07:31:28.999Z");
    }
}

#[tokio::test]
async fn an_item_has_the_attributes_of_the_original_and_the_exact_value() {
    let fake = Fake::new(Moods::default());
    let sink = sink_on(&fake, HASTY);
    let entries = [
        score(&json!({}), 75.316_917_9, first_time()),
        score(
            &json!({ "subaccount_id": 0 }),
            78.272_509_570_000_01,
            first_time(),
        ),
        score(
            &json!({ "subaccount_id": 5, "ip_pool": "a" }),
            40.0,
            first_time(),
        ),
    ];
    Log::of(&entries).deliver(&sink).await.unwrap();
    let found = fake.find("triggered_value_exact", "78.27250957000001");
    let attribute = |name: &str| found[name].clone();
    assert_eq!(attribute("alert_id"), json!({ "N": "116579" }));
    assert_eq!(attribute("name"), json!({ "S": "DS HS Alert" }));
    assert_eq!(attribute("metric"), json!({ "S": "health_score" }));
    assert_eq!(attribute("subaccount_id"), json!({ "N": "0" }));
    assert_eq!(attribute("triggered_value"), json!({ "N": "78.273" }));
    assert_eq!(
        attribute("triggered_at"),
        json!({ "S": "2021-03-23T08:31:28.999Z" })
    );
    assert!(found.get(item::EXPIRES_AT).is_none());
    let whole = fake.find("triggered_value_exact", "75.3169179");
    assert_eq!(whole["subaccount_id"], json!({ "N": "-1" }));
    let facet = fake.item("latest#health_score#5#ip_pool=a").unwrap();
    assert_eq!(facet["triggered_value"], json!({ "N": "40.000" }));
    // Not in the index by time, where its alert is.
    assert!(facet.get("triggered_at").is_none());
}

/// The original code made a new key for each delivery.
#[tokio::test]
async fn defect_random_keys() {
    let fake = Fake::new(Moods::default());
    let log = Log::of(&[score(&json!({}), 75.0, first_time())]);
    for _ in 0..3 {
        log.deliver_as(&sink_on(&fake, HASTY), 0).await.unwrap();
    }
    // The alert, the latest of its subject, the checkpoint.
    assert_eq!(fake.count(), 3);
}

#[tokio::test]
async fn retention_sets_the_time_of_removal_and_leaves_out_what_is_over() {
    let fake = Fake::new(Moods::default());
    let mut sink = sink_on(&fake, HASTY);
    sink.retention = Some(Retention {
        keep: Duration::from_secs(86_400),
        now: Arc::new(|| first_time() + TimeDelta::hours(30)),
    });
    let entries = [
        score(&json!({ "subaccount_id": 1 }), 1.0, first_time()),
        score(
            &json!({ "subaccount_id": 2 }),
            2.0,
            first_time() + TimeDelta::hours(10),
        ),
    ];
    Log::of(&entries).deliver(&sink).await.unwrap();
    assert!(fake.item("latest#health_score#1").is_none());
    let latest = fake.item("latest#health_score#2").unwrap();
    // A day after 2021-03-23 18:31:28.
    assert_eq!(latest[item::EXPIRES_AT], json!({ "N": "1616610688" }));
}

#[tokio::test]
async fn a_checkpoint_of_another_form_is_refused() {
    let fake = Fake::new(Moods::default());
    let sink = sink_on(&fake, HASTY);
    fake.insert(json!({
        "record_id": { "S": "checkpoint#store#alerts" },
        "format": { "S": "postlake-dynamodb-checkpoint-9" },
    }));
    let error = sink.checkpoint(Table::Alerts).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "read the checkpoint checkpoint#store#alerts"
    );
}
