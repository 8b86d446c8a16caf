//! `postlake quarantine`: found, looked at, dropped, and nothing is gone.

use postlake_testkit::{Outcome, Place};
use serde_json::Value;

use crate::{PROGRAM, traffic};

const BROKEN: &str = r#"[{"msys":{"message_event":{"type":"delivery"}}}, 3, {"msys": nonsense}]"#;

/// A place with two quarantined items of one body, and a body that is not JSON.
fn filled() -> Place {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    server.accepts_body("/webhooks/events", BROKEN.as_bytes());
    server.accepts_body("/webhooks/alerts", b"not json \x1b[31m");
    server.accepts_body("/webhooks/events", &traffic::one_event("good"));
    place.drain(server);
    place
}

fn quarantine(place: &Place, arguments: &[&str]) -> Outcome {
    place.run(&[&["quarantine"], arguments].concat())
}

fn listed(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["list", "-o", "json"], arguments].concat();
    serde_json::from_slice(&quarantine(place, &arguments).success().stdout).unwrap()
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name].as_str().unwrap()
}

#[test]
fn items_are_listed_by_filter_and_shown_with_what_stands_around_the_fault() {
    let place = filled();
    let all = listed(&place, &[]);
    assert_eq!(all.len(), 3, "{all:?}");
    let codes = |arguments: &[&str]| {
        let items = listed(&place, arguments);
        let mut codes: Vec<_> = items
            .iter()
            .map(|item| text(item, "code").to_owned())
            .collect();
        codes.sort();
        codes.join(" ")
    };
    assert_eq!(codes(&["--source", "events"]), "envelope json");
    assert_eq!(codes(&["--code", "envelope"]), "envelope");
    assert_eq!(codes(&["--code", "it's"]), "");
    assert_eq!(codes(&["--until", "2020-01-01"]), "");
    assert_eq!(listed(&place, &["--limit", "1"]).len(), 1);

    let item = all.iter().find(|item| item["code"] == "envelope").unwrap();
    let shown = quarantine(&place, &["show", text(item, "place")]).success();
    let shown = shown.text();
    for part in [
        "envelope",
        ".seg.zst",
        r#"before      [{"msys""#,
        "from there  3, {",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let body = quarantine(&place, &["show", text(item, "place"), "--body"]).success();
    assert_eq!(body.text(), BROKEN);

    // What a sender wrote reaches no terminal as it is.
    let item = all.iter().find(|item| item["source"] == "alerts").unwrap();
    let shown = quarantine(&place, &["show", text(item, "place")])
        .success()
        .text();
    assert!(
        !shown.contains('\x1b') && shown.contains("\\u{1b}"),
        "{shown}"
    );
}

#[test]
fn a_place_that_is_none_says_so() {
    let place = filled();
    let nowhere = "20260101T000000Z-0000000000000000/1/0/0";
    for (arguments, code) in [
        (vec!["show", nowhere], 65),
        (vec!["drop", nowhere], 65),
        (vec!["show", "../../etc"], 2),
        (vec!["drop"], 2),
        (vec!["drop", "--all"], 2),
    ] {
        let outcome = quarantine(&place, &arguments);
        assert_eq!(
            outcome.code,
            Some(code),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn what_is_dropped_is_left_out_with_who_and_why_and_nothing_is_gone() {
    let place = filled();
    let raw = place.objects("raw");
    let would = quarantine(
        &place,
        &["drop", "--all", "--source", "events", "--dry-run"],
    );
    assert_eq!(would.success().text(), "2 items would be dropped\n");
    assert_eq!(listed(&place, &[]).len(), 3);

    let drop = [
        "drop",
        "--all",
        "--source",
        "events",
        "--why",
        "a test of ours",
    ];
    let said = quarantine(&place, &drop).success().text();
    assert!(said.starts_with("2 items dropped"), "{said}");
    // Again: nothing is left to drop.
    assert!(
        quarantine(&place, &drop)
            .success()
            .text()
            .starts_with("0 items")
    );
    let left: Vec<Value> = listed(&place, &[]);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["source"], "alerts");
    let all = listed(&place, &["--dropped"]);
    let dropped: Vec<_> = all
        .iter()
        .filter_map(|item| item["dropped"].as_str())
        .collect();
    assert_eq!(dropped.len(), 2);
    assert!(
        dropped[0].contains(" by ") && dropped[0].ends_with(": a test of ours"),
        "{dropped:?}"
    );

    assert_eq!(place.objects("raw"), raw);
    assert_eq!(place.number("SELECT count(*) FROM quarantine"), 3);
    assert_eq!(place.run(&["verify"]).code, Some(0));
}
