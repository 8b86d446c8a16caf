//! Whatever is posted is answered 200 and ends in the right table, with the reason and the place.

use chrono::{DateTime, Utc};
use postlake_sparkpost::{Bad, EVENTS_PATH, Request, Traffic};
use postlake_testkit::{Place, Server, http};
use serde::Deserialize;

use crate::{PROGRAM, fixtures};

#[derive(Debug, Deserialize, PartialEq)]
struct Rejected {
    source: String,
    batch_id: String,
    code: String,
    byte_offset: Option<i64>,
    item_index: Option<i64>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Account {
    batch_id: String,
    items: i64,
    events: i64,
    alerts: i64,
    duplicates: i64,
    rejects: i64,
}

/// A body, where it is posted, and what must come of it.
struct Case {
    name: &'static str,
    path: &'static str,
    body: Vec<u8>,
    events: i64,
    alerts: i64,
    /// Code, byte offset, item.
    rejects: Vec<(&'static str, usize, Option<i64>)>,
}

fn event(id: &str) -> String {
    format!(
        r#"{{"msys":{{"message_event":{{"type":"bounce","event_id":"{id}","timestamp":"1789462821","reason":"550 no such user"}}}}}}"#
    )
}

fn case(name: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        path: EVENTS_PATH,
        body: body.into(),
        events: 0,
        alerts: 0,
        rejects: Vec::new(),
    }
}

fn rejected(
    name: &'static str,
    body: impl Into<Vec<u8>>,
    code: &'static str,
    offset: usize,
) -> Case {
    let mut case = case(name, body);
    let item = case.body.starts_with(b"[").then_some(0);
    case.rejects.push((code, offset, item));
    case
}

fn latin_1() -> Case {
    let text = event("latin-1").replace("no such user", "Caf? de Paris");
    let body = format!("[{text}]");
    let at = body.find('?').unwrap();
    let mut body = body.into_bytes();
    body[at] = 0xe9;
    rejected("latin-1", body, "utf8", at)
}

fn broken_between_good() -> Case {
    let (one, two) = (event("good-1"), event("good-2"));
    let mut case = case(
        "broken-between-good",
        format!(r#"[{one}, {{"b":2}} ,{two}]"#),
    );
    case.events = 2;
    case.rejects = vec![("envelope", one.len() + 3, Some(1))];
    case
}

fn cut_off() -> Case {
    let good = event("before-the-cut");
    let mut case = case(
        "cut-off",
        format!(r#"[{good},{{"msys":{{"message_event":{{"type":"#),
    );
    case.events = 1;
    // The half item, behind which a value is missing, and the array that nobody closed.
    case.rejects = vec![
        ("json", case.body.len(), Some(1)),
        ("json", case.body.len(), None),
    ];
    case
}

fn nested_deep() -> Case {
    let depth = 500;
    let body = format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
    rejected("nested-deep", body, "depth", 1)
}

fn cases() -> Vec<Case> {
    let mut cross_events = case("event-at-the-alert-path", format!("[{}]", event("crossed")));
    cross_events.path = "/webhooks/alerts";
    cross_events.events = 1;
    let mut cross_alerts = case(
        "alerts-at-the-event-path",
        fixtures::read("alerts-shape-a.json"),
    );
    cross_alerts.alerts = 11;
    let mut bad_alert = rejected("alert-not-json", "not json", "json", 0);
    bad_alert.path = "/webhooks/alerts";
    vec![
        rejected("not-json", "not json", "json", 0),
        rejected("an-object", r#"{"a":1}"#, "envelope", 0),
        case("empty-array", "[]"),
        case("empty", ""),
        case("blank", " \r\n"),
        case("ping", r#"[{"msys":{}}]"#),
        rejected("not-utf8", b"\xff\xfe\x00".as_slice(), "utf8", 0),
        latin_1(),
        broken_between_good(),
        cut_off(),
        nested_deep(),
        rejected("no-class", r#"[{"type":"bounce"}]"#, "envelope", 1),
        cross_events,
        cross_alerts,
        bad_alert,
    ]
}

#[test]
fn any_body_is_answered_200_and_ends_in_the_right_table() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    let cases = cases();
    for case in &cases {
        let headers = [
            ("content-type", "application/json"),
            ("x-messagesystems-batch-id", case.name),
        ];
        let answer =
            http::exchange(server.ingest(), "POST", case.path, &headers, &case.body).unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "{}"),
            "{}",
            case.name
        );
    }
    let headers = [
        ("content-encoding", "gzip"),
        ("x-messagesystems-batch-id", "not-gzip"),
    ];
    let answer =
        http::exchange(server.ingest(), "POST", EVENTS_PATH, &headers, b"no gzip").unwrap();
    assert_eq!(answer.status, 200);
    place.drain(server);

    let mut expected: Vec<Rejected> = cases.iter().flat_map(rejects_of).collect();
    expected.push(Rejected {
        source: "events".to_owned(),
        batch_id: "not-gzip".to_owned(),
        code: "encoding".to_owned(),
        byte_offset: Some(0),
        item_index: None,
    });
    let found: Vec<Rejected> = place.query(
        "SELECT source, batch_id, code, byte_offset, item_index FROM quarantine \
         ORDER BY segment, batch_index, item_index NULLS LAST",
    );
    assert_eq!(found, expected);
    let accounts: Vec<Account> = place.query(
        "SELECT batch_id, items, events, alerts, duplicates, rejects FROM batches ORDER BY segment, batch_index",
    );
    for case in &cases {
        let account = accounts
            .iter()
            .find(|account| account.batch_id == case.name)
            .unwrap();
        assert_eq!(*account, account_of(case));
    }
    assert_eq!(accounts.len(), cases.len() + 1);
    assert_eq!(place.number("SELECT count(*) FROM events"), 4);
}

fn rejects_of(case: &Case) -> impl Iterator<Item = Rejected> {
    case.rejects.iter().map(|(code, offset, item)| Rejected {
        source: case.path.rsplit('/').next().unwrap().to_owned(),
        batch_id: case.name.to_owned(),
        code: (*code).to_owned(),
        byte_offset: Some(i64::try_from(*offset).unwrap()),
        item_index: *item,
    })
}

fn account_of(case: &Case) -> Account {
    let rejects = i64::try_from(case.rejects.len()).unwrap();
    Account {
        batch_id: case.name.to_owned(),
        items: case.events + case.alerts + rejects,
        events: case.events,
        alerts: case.alerts,
        duplicates: 0,
        rejects,
    }
}

#[test]
fn a_batch_of_20_mb_is_loaded() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    let start: DateTime<Utc> = "2026-09-15T09:00:00Z".parse().unwrap();
    let batch = Bad::Huge.batch(&mut Traffic::new(20, start));
    assert!(batch.body.len() > 20_000_000);
    server.accepts(&Request::events(&batch));
    place.drain(server);
    let events = i64::try_from(batch.events).unwrap();
    assert_eq!(place.number("SELECT count(*) FROM events"), events);
    let keys =
        "SELECT count(DISTINCT event_class || type || coalesce(event_id, event_hash)) FROM events";
    assert_eq!(place.number(keys), events);
    assert_eq!(place.number("SELECT sum(events) FROM batches"), events);
}

/// Neither bodies nor credentials are said, whatever is wrong with them and however much is logged.
#[test]
fn nothing_of_a_body_is_logged() {
    const CANARY: &str = "canary-7d1f";
    let place = Place::local(PROGRAM);
    let free = "127.0.0.1:0";
    let mut command = place.command_here(&[
        "serve",
        "-v",
        "--ingest-listen",
        free,
        "--read-listen",
        free,
    ]);
    let server = Server::start(command.env("POSTLAKE_LOG", "debug"));
    let good = event("logged").replace("no such user", CANARY);
    let bodies = [
        format!("[{good}]"),
        format!("[{good}, {{\"{CANARY}\": \"{CANARY}@example.com\"}}]"),
        CANARY.to_owned(),
        format!("[{good}, {{\"msys\": {{\"{CANARY}\": \"{CANARY}"),
    ];
    let token = format!("Bearer {CANARY}");
    for body in bodies {
        for path in [EVENTS_PATH, "/webhooks/alerts"] {
            let headers = [("authorization", token.as_str()), ("x-canary", CANARY)];
            let answer =
                http::exchange(server.ingest(), "POST", path, &headers, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    let address = format!("/webhooks/{CANARY}");
    assert_eq!(http::get(server.ingest(), &address).unwrap().status, 404);
    let said = server.stop().stderr;
    assert!(said.contains("DEBUG"), "{said}");
    let line = said.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None);
}
