//! `postlake trigger`: what it sends is answered, told, and loaded as it says.

use postlake_testkit::{Outcome, Place, Running, Server};
use serde_json::Value;

use crate::PROGRAM;

fn trigger(place: &Place, server: &Server, arguments: &[&str]) -> Outcome {
    let url = format!("http://{}", server.ingest());
    let mut command = place.command(&["trigger", &url, "--json"]);
    Running::start(command.args(arguments)).wait().success()
}

/// One line for each answer, all of them 200.
#[track_caller]
fn answers(outcome: &Outcome) -> usize {
    let text = outcome.text();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert_eq!(
            (&line["status"], &line["answer"]),
            (&200.into(), &"{}".into()),
            "{line}"
        );
        assert!(line["latency_ms"].as_f64().unwrap() > 0.0, "{line}");
    }
    lines.len()
}

#[test]
fn what_is_triggered_is_loaded() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    let all = trigger(
        &place,
        &server,
        &["--type", "all", "--count", "27", "--duplicate", "2"],
    );
    assert_eq!(answers(&all), 3);
    let bounces = trigger(
        &place,
        &server,
        &["--type", "bounce,click", "--count", "4", "--batches", "2"],
    );
    assert_eq!(answers(&bounces), 2);
    assert_eq!(answers(&trigger(&place, &server, &["--alerts"])), 1);
    for kind in ["json", "envelope", "utf8"] {
        assert_eq!(answers(&trigger(&place, &server, &["--bad", kind])), 1);
    }
    place.drain(server);
    assert_eq!(place.number("SELECT count(*) FROM events"), 27 + 8);
    assert_eq!(place.number("SELECT count(DISTINCT type) FROM events"), 27);
    assert_eq!(place.number("SELECT sum(duplicates) FROM batches"), 54);
    assert_eq!(place.number("SELECT count(*) FROM alerts"), 11);
    assert_eq!(
        place.number("SELECT count(*) FROM batches WHERE rejects > 0"),
        3
    );
}
