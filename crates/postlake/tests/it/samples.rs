//! The sender's own samples and captures, posted as they are: every event and alert is in the lake
//! with the values of the sample, once, however often it is posted.

use std::path::{Path, PathBuf};

use postlake_testkit::{Place, Server};
use serde::Deserialize;
use serde_json::Value;

use crate::PROGRAM;
use crate::sent::{Object, SentEvent, check_alert, events_of};

const EVENT_FILES: [&str; 4] = [
    "events/official-all-27-types-2026.json",
    "events/official-all-19-types-2016.json",
    "events/capture-mixed-batch-2017.json",
    "events/ping.json",
];

const RAW_ALERTS: &str = "alerts/webhook-capture-2021-03-23.raw.json";
const ALERTS_IN_A_REQUEST: &str = "alerts/webhook-capture-2021-03-23.alb-event.json";
const DOCUMENTED_ALERT: &str = "alerts/webhook-official-doc-sample.json";

/// The samples lie beside the workspace where they are at hand at all.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    if !folder.is_dir() {
        eprintln!("skipped: the sender's samples are not beside this workspace");
        return None;
    }
    Some(folder)
}

struct Samples {
    events: Vec<Vec<u8>>,
    alerts: Vec<Vec<u8>>,
}

impl Samples {
    fn read(folder: &Path) -> Samples {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let request: Value = serde_json::from_slice(&read(ALERTS_IN_A_REQUEST)).unwrap();
        let body = request["body"].as_str().unwrap().as_bytes().to_vec();
        Samples {
            events: EVENT_FILES.map(read).into(),
            alerts: vec![read(RAW_ALERTS), body, read(DOCUMENTED_ALERT)],
        }
    }

    fn post(&self, server: &Server) {
        for body in &self.events {
            server.accepts_body("/webhooks/events", body);
        }
        for body in &self.alerts {
            server.accepts_body("/webhooks/alerts", body);
        }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Score {
    subaccount_id: Option<i64>,
    subject: String,
    score: f64,
    verdict: String,
    facet: Option<String>,
}

#[test]
fn samples_are_in_the_lake_with_their_values_however_often_they_are_posted() {
    let Some(folder) = folder() else { return };
    let samples = Samples::read(&folder);
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    samples.post(&server);
    let summary = server.wait_loaded(7);
    assert_eq!(
        (&summary["rows"]["events"], &summary["rows"]["alerts"]),
        (&57.into(), &7.into())
    );

    let rows: Vec<Object> = place.query("SELECT * FROM events");
    assert_eq!(rows.len(), 57);
    let sent: Vec<SentEvent> = samples
        .events
        .iter()
        .flat_map(|body| events_of(body))
        .collect();
    assert_eq!(sent.len(), 57);
    for event in &sent {
        event.check(&rows);
    }
    let alerts: Vec<Object> = place.query("SELECT * FROM alerts");
    assert_eq!(alerts.len(), 7);
    for body in &samples.alerts {
        let sent: Vec<Object> = serde_json::from_slice(body).unwrap();
        for alert in &sent {
            check_alert(alert, &alerts);
        }
    }
    check_scores(&place);

    let everything = |table: &str| place.sorted_lines(&format!("SELECT * FROM {table}"));
    let before = [everything("events"), everything("alerts")];
    // The captured request holds the captured body once more.
    samples.post(&server);
    server.wait_loaded(14);
    server.stop();
    assert!(
        before == [everything("events"), everything("alerts")],
        "posting again changed rows"
    );
    assert_eq!(
        place.number("SELECT sum(duplicates) FROM batches"),
        6 + 57 + 13
    );
    assert_eq!(place.number("SELECT count(*) FROM quarantine"), 0);
}

/// The six scores of the capture, worst first; the documented sample of 2019 is one for an IP pool.
fn check_scores(place: &Place) {
    let answer = place.run(&["scores", "-o", "json"]).success();
    let scores: Vec<Score> = serde_json::from_slice(&answer.stdout).unwrap();
    let captured = [
        (Some(6269), "subaccount 6269", 74.857),
        (None, "whole account", 75.317),
        (Some(6264), "subaccount 6264", 76.019),
        (Some(0), "primary account", 77.078),
        (Some(6257), "subaccount 6257", 78.273),
        (Some(6275), "subaccount 6275", 79.070),
    ];
    let captured = captured.map(|(subaccount_id, subject, score)| Score {
        subaccount_id,
        subject: subject.to_owned(),
        score,
        verdict: "needs improvement".to_owned(),
        facet: None,
    });
    let documented = Score {
        subaccount_id: Some(0),
        subject: "primary account".to_owned(),
        score: 40.0,
        verdict: "bad".to_owned(),
        facet: Some("ip_pool=default".to_owned()),
    };
    let expected: Vec<Score> = [documented].into_iter().chain(captured).collect();
    assert_eq!(scores, expected);
}
