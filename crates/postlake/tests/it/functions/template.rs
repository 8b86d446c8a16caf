//! The template of `deploy/aws`: checked by the linter of CloudFormation, and deployed onto an emulator as far
//! as that goes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use postlake_testkit::peers::{self, Aws, S3, variable};
use postlake_testkit::{http, until};

use super::*;
use crate::open_lake;

const SCRIPT: &str = "template.py";
/// What the emulator does not know.
const NOT_MADE: [&str; 1] = ["Registration"];
/// What it takes and leaves out.
const DROPPED: [&str; 3] = [
    "lifecycle of the bucket",
    "removal of expired items",
    "target of the load balancer",
];
/// Events in a batch.
const EVENTS: usize = 1000;

fn template() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/aws/postlake.yaml")
}

#[test]
fn the_template_is_clean() {
    let Some(lint) = variable("POSTLAKE_TEST_CFN_LINT") else {
        return;
    };
    let said = Command::new(lint).arg(template()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.is_empty(), "{text}");
}

/// The names under `Resources:`.
fn resources() -> BTreeSet<String> {
    let text = std::fs::read_to_string(template()).unwrap();
    let (_, rest) = text.split_once("\nResources:\n").unwrap();
    let (section, _) = rest.split_once("\nOutputs:\n").unwrap();
    let lines = section.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.strip_suffix(':')?;
        name.starts_with(|letter: char| letter.is_ascii_uppercase())
            .then(|| name.to_owned())
    });
    lines.collect()
}

fn script(aws: &Aws, command: &str, argument: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/functions");
    aws.run(&path.join(SCRIPT), &[command, argument])
}

fn deploy(aws: &Aws) -> Value {
    let environment: serde_json::Map<_, _> = aws
        .environment()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let settings = json!({
        "template": template(),
        "programs": {
            "postlake-receive.zip": [RECEIVE_PROGRAM],
            "postlake.zip": [PROGRAM, "lambda"],
        },
        "environment": environment,
        "secrets": { "PasswordSecret": PASSWORD, "AlertSecret": SECRET },
    });
    script(aws, "deploy", &settings.to_string())
}

/// `EVENTS` different events, in about a megabyte.
fn batch() -> String {
    let types: Vec<Value> = serde_json::from_str(&text("events-all-27-types.json")).unwrap();
    let events = (0..EVENTS).map(|number| {
        let mut event = types[number % types.len()].clone();
        let class = event["msys"].as_object_mut().unwrap().values_mut().next();
        class.unwrap()["event_id"] = json!(number.to_string());
        event
    });
    Value::from(events.collect::<Vec<_>>()).to_string()
}

/// Both doors, twice: 1,000 events through the function URL, scores through the load balancer. Then who
/// reads: DynamoDB, Athena, other engines.
#[test]
fn the_template_is_deployed_and_both_doors_lead_into_the_lake() {
    let Some(aws) = peers::aws() else { return };
    let made = deploy(&aws);
    assert_eq!(made["status"], "CREATE_COMPLETE", "{made}");
    let there: BTreeSet<String> = made["resources"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let missing: Vec<_> = resources().difference(&there).cloned().collect();
    assert_eq!(missing, NOT_MADE);
    assert_eq!(made["dropped"], json!(DROPPED));

    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    let address = aws.endpoint.strip_prefix("http://").unwrap();
    let address = address.parse().unwrap();
    let authorization = text_of(&authorization()["authorization"]);
    let post = |door: &Value, path: &str, body: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", authorization.as_str()),
        ];
        let path = format!("{}{path}", text_of(door));
        let answer = http::exchange(address, "POST", &path, &headers, body.as_bytes());
        assert_eq!(answer.unwrap().status, 200, "{path}");
    };
    let place = Place::at_the_root_of(
        PROGRAM,
        S3 {
            endpoint: aws.endpoint.clone(),
            bucket: text_of(&made["outputs"]["BucketName"]),
        },
    );
    let sent: Vec<Value> = serde_json::from_str(&text("alerts-shape-a.json")).unwrap();
    for round in 1..=2 {
        post(&made["url"], "/webhooks/events", &batch());
        // One is broken, so that no table is empty.
        post(&made["url"], "/webhooks/events", "[{]");
        let alerts = format!("/webhooks/alerts/{SECRET}");
        post(&made["balancer"], &alerts, &text("alerts-shape-a.json"));
        until("everything is loaded", || {
            let tables = place.objects("lake");
            let batches = "lake/batches/_delta_log/";
            let begun = tables.iter().any(|(name, _)| name.starts_with(batches));
            (begun && place.number("SELECT count(*) FROM batches") == round * 3).then_some(())
        });
        let count = |table: &str| place.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(
            [count("events"), count("alerts")],
            [EVENTS as i64, sent.len() as i64]
        );
    }
    let table = text_of(&made["outputs"]["TableName"]);
    until("the scores are in the table", || {
        let items = script(&aws, "table", &table);
        let items = items.as_array().unwrap().iter();
        let alerts = items.filter(|item| item["kind"]["S"] == "alert");
        (alerts.count() == sent.len()).then_some(())
    });
    let asked = script(&aws, "ask", "SELECT count(*) FROM postlake.alerts");
    assert_eq!(asked, json!([[sent.len().to_string()]]));
    if let Some(python) = peers::python() {
        open_lake::check(&place, &python, &["deltalake", "polars"]);
    }
}
