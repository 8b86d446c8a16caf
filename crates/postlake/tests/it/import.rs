//! `postlake import`: what other receivers have stored, in the lake once, whatever happens to the import.

use std::path::PathBuf;
use std::time::Duration;

use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use postlake_testkit::{Outcome, Place, Running, peers};
use serde_json::Value;

use crate::{PROGRAM, fixtures};

const TABLES: [&str; 4] = ["events", "alerts", "quarantine", "batches"];

/// The objects of both original functions, in a place of their own: batches under their ids in one
/// folder, each entry of an alert by itself in another.
fn objects() -> Vec<(String, Vec<u8>)> {
    let batch = fixtures::read("events-all-27-types.json");
    let mut objects = vec![
        ("SP Event Data/6b9a2d1c-aaaa".to_owned(), batch.clone()),
        ("SP Event Data/6b9a2d1c-bbbb".to_owned(), batch),
        ("SP Event Data/None".to_owned(), b"[{\"msys\":{}}]".to_vec()),
        ("SP Event Data/half".to_owned(), b"[{\"msys\":".to_vec()),
        ("table.csv".to_owned(), b"type,event_id\n".to_vec()),
        ("empty".to_owned(), Vec::new()),
    ];
    let alerts = fixtures::read("alerts-shape-a.json");
    let alerts: Vec<Value> = serde_json::from_slice(&alerts).unwrap();
    for (index, alert) in alerts.iter().enumerate() {
        let subaccount = alert["filters"]["subaccount_id"].as_i64().unwrap_or(-1);
        let name = format!("HS-{}-{subaccount}-16164882{index:02}", alert["alert_id"]);
        objects.push((name, alert.to_string().into_bytes()));
    }
    objects
}

fn fill(place: &Place, objects: Vec<(String, Vec<u8>)>) {
    let store = place.store();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async move {
        for (name, body) in objects {
            store
                .put(&ObjectPath::from(name), body.into())
                .await
                .unwrap();
        }
    });
}

fn import(place: &Place, from: &Place) -> Outcome {
    place.run(&["import", from.url()])
}

/// Every row of every table.
fn rows(place: &Place) -> [Vec<String>; 4] {
    TABLES.map(|table| place.sorted_lines(&format!("SELECT * FROM {table}")))
}

#[track_caller]
fn holds(place: &Place) {
    let count = |table: &str| place.number(&format!("SELECT count(*) FROM {table}"));
    let sent = objects().len() as i64;
    // Of the half batch its item and its end are missing.
    assert_eq!(TABLES.map(count), [27, sent - 6, 2, sent - 2]);
    let ids: Vec<Value> = place
        .query("SELECT DISTINCT batch_id FROM batches WHERE source = 'events' ORDER BY batch_id");
    let ids: Vec<_> = ids.iter().map(|row| row["batch_id"].as_str()).collect();
    assert_eq!(
        ids,
        [
            Some("6b9a2d1c-aaaa"),
            Some("6b9a2d1c-bbbb"),
            Some("half"),
            None
        ]
    );
    let unlike = "SELECT count(*) FROM alerts WHERE record_id IS NULL OR triggered_value IS NULL";
    assert_eq!(place.number(unlike), 0);
}

fn once_and_again(place: &Place, from: &Place) {
    fill(from, objects());
    let sent = objects().len();
    let said = import(place, from).success();
    let expected = format!(
        "imported {} objects from {}: 4 batches of events + {} of alerts; 0 were there, 2 passed over, 0 could not be read",
        sent - 2,
        from.url(),
        sent - 6
    );
    assert!(said.text().starts_with(&expected), "{}", said.text());
    for named in [
        "passed over: empty: it is empty",
        "passed over: table.csv: it is neither json nor gzip",
    ] {
        assert!(said.stderr.contains(named), "{}", said.stderr);
    }
    holds(place);
    let before = rows(place);
    let again = import(place, from).success().text();
    assert!(again.starts_with("imported 0 objects"), "{again}");
    assert!(
        again.contains(&format!("{} were there", sent - 2)),
        "{again}"
    );
    assert_eq!(rows(place), before);
    // What came since is loaded, and of what it holds only what is new.
    let mut more: Vec<Value> =
        serde_json::from_slice(&fixtures::read("events-all-27-types.json")).unwrap();
    more.truncate(3);
    more[0]["msys"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap()["event_id"] = "another".into();
    fill(
        from,
        vec![(
            "SP Event Data/6b9a2d1c-abab".to_owned(),
            Value::from(more).to_string().into(),
        )],
    );
    assert!(
        import(place, from)
            .success()
            .text()
            .starts_with("imported 1 objects")
    );
    assert_eq!(place.number("SELECT count(*) FROM events"), 28);
}

#[test]
fn objects_of_other_receivers_are_imported_once() {
    let (place, from) = (Place::local(PROGRAM), Place::local(PROGRAM));
    once_and_again(&place, &from);
}

#[test]
fn objects_on_s3_are_imported_once() {
    let Some(s3) = peers::s3() else { return };
    let (place, from) = (Place::on_s3(PROGRAM, s3.clone()), Place::on_s3(PROGRAM, s3));
    once_and_again(&place, &from);
}

/// A batch that was received as well is the same batch.
#[test]
fn what_was_received_is_not_doubled_by_an_import() {
    let (place, from) = (Place::local(PROGRAM), Place::local(PROGRAM));
    let server = place.serve(&[]);
    server.accepts_body(
        "/webhooks/events",
        &fixtures::read("events-all-27-types.json"),
    );
    server.accepts_body("/webhooks/alerts", &fixtures::read("alerts-shape-a.json"));
    server.wait_loaded(2);
    place.drain(server);
    fill(&from, objects());
    let [events, alerts, ..] = rows(&place);
    import(&place, &from).success();
    assert_eq!(rows(&place)[..2], [events, alerts]);
}

#[test]
fn an_import_that_is_killed_goes_on_and_doubles_nothing() {
    let (place, from) = (Place::local(PROGRAM), Place::local(PROGRAM));
    fill(&from, objects());
    let mut killed = 0;
    for round in 0..40 {
        let mut running = Running::start(&mut place.command_here(&["import", from.url()]));
        if running.ends_within(Duration::from_millis(round * 10)) {
            break;
        }
        running.kill();
        killed += 1;
    }
    assert!(killed > 2, "{killed}");
    import(&place, &from).success();
    holds(&place);
}

#[test]
fn mistakes_in_what_to_import_are_told() {
    let place = Place::local(PROGRAM);
    let inside: PathBuf = place.directory().join("raw");
    for (from, code, reason) in [
        (inside.to_str().unwrap(), 65, "lie within each other"),
        (place.url(), 65, "lie within each other"),
        (
            "gs://bucket",
            65,
            "neither a directory nor an s3://bucket/prefix address",
        ),
        ("/no/such/directory", 74, "read /no/such/directory"),
    ] {
        let ended = place.run(&["import", from]);
        assert_eq!(ended.code, Some(code), "{from}: {}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    }
}
