//! The read side: fresh, equal to the lake, and on its own feet.

use std::process::Command;
use std::time::{Duration, Instant};

use postlake_testkit::peers::variable;
use postlake_testkit::{Place, Server, http, until};
use serde_json::Value;

use crate::{PROGRAM, traffic};

/// Any free port.
const FREE: &str = "127.0.0.1:0";

/// The promise is 5 s, which `cargo xtask bench fresh` measures; the machines of tests are slow and shared.
const FRESH: Duration = Duration::from_secs(20);

/// In SQL of a process of its own, in SQL over HTTP, and in a CSV file; by the interval as it is, and by a
/// shorter one and passes of a row.
#[test]
fn an_event_can_be_asked_for_seconds_after_its_200() {
    for settings in [
        &[][..],
        &[
            ("INTERVAL", "50ms"),
            ("COMMIT_ROWS", "1"),
            ("COMMIT_AGE", "50ms"),
        ],
    ] {
        let place = Place::local(PROGRAM);
        let mut command = place.command_here(&["serve"]);
        command.args(["--ingest-listen", FREE, "--read-listen", FREE]);
        for (name, value) in settings {
            command.env(format!("POSTLAKE_LOAD__{name}"), value);
        }
        let server = Server::start(&mut command);
        server.accepts_body("/webhooks/events", &traffic::one_event("first"));
        server.wait_loaded(1);
        let mut slowest = Duration::ZERO;
        for id in ["second", "third", "fourth"] {
            server.accepts_body("/webhooks/events", &traffic::one_event(id));
            let answered = Instant::now();
            until("the event is everywhere", || {
                is_everywhere(&place, &server, id).then_some(())
            });
            slowest = slowest.max(answered.elapsed());
        }
        eprintln!(
            "{settings:?}: slowest from 200 to visible: {} ms",
            slowest.as_millis()
        );
        assert!(slowest < FRESH, "{slowest:?}");
        server.stop();
    }
}

fn is_everywhere(place: &Place, server: &Server, id: &str) -> bool {
    let sql = format!("SELECT count(*) FROM events WHERE event_id = '{id}'");
    let json = [("content-type", "application/json")];
    let question = serde_json::json!({ "sql": sql }).to_string();
    let asked = http::exchange(
        server.read(),
        "POST",
        "/api/v1/query",
        &json,
        question.as_bytes(),
    );
    let over_http = asked.unwrap().json()["rows"] == serde_json::json!([[1]]);
    let field = format!(",{id},");
    let in_csv = || {
        let mut files = place.objects("csv/events").into_iter();
        files.any(|(_, file)| String::from_utf8_lossy(&file).contains(&field))
    };
    over_http && in_csv() && place.number(&sql) == 1
}

/// As it is served, by somebody else's rules.
#[test]
fn the_description_of_the_api_is_valid_openapi() {
    let Some(validator) = variable("POSTLAKE_TEST_OPENAPI_VALIDATOR") else {
        return;
    };
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let document = http::get(server.read(), "/api/v1/openapi.json").unwrap();
    server.stop();
    let file = place.home().join("openapi.json");
    std::fs::write(&file, &document.body).unwrap();
    let said = Command::new(&validator).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}");
    // It sees what is wrong.
    let broken = document.text().replace("\"responses\"", "\"response\"");
    std::fs::write(&file, broken).unwrap();
    let said = Command::new(&validator).arg(&file).output().unwrap();
    assert!(!said.status.success());
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
