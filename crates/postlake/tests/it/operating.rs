//! The operator's side of a running server: metrics, health, status, `top`, logs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use postlake_testkit::http::{self, Answer};
use postlake_testkit::{Place, Running, Server, until};
use serde_json::Value;

use crate::PROGRAM;
use crate::traffic::one_event;

fn get(server: &Server, path: &str) -> Answer {
    http::get(server.admin(), path).unwrap()
}

fn status(server: &Server) -> Value {
    get(server, "/api/v1/status").json()
}

/// The value of the line of `/metrics` that begins with `series`.
#[track_caller]
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("{series} is not in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn metrics_count_what_was_received_loaded_and_delivered() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    for number in 0..3 {
        server.accepts_body("/webhooks/events", &one_event(&format!("metrics-{number}")));
    }
    server.accepts_body("/webhooks/events", b"not json");
    server.wait_loaded(4);
    let page = until("the sink has all rows", || {
        let page = get(&server, "/metrics").text();
        let rows = "postlake_sink_rows_total{sink=\"csv\"}";
        // Three events, one reject, four batches.
        (value(&page, rows) >= 8.0).then_some(page)
    });
    for (series, expected) in [
        ("postlake_ready", 1.0),
        ("postlake_ingest_ready", 1.0),
        ("postlake_ingest_batches_total", 4.0),
        ("postlake_ingest_refusals_total{code=\"overloaded\"}", 0.0),
        (
            "postlake_ingest_answer_seconds_count{source=\"events\"}",
            4.0,
        ),
        (
            "postlake_ingest_answer_seconds_count{source=\"alerts\"}",
            0.0,
        ),
        ("postlake_ingest_segment_batches_sum", 4.0),
        ("postlake_load_batches_total", 4.0),
        ("postlake_load_rows_total{table=\"events\"}", 3.0),
        ("postlake_load_rows_total{table=\"quarantine\"}", 1.0),
        ("postlake_load_backlog_segments", 0.0),
        ("postlake_sink_failures_total{sink=\"csv\"}", 0.0),
        (
            "postlake_sink_versions_behind{sink=\"csv\",table=\"events\"}",
            0.0,
        ),
        ("postlake_read_up", 1.0),
        ("postlake_read_restarts_total", 0.0),
        ("postlake_ingest_inflight_bytes", 0.0),
    ] {
        assert_eq!(value(&page, series), expected, "{series}");
    }
    let puts = value(&page, "postlake_ingest_put_seconds_count");
    assert_eq!(puts, value(&page, "postlake_ingest_segments_total"));
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    assert!(value(&page, "postlake_store_free_bytes") > 0.0);
    assert!(page.ends_with("# EOF\n"));
    server.stop();
}

#[test]
fn the_page_of_metrics_names_each_metric_and_none_that_is_not_there() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    server.accepts_body("/webhooks/events", &one_event("names"));
    server.wait_loaded(1);
    let page = until("the sink has begun", || {
        let page = get(&server, "/metrics").text();
        page.contains("postlake_sink_versions_behind{")
            .then_some(page)
    });
    let exposed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let manual = fs::read_to_string(manual).unwrap();
    let named: BTreeSet<String> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split(['`', '{']).next().unwrap().to_owned())
        .collect();
    assert_eq!(
        exposed, named,
        "left: exposed, right: named in docs/metrics.md"
    );
    // A family without a value could be wrong in its labels and nobody would see it.
    for name in &exposed {
        let has_value = |line: &str| line.starts_with(name.as_str());
        assert!(page.lines().any(has_value), "{name} has no value");
    }
    server.stop();
}

#[test]
fn the_admin_listener_answers_to_its_own_names_and_to_no_other_site() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive"]);
    let admin = server.admin();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        http::exchange(admin, method, path, headers, b"").unwrap()
    };
    for path in ["/metrics", "/readyz", "/livez", "/api/v1/status"] {
        let port = admin.port();
        for host in ["evil.example".to_owned(), format!("evil.example:{port}")] {
            assert_eq!(
                ask("GET", path, &[("host", &host)]).status,
                421,
                "{path} {host}"
            );
        }
        for host in ["localhost".to_owned(), format!("127.0.0.1:{port}")] {
            assert_eq!(
                ask("GET", path, &[("host", &host)]).status,
                200,
                "{path} {host}"
            );
        }
        let elsewhere = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert_eq!(ask("POST", path, &elsewhere).status, 403, "{path}");
        let answer = ask("GET", path, &[("host", "localhost")]);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // What is for the operator is on no other listener, and webhooks are not on this one.
    assert_eq!(http::get(server.ingest(), "/metrics").unwrap().status, 404);
    let posted = ask("POST", "/webhooks/events", &[("host", "localhost")]);
    assert_eq!(posted.status, 404);
    server.stop();
}

/// Its limits are those of the other listeners: silence is cut after 10 s, and there are 64 places, for
/// which idle connections make room.
#[test]
fn connections_to_the_admin_listener_are_few_and_end() {
    const PLACES: usize = 64;
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive"]);
    let connect = || {
        let mut stream = TcpStream::connect(server.admin()).unwrap();
        stream.write_all(b"GET /metrics HT").unwrap();
        stream
    };
    let silent: Vec<_> = (0..PLACES).map(|_| connect()).collect();
    assert_eq!(get(&server, "/livez").status, 200);
    let ended = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    assert!(silent.iter().any(ended), "none made room");
    let late = connect();
    until("silence is cut", || ended(&late).then_some(()));
    server.stop();
}

#[test]
fn an_admin_listener_beyond_loopback_is_refused() {
    let place = Place::local(PROGRAM);
    let outcome = place.run(&["serve", "--admin-listen", "0.0.0.0:0"]);
    assert_eq!(outcome.code, Some(78));
    assert!(
        outcome.stderr.contains("admin.listen: 0.0.0.0:0"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn readiness_tells_what_is_wrong() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let ready = get(&server, "/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_eq!(get(&server, "/livez").status, 200);

    let [reader] = server.children()[..] else {
        panic!("one read process")
    };
    server.kill_child(reader);
    until("the end of the read process is counted", || {
        (status(&server)["read"]["restarts"] == 1).then_some(())
    });
    until("the read process is back", || {
        let status = status(&server);
        (status["ready"] == true && status["read"]["running"] == true).then_some(())
    });
    server.stop();
}

#[test]
fn top_shows_a_running_server_and_says_when_there_is_none() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    server.accepts_body("/webhooks/events", &one_event("top"));
    server.wait_loaded(1);
    let url = format!("http://{}", server.admin());
    let once = ["top", "--url", &url, "--interval", "10ms"];
    let shown = Running::start(&mut place.command(&once)).wait().success();
    let shown = shown.text();
    for part in [
        "ready",
        "ingest ",
        "load ",
        "sink      csv",
        "read      running",
        "process ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json = ["top", "--url", &url, "--json"];
    let json = Running::start(&mut place.command(&json)).wait().success();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["load"]["events"], 1);
    server.stop();
    let nobody = Running::start(&mut place.command(&once)).wait();
    assert_eq!(nobody.code, Some(69));
    assert!(
        nobody.stderr.contains("admin listener"),
        "{}",
        nobody.stderr
    );
}

#[test]
fn json_logs_are_one_object_a_line_in_both_processes() {
    let place = Place::local(PROGRAM);
    let mut command = place.command_here(&["serve", "--log-format", "json"]);
    command.args([
        "--ingest-listen",
        "127.0.0.1:0",
        "--read-listen",
        "127.0.0.1:0",
    ]);
    command.env("POSTLAKE_LOG", "debug");
    let server = Server::start(&mut command);
    server.accepts_body("/webhooks/events", &one_event("json-log"));
    server.wait_loaded(1);
    let said = server.stop().stderr;
    let lines: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let pass = lines.iter().find(|line| line["message"] == "pass").unwrap();
    assert_eq!(pass["level"], "debug");
    assert!(
        pass["fields"]["report"].is_string() && pass["at"].is_string(),
        "{pass}"
    );
    // What is not JSON is talk for a person: the banner and the farewell.
    let stray = said
        .lines()
        .find(|line| line.contains(" DEBUG ") || line.contains(" WARN "));
    assert_eq!(stray, None);
}

#[test]
fn what_is_received_is_in_no_log_and_no_metric_even_at_trace_level() {
    const ADDRESS: &str = "canary-7f3a@recipient.example";
    const SECRET: &str = "canary-secret-5b1e9d0c4a8f2e6b7d3c";
    let place = Place::local(PROGRAM);
    let mut command = place.command_here(&["serve", "--role", "receive,load"]);
    command.args(["--ingest-listen", "127.0.0.1:0"]);
    let server = Server::start(command.env("POSTLAKE_LOG", "trace"));
    let body = String::from_utf8(one_event("canary")).unwrap();
    let with_address = body.replacen('{', &format!("{{\"note\":\"{ADDRESS}\","), 3);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", SECRET),
        ("x-messagesystems-webhook-token", SECRET),
    ];
    for body in [
        with_address.as_str(),
        &format!("[{ADDRESS}"),
        &format!("[{{\"msys\":\"{ADDRESS}\"}}]"),
    ] {
        let path = "/webhooks/events";
        let answer = http::exchange(server.ingest(), "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.unwrap().status, 200);
    }
    let alerts = format!("/webhooks/alerts/{SECRET}");
    drop(http::exchange(server.ingest(), "POST", &alerts, &headers, b"[]").unwrap());
    until("all is loaded", || {
        (status(&server)["load"]["batches"].as_u64()? >= 3).then_some(())
    });
    let page = get(&server, "/metrics").text() + &get(&server, "/api/v1/status").text();
    let said = server.stop().stderr;
    assert!(said.contains("DEBUG"), "the log says more than usual");
    for canary in [ADDRESS, SECRET, "canary-7f3a"] {
        let line = said.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "{canary}");
        assert!(!page.contains(canary), "{canary}");
    }
}

#[test]
fn data_of_a_newer_release_is_refused_with_78_and_loaded_by_nobody() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive"]);
    server.accepts_body("/webhooks/events", b"[]");
    server.stop();
    let segment = place.put_newer_segment();
    for arguments in [&["serve", "--ingest-listen", "127.0.0.1:0"][..], &["load"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        let says = ended.stderr.contains("newer release") && ended.stderr.contains(&segment);
        assert!(says, "{}", ended.stderr);
    }
    // Receiving goes on: what this release writes, every later one reads.
    let server = place.serve(&["--role", "receive"]);
    server.accepts_body("/webhooks/events", b"[]");
    server.stop();
}
