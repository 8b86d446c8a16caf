//! The project's own fixtures, posted and loaded: the same as the samples, for every checkout.

use std::path::{Path, PathBuf};

use postlake_testkit::Place;

use crate::PROGRAM;
use crate::sent::{Object, check_alert, events_of};

/// The path of a fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../postlake-sparkpost/fixtures")
        .join(name)
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

const EVENTS: [&str; 2] = ["events-all-27-types.json", "ping.json"];
const OLD_SPELLING: &str = "old-types.json";
const ALERTS: [&str; 2] = ["alerts-shape-a.json", "alerts-shape-b.json"];

#[test]
fn fixtures_are_in_the_lake_with_their_values_however_often_they_are_posted() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let post = || {
        for name in EVENTS {
            server.accepts_body("/webhooks/events", &read(name));
        }
        for name in ALERTS {
            server.accepts_body("/webhooks/alerts", &read(name));
        }
    };
    post();
    server.wait_loaded(4);

    let rows: Vec<Object> = place.query("SELECT * FROM events");
    assert_eq!(rows.len(), 27);
    for event in events_of(&read(EVENTS[0])) {
        event.check(&rows);
    }
    let alerts: Vec<Object> = place.query("SELECT * FROM alerts");
    let mut sent_alerts = 0;
    for name in ALERTS {
        let file: Vec<Object> = serde_json::from_slice(&read(name)).unwrap();
        for alert in &file {
            check_alert(alert, &alerts);
            sent_alerts += 1;
        }
    }
    assert_eq!(alerts.len(), sent_alerts);

    let everything = |table: &str| place.sorted_lines(&format!("SELECT * FROM {table}"));
    let before = [everything("events"), everything("alerts")];
    post();
    server.wait_loaded(8);
    place.drain(server);
    assert!(
        before == [everything("events"), everything("alerts")],
        "posting again changed rows"
    );
}

#[test]
fn the_old_spelling_has_the_same_values_and_identities() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    server.accepts_body("/webhooks/events", &read(OLD_SPELLING));
    place.drain(server);
    let rows: Vec<Object> = place.query("SELECT * FROM events");
    let sent = events_of(&read(OLD_SPELLING));
    assert_eq!((rows.len(), sent.len()), (27, 27));
    for event in &sent {
        event.check(&rows);
    }
    let server = place.serve(&["--role", "receive,load"]);
    server.accepts_body("/webhooks/events", &read(EVENTS[0]));
    place.drain(server);
    // The one event without an id is told by its content, which is spelled differently.
    assert_eq!(place.number("SELECT sum(duplicates) FROM batches"), 26);
    assert_eq!(place.number("SELECT count(*) FROM events"), 28);
}
