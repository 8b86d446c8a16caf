//! The read side: fresh, equal to the lake, and on its own feet.

use std::time::{Duration, Instant};

use postlake_testkit::{Place, http, until};
use serde_json::Value;

use crate::{PROGRAM, traffic};

/// The promise is 5 s; the machines of tests are slow and shared.
const FRESH: Duration = Duration::from_secs(20);

#[test]
fn an_event_can_be_asked_for_seconds_after_its_200() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    server.accepts_body("/webhooks/events", &traffic::one_event("first"));
    server.wait_loaded(1);
    let mut slowest = Duration::ZERO;
    for id in ["second", "third", "fourth"] {
        server.accepts_body("/webhooks/events", &traffic::one_event(id));
        let answered = Instant::now();
        let sql = format!("SELECT count(*) FROM events WHERE event_id = '{id}'");
        until("the event is there", || {
            (place.number(&sql) == 1).then_some(())
        });
        slowest = slowest.max(answered.elapsed());
    }
    eprintln!(
        "slowest from 200 to an answer of query: {} ms",
        slowest.as_millis()
    );
    assert!(slowest < FRESH, "{slowest:?}");
    server.stop();
}

#[test]
fn the_api_answers_what_the_lake_holds() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let ledger = traffic::post(&server, 10, 50);
    let summary = server.wait_loaded(ledger.answers());
    for table in ["events", "alerts", "quarantine"] {
        let count = place.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(summary["rows"][table], count, "{table}");
    }
    for total in [
        "items",
        "events",
        "alerts",
        "duplicates",
        "rejects",
        "bytes",
    ] {
        let sum = place.number(&format!("SELECT sum({total}) FROM batches"));
        assert_eq!(summary["totals"][total], sum, "{total}");
    }
    let types: Vec<Value> = place.query(
        "SELECT event_class, type, count(*) AS events FROM events GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
    );
    let mut of_summary = summary["events_by_type"].as_array().unwrap().clone();
    // Equal counts have no order of their own.
    of_summary.sort_by_key(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (
            -row["events"].as_i64().unwrap(),
            text("event_class"),
            text("type"),
        )
    });
    assert_eq!(of_summary, types);

    let scores = server.api("/api/v1/health-scores");
    let latest: Vec<Value> =
        place.query("SELECT record_id, score, band FROM latest_health_scores ORDER BY score");
    let listed = scores["data"].as_array().unwrap();
    assert_eq!(listed.len(), latest.len());
    assert!(!latest.is_empty());
    for (listed, latest) in listed.iter().zip(&latest) {
        for name in ["record_id", "score", "band"] {
            assert_eq!(listed[name], latest[name]);
        }
    }
    let worst_first: Vec<Value> = {
        let answer = place.run(&["scores", "-o", "json"]).success();
        serde_json::from_slice(&answer.stdout).unwrap()
    };
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["record_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&worst_first), ids(listed));
    check_histories(&server, &place);
    server.stop();
}

#[track_caller]
fn check_histories(server: &postlake_testkit::Server, place: &Place) {
    for (path, condition) in [
        ("account", "subaccount_id IS NULL"),
        ("0", "subaccount_id = 0"),
        ("103", "subaccount_id = 103"),
    ] {
        let answer = server.api(&format!("/api/v1/health-scores/{path}"));
        let rows: Vec<Value> = place.query(&format!(
            "SELECT record_id, score FROM health_scores WHERE {condition} AND facet_name IS NULL ORDER BY triggered_at DESC"
        ));
        let listed: Vec<Value> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| serde_json::json!({"record_id": row["record_id"], "score": row["score"]}))
            .collect();
        assert_eq!(listed, rows, "{path}");
        assert!(!rows.is_empty(), "{path}");
    }
}

#[test]
fn a_killed_read_process_comes_back_and_webhooks_do_not_notice() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    server.accepts_body("/webhooks/events", &traffic::one_event("before"));
    server.wait_loaded(1);
    let [first] = server.children()[..] else {
        panic!("one read process, not {:?}", server.children());
    };
    server.kill_child(first);
    for number in 0..20 {
        server.accepts_body(
            "/webhooks/events",
            &traffic::one_event(&format!("during-{number}")),
        );
    }
    // The same address: the supervisor holds the listener.
    server.wait_loaded(21);
    let [second] = server.children()[..] else {
        panic!("one read process, not {:?}", server.children());
    };
    assert_ne!(first, second);
    assert_eq!(http::get(server.read(), "/").unwrap().status, 200);
    let said = server.stop().stderr;
    assert!(said.contains("the read process ended"), "{said}");
    assert_eq!(place.number("SELECT count(*) FROM events"), 21);
}

#[test]
fn a_killed_server_leaves_no_read_process_behind() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let (children, read) = (server.children(), server.read());
    assert_eq!(children.len(), 1);
    // Panics if the child outlives it.
    server.kill();
    assert!(http::get(read, "/").is_err());
}
