//! Traces, as a collector gets them: decoded by the official package of OpenTelemetry for Python.

mod collector;

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use postlake_testkit::lambda::Function;
use postlake_testkit::peers::{self, Python};
use postlake_testkit::{Place, Server, http, until};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::open_lake::script;
use crate::traffic::one_event;
use crate::{PROGRAM, RECEIVE_PROGRAM};
use collector::{Collector, Mood};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const ERROR: u64 = 2;

#[derive(Clone, Debug, Deserialize)]
struct Span {
    resource: HashMap<String, Value>,
    scope: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: HashMap<String, Value>,
    links: Vec<Link>,
    status: u64,
    flags: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Link {
    trace: String,
    id: String,
}

/// What the collector has taken.
fn decoded(place: &Place, python: &Python, collector: &Collector, ending: &str) -> Vec<Span> {
    let write = |(number, body): (usize, Vec<u8>)| {
        let path = place.home().join(format!("traces-{number}.{ending}"));
        fs::write(&path, body).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files: Vec<_> = collector
        .taken()
        .into_iter()
        .enumerate()
        .map(write)
        .collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let spans = python.run(&script("decode_traces.py"), &files);
    serde_json::from_value(spans).unwrap()
}

/// The one span with this name.
#[track_caller]
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

fn serve(place: &Place, roles: &str, collector: &str, variables: &[(&str, &str)]) -> Server {
    let mut command = place.command_here(&["serve", "--role", roles]);
    command
        .args(["--ingest-listen", "127.0.0.1:0"])
        .env("POSTLAKE_READ__LISTEN", "127.0.0.1:0")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .envs(variables.iter().copied());
    Server::start(&mut command)
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let answer = http::exchange(server.ingest(), "POST", path, headers, body);
    answer.unwrap().status
}

/// Spans by what became of them.
fn outcomes(server: &Server) -> [u64; 3] {
    let status = http::get(server.admin(), "/api/v1/status").unwrap().json();
    ["exported", "dropped", "failed"].map(|outcome| status["traces"][outcome].as_u64().unwrap())
}

#[test]
fn a_request_its_commit_and_its_put_are_one_trace_and_the_pass_another() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    let variables = [
        ("OTEL_SERVICE_NAME", "hooks"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=the%20key"),
    ];
    let server = serve(&place, "receive,load,read", &collector.url, &variables);
    let body = one_event("traced");
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [("traceparent", traceparent.as_str())];
    assert_eq!(post(&server, "/webhooks/events", &headers, &body), 200);
    server.wait_loaded(1);
    let asked = br#"{"sql":"SELECT count(*) FROM events"}"#;
    let json = [("content-type", "application/json")];
    let answer = http::exchange(server.read(), "POST", "/api/v1/query", &json, asked);
    assert_eq!(answer.unwrap().status, 200);
    let pid = server.id();
    until("spans are counted as sent", || {
        (outcomes(&server)[0] > 0).then_some(())
    });
    server.stop();
    for received in collector.got() {
        assert_eq!(received.line, "POST /v1/traces HTTP/1.1");
        assert!(
            received
                .head
                .contains("content-type: application/x-protobuf\r\n")
        );
        assert!(received.head.contains("x-api-key: the key\r\n"));
    }
    let spans = decoded(&place, &python, &collector, "pb");
    for span in &spans {
        assert_eq!((span.trace.len(), span.id.len()), (32, 16), "{span:?}");
        assert!(
            matches!(span.parent.len(), 0 | 16) && span.start <= span.end,
            "{span:?}"
        );
        assert_eq!(span.scope, "postlake");
        assert_eq!(span.resource["service.name"], "hooks");
        assert_eq!(span.resource["deployment.environment.name"], "test");
        assert_eq!(span.flags & 1, 1);
    }
    check_landing(&spans, body.len(), pid);
    check_loading(&spans);
    check_reading(&spans, pid);
    let request = one(&spans, "POST /webhooks/events");
    let received: Vec<HashMap<String, i64>> =
        place.query("SELECT CAST(received_at AS BIGINT) AS at FROM batches");
    let received = u64::try_from(received[0]["at"]).unwrap();
    let micros = request.start / 1000..=request.end / 1000;
    assert!(micros.contains(&received), "{received} is in {micros:?}");
}

fn check_landing(spans: &[Span], bytes: usize, pid: u32) {
    let request = one(spans, "POST /webhooks/events");
    assert_eq!(
        (request.trace.as_str(), request.parent.as_str()),
        (TRACE, SPAN)
    );
    assert_eq!((request.kind, request.status), (SERVER, 0));
    assert_eq!(request.flags, 0x301, "kept, and the parent is elsewhere");
    assert_eq!(request.resource["process.pid"], pid.to_string());
    for (name, value) in [
        ("http.request.method", Value::from("POST")),
        ("http.route", Value::from("/webhooks/events")),
        ("http.response.status_code", Value::from(200)),
        ("http.request.body.size", Value::from(bytes)),
        ("postlake.source", Value::from("events")),
    ] {
        assert_eq!(request.attributes[name], value, "{name}");
    }
    let (commit, put) = (one(spans, "commit"), one(spans, "put"));
    assert_eq!(
        (&commit.trace, &commit.parent),
        (&request.trace, &request.id)
    );
    assert_eq!((&put.trace, &put.parent), (&request.trace, &commit.id));
    assert_eq!((commit.kind, put.kind), (INTERNAL, INTERNAL));
    assert_eq!(commit.attributes["postlake.batches"], 1);
    assert_eq!(commit.attributes["postlake.body_bytes"], bytes);
    assert_eq!(
        commit.attributes["postlake.segment.key"],
        put.attributes["postlake.segment.key"]
    );
    assert!(put.attributes["postlake.segment.bytes"].as_u64() > Some(0));
    assert!(request.start <= commit.start && commit.start <= put.start);
    assert!(commit.links.is_empty());
}

fn check_loading(spans: &[Span]) {
    let pass = one(spans, "pass");
    assert_eq!((pass.parent.as_str(), pass.status), ("", 0));
    assert_ne!(pass.trace, TRACE);
    for (name, count) in [
        ("segments", 1),
        ("batches", 1),
        ("items", 1),
        ("events", 1),
        ("rejects", 0),
    ] {
        assert_eq!(
            pass.attributes[&format!("postlake.{name}")],
            count,
            "{name}"
        );
    }
    for table in ["events", "batches"] {
        let append = one(spans, &format!("append {table}"));
        assert_eq!((&append.trace, &append.parent), (&pass.trace, &pass.id));
        assert_eq!(append.attributes["db.collection.name"], table);
        assert_eq!(append.attributes["postlake.rows"], 1);
        assert!(pass.start <= append.start && append.end <= pass.end + 1_000_000);
    }
    let rows: u64 = spans
        .iter()
        .filter(|span| span.name == "deliver")
        .inspect(|span| assert_eq!(span.attributes["postlake.sink.name"], "csv"))
        .map(|span| span.attributes["postlake.rows"].as_u64().unwrap())
        .sum();
    assert!(rows > 0, "rows are delivered");
}

fn check_reading(spans: &[Span], server: u32) {
    let request = one(spans, "POST /api/v1/query");
    let query = one(spans, "query");
    assert_eq!((&query.trace, &query.parent), (&request.trace, &request.id));
    assert_eq!(request.attributes["http.route"], "/api/v1/query");
    assert_eq!(request.attributes["http.response.status_code"], 200);
    assert_eq!(query.attributes["postlake.rows"], 1);
    assert_ne!(request.resource["process.pid"], server.to_string());
}

#[test]
fn json_that_is_packed_is_the_same_and_what_fails_is_an_error() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    fs::write(
        place.home().join("postlake.toml"),
        "[ingest]\nmax_body_bytes = 100\n",
    )
    .unwrap();
    let server = serve(&place, "receive", &collector.url, &variables);
    assert_eq!(post(&server, "/webhooks/alerts", &[], b"[]"), 200);
    assert_eq!(post(&server, "/webhooks/events", &[], &[b' '; 101]), 413);
    assert_eq!(post(&server, "/elsewhere/canary-7f3a", &[], b"[]"), 404);
    // The raw store is a file: no put succeeds.
    let raw = place.directory().join("raw");
    fs::remove_dir_all(&raw).unwrap();
    fs::write(&raw, b"").unwrap();
    assert_eq!(post(&server, "/webhooks/events", &[], b"[]"), 503);
    let said = server.stop().stderr;
    assert!(!said.contains("collector"), "{said}");
    let spans = decoded(&place, &python, &collector, "json");
    let alerts = one(&spans, "POST /webhooks/alerts");
    assert_eq!((alerts.parent.as_str(), alerts.flags), ("", 0x101));
    assert_eq!(alerts.attributes["postlake.source"], "alerts");
    let with = |status: u16| {
        let mut found = spans.iter();
        found
            .find(|span| span.attributes.get("http.response.status_code") == Some(&status.into()))
            .unwrap()
    };
    assert_eq!((with(413).status, with(404).name.as_str()), (0, "POST"));
    assert_eq!(with(413).attributes["postlake.refusal"], "body_too_large");
    let failed = with(503);
    assert_eq!((failed.status, failed.kind), (ERROR, SERVER));
    assert_eq!(failed.attributes["error.type"], "503");
    let below = |parent: &Span, name: &str| {
        let mut found = spans.iter();
        let found = found.find(|span| span.name == name && span.parent == parent.id);
        found.unwrap().clone()
    };
    let commit = below(failed, "commit");
    assert_eq!(
        (commit.status, below(&commit, "put").status),
        (ERROR, ERROR)
    );
}

#[test]
fn requests_of_one_commit_are_linked_to_it() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    fs::write(
        place.home().join("postlake.toml"),
        "[ingest]\ncommit_interval = \"1s\"\n",
    )
    .unwrap();
    let server = serve(&place, "receive", &collector.url, &[]);
    std::thread::scope(|threads| {
        for _ in 0..6 {
            threads.spawn(|| assert_eq!(post(&server, "/webhooks/events", &[], b"[]"), 200));
        }
    });
    server.stop();
    let spans = decoded(&place, &python, &collector, "pb");
    let requests: Vec<_> = spans.iter().filter(|span| span.kind == SERVER).collect();
    let commits: Vec<_> = spans.iter().filter(|span| span.name == "commit").collect();
    assert_eq!(requests.len(), 6);
    let mut joined = 0;
    for commit in &commits {
        let batches = commit.attributes["postlake.batches"].as_u64().unwrap();
        assert_eq!(commit.links.len() as u64 + 1, batches);
        let first = requests
            .iter()
            .find(|request| request.id == commit.parent)
            .unwrap();
        assert_eq!(first.trace, commit.trace);
        for link in &commit.links {
            let of = |request: &&&Span| (&request.trace, &request.id) == (&link.trace, &link.id);
            assert_eq!(requests.iter().filter(of).count(), 1);
        }
        joined += batches;
    }
    assert_eq!(joined, 6, "each request has one commit");
    assert!(commits.len() < 6, "some came together");
}

#[test]
fn a_collector_that_is_away_slow_or_refuses_touches_nothing_else() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let moods = [
        Mood::Silent,
        Mood::Refuses(503, None),
        Mood::Refuses(400, None),
    ];
    let collectors = moods.map(Collector::start);
    let urls = collectors.iter().map(|collector| collector.url.as_str());
    for url in urls.chain([away.as_str()]) {
        let place = Place::local(PROGRAM);
        let small = [
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "400"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ];
        let server = serve(&place, "receive,load", url, &small);
        for _ in 0..20 {
            assert_eq!(post(&server, "/webhooks/events", &[], b"[]"), 200);
        }
        until("spans are lost and counted", || {
            let [exported, _, failed] = outcomes(&server);
            (exported == 0 && failed > 0).then_some(())
        });
        let asked = Instant::now();
        let said = server.stop().stderr;
        assert!(
            asked.elapsed() < Duration::from_secs(8),
            "{:?}",
            asked.elapsed()
        );
        let told = said
            .lines()
            .filter(|line| line.contains("does not take traces"));
        assert_eq!(told.count(), 1, "{said}");
    }
}

#[test]
fn what_a_collector_puts_off_comes_again_when_it_says() {
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Refuses(429, Some(1)));
    let server = serve(&place, "receive", &collector.url, &[]);
    assert_eq!(post(&server, "/webhooks/events", &[], b"[]"), 200);
    until("it was asked twice", || {
        (collector.got().len() >= 2).then_some(())
    });
    assert_eq!(outcomes(&server)[0], 0);
    collector.is_now(Mood::Takes);
    until("it has taken them", || {
        (outcomes(&server)[0] > 0).then_some(())
    });
    assert_eq!(outcomes(&server)[1..], [0, 0]);
    let got = collector.got();
    assert!(got.iter().all(|received| received.body == got[0].body));
    let said = server.stop().stderr;
    assert!(said.contains("takes traces again"), "{said}");
}

/// What waits in the queue is sent before the end.
#[test]
fn what_is_there_at_the_end_is_sent() {
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    let hour = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let server = serve(&place, "receive,load", &collector.url, &hour);
    server.accepts_body("/webhooks/events", &one_event("late"));
    assert_eq!(collector.connections(), 0);
    server.stop();
    let all = collector.taken().concat();
    let has = |text: &str| {
        all.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for name in [
        "POST /webhooks/events",
        "commit",
        "put",
        "pass",
        "append batches",
    ] {
        assert!(has(name), "{name}");
    }
}

/// A function stands still between two events, perhaps for ever: what it has is sent before that.
#[test]
fn a_function_sends_its_spans_before_it_asks_for_the_next_event() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    let mut command = place.command_of(RECEIVE_PROGRAM, &[]);
    command
        .env("POSTLAKE_STORE__URL", place.url())
        .env("POSTLAKE_DANGEROUSLY_OPEN_TO_EVERYONE", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let function = Function::start(&mut command);
    let event = json!({
        "requestContext": { "elb": {} },
        "httpMethod": "POST",
        "path": "/webhooks/events",
        "headers": {},
        "body": "[]",
    });
    for number in 1..=2 {
        let answer = function.invoke(&event, Duration::from_secs(10)).answer();
        assert_eq!(answer["statusCode"], 200);
        until("the spans are sent", || {
            (collector.taken().len() == number).then_some(())
        });
    }
    function.kill();
    let spans = decoded(&place, &python, &collector, "pb");
    for name in ["POST /webhooks/events", "commit", "put"] {
        let found = spans.iter().filter(|span| span.name == name);
        assert_eq!(found.count(), 2, "{name}: {spans:?}");
    }
}

#[test]
fn without_a_collector_nothing_is_made_and_nobody_is_called() {
    let collector = Collector::start(Mood::Takes);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    for (variables, sends) in [
        (&[][..], false),
        (&[endpoint, ("OTEL_SDK_DISABLED", "true")], false),
        (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], false),
        (&[endpoint], true),
    ] {
        let place = Place::local(PROGRAM);
        let mut command = place.command_here(&["serve", "--role", "receive,load"]);
        command.args(["--ingest-listen", "127.0.0.1:0"]);
        let server = Server::start(command.envs(variables.iter().copied()));
        server.accepts_body("/webhooks/events", &one_event("untraced"));
        let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
        let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")));
        let sender = names.flatten().any(|name| name.trim() == "traces");
        assert_eq!(sender, sends, "{variables:?}");
        server.stop();
        assert_eq!(collector.connections() > 0, sends, "{variables:?}");
    }
}

#[test]
fn nothing_that_a_sender_or_a_reader_says_is_in_a_span() {
    const SECRET: &str = "canary-5b1e9d0c4a8f2e6b7d3c0123456789abcdefABCDEF";
    let place = Place::local(PROGRAM);
    let collector = Collector::start(Mood::Takes);
    let home = place.home();
    fs::write(home.join("alert.secret"), SECRET).unwrap();
    let auth = "[ingest.auth]\nalert_secret_files = [\"alert.secret\"]\n\
                headers = [{ name = \"X-Key\", value_file = \"alert.secret\" }]\n";
    fs::write(home.join("postlake.toml"), auth).unwrap();
    let server = serve(&place, "receive,load,read", &collector.url, &[]);
    let body = String::from_utf8(one_event("canary-id")).unwrap();
    let body = body.replace("no\\\"", "canary@recipient.example");
    let headers = [
        ("x-key", SECRET),
        ("x-messagesystems-batch-id", "canary-batch"),
        ("user-agent", "canary-agent"),
        ("tracestate", "canary=1"),
        ("baggage", "canary=1"),
        ("traceparent", "canary"),
    ];
    let secret_path = format!("/webhooks/alerts/{SECRET}");
    let wrong_path = format!("/webhooks/alerts/{SECRET}x?canary=1");
    assert_eq!(
        post(&server, "/webhooks/events", &headers, body.as_bytes()),
        200
    );
    assert_eq!(post(&server, &secret_path, &headers, b"[\"canary\"]"), 200);
    assert_eq!(post(&server, &wrong_path, &headers, b"[]"), 404);
    assert_eq!(
        post(
            &server,
            "/webhooks/events?canary",
            &[("x-key", "canary")],
            b"[]"
        ),
        401
    );
    server.wait_loaded(2);
    let asked = br#"{"sql":"SELECT 'canary' FROM canary_table"}"#;
    let json = [("content-type", "application/json")];
    let answer = http::exchange(server.read(), "POST", "/api/v1/query?canary", &json, asked);
    assert!(answer.unwrap().status >= 400);
    let answer = http::exchange(server.read(), "POST", "/api/v1/query", &json, asked);
    assert!(answer.unwrap().status >= 400);
    http::get(server.read(), "/canary").unwrap();
    http::get(server.read(), "/api/v1/health-scores/canary").unwrap();
    server.stop();
    let all = collector.taken().concat();
    let has = |text: &str| {
        all.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for there in [
        "POST /webhooks/alerts/{secret}",
        "GET /api/v1/health-scores/{subaccount_id}",
        "unauthorized",
        "append quarantine",
        "sql-unknown-name",
    ] {
        assert!(has(there), "{there}");
    }
    for nowhere in ["canary", "recipient", "0123456789abcdef"] {
        assert!(!has(nowhere), "{nowhere}");
    }
}

#[test]
fn wrong_variables_are_told_together_with_wrong_keys() {
    let place = Place::local(PROGRAM);
    fs::write(
        place.home().join("postlake.toml"),
        "[load]\ninterval = \"often\"\n",
    )
    .unwrap();
    for arguments in [&["check"][..], &["serve"], &["load"]] {
        let mut command = place.command_here(arguments);
        command
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://user:s3cret@collector",
            )
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .env("OTEL_TRACES_SAMPLER", "sometimes");
        let ended = postlake_testkit::Running::start(&mut command).wait();
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        for name in [
            "load.interval: ",
            "OTEL_EXPORTER_OTLP_ENDPOINT: ",
            "OTEL_EXPORTER_OTLP_PROTOCOL: grpc is not supported",
            "OTEL_TRACES_SAMPLER: ",
        ] {
            assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    fs::remove_file(place.home().join("postlake.toml")).unwrap();
    let mut command = place.command_here(&["query", "SELECT 1"]);
    command.env("OTEL_TRACES_EXPORTER", "zipkin");
    let ended = postlake_testkit::Running::start(&mut command).wait();
    assert_eq!(ended.code, Some(69), "who sends no traces is not stopped");
    let mut command = place.command_here(&["check"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret");
    let said = postlake_testkit::Running::start(&mut command)
        .wait()
        .success()
        .text();
    let line = said
        .lines()
        .find(|line| line.starts_with("traces"))
        .unwrap();
    assert!(
        line.contains("http/protobuf to https://collector.example/v1/traces"),
        "{line}"
    );
    assert!(
        line.contains("with headers authorization") && !said.contains("s3cret"),
        "{said}"
    );
    assert!(line.ends_with("(OTEL_EXPORTER_OTLP_ENDPOINT)"), "{line}");
}
