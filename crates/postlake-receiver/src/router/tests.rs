use std::sync::Arc;

use crate::Config;
use crate::gate::{Act, Gate, Server, batches, post, status, within};

fn check_problem(answer: &str, code: u16, name: &str) {
    assert_eq!(status(answer), code, "{answer}");
    assert!(
        answer.contains("content-type: application/problem+json"),
        "{answer}"
    );
    assert!(answer.contains(&format!("\"code\":\"{name}\"")), "{answer}");
    assert_eq!(answer.contains("retry-after: 10"), code == 503, "{answer}");
}

#[tokio::test]
async fn every_body_is_answered_200_and_kept_to_the_byte() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let bodies: [&[u8]; 8] = [
        br#"[{"msys":{}}]"#,
        br#"[{"msys":{}}]"#,
        b"[]",
        b"",
        b"not json",
        b"\xff\xfe\0\r\n\r\n0\r\n\r\n",
        br#"[{"alert_id":1}]"#,
        &[b'\n'; 100_000],
    ];
    let mut expected = Vec::new();
    for path in ["/webhooks/events", "/webhooks/alerts"] {
        for body in bodies {
            let answer = server.post(path, body).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
            assert!(
                answer.contains("content-type: application/json\r\n"),
                "{answer}"
            );
            expected.push((path, body.to_vec()));
        }
    }
    let stored = batches(&gate.raw()).await.into_iter().map(|batch| {
        (
            if batch.envelope.source.as_str() == "events" {
                "/webhooks/events"
            } else {
                "/webhooks/alerts"
            },
            batch.body.to_vec(),
        )
    });
    assert_eq!(stored.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_batch_id_is_read_in_any_case_and_credentials_are_not_kept() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    for name in [
        "X-MessageSystems-Batch-ID",
        "x-messagesystems-batch-id",
        "X-Messagesystems-Batch-Id",
    ] {
        let headers = format!(
            "{name}: ../id\r\nAuthorization: Basic c2VjcmV0\r\nCookie: c2VjcmV0\r\nUser-Agent: SparkPost\r\n"
        );
        assert_eq!(
            status(
                &server
                    .exchange(post("/webhooks/events", &headers, "[]"))
                    .await
            ),
            200
        );
    }
    for batch in batches(&gate.raw()).await {
        assert_eq!(batch.envelope.batch_id.as_deref(), Some("../id"));
        assert!(!format!("{:?}", batch.envelope.headers).contains("c2VjcmV0"));
        assert!(format!("{:?}", batch.envelope.headers).contains("SparkPost"));
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_problems() {
    let server = Server::start(&Gate::open(), Config::default()).await;
    let ask = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        server.exchange(request)
    };
    for line in [
        "GET /",
        "POST /webhooks",
        "POST /webhooks/events/",
        "GET /livez/x",
        "POST /../webhooks/events",
    ] {
        check_problem(&ask(line).await, 404, "not_found");
    }
    for line in [
        "GET /webhooks/events",
        "PUT /webhooks/alerts",
        "OPTIONS /webhooks/events",
        "TRACE /webhooks/events",
        "DELETE /livez",
        "POST /readyz",
    ] {
        check_problem(&ask(line).await, 405, "method_not_allowed");
    }
    assert_eq!(status(&ask("HEAD /webhooks/events").await), 405);
    assert_eq!(status(&ask("GET /livez").await), 200);
    assert_eq!(status(&ask("GET /readyz").await), 200);
    assert_eq!(
        status(&ask("POST http://localhost/webhooks/events").await),
        200
    );
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_it_is_read() {
    let gate = Gate::open();
    let config = Config {
        max_body_bytes: 1000,
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    let head = "POST /webhooks/events HTTP/1.1\r\nHost: localhost\r\n";
    let honest = format!("{head}Content-Length: 10000000000\r\n\r\n");
    check_problem(&server.exchange(honest).await, 413, "body_too_large");
    let chunk = format!("1F4\r\n{}\r\n", "x".repeat(500));
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(2000)
    );
    check_problem(&server.exchange(chunked).await, 413, "body_too_large");
    assert_eq!(
        status(&server.post("/webhooks/events", "x".repeat(1000)).await),
        200
    );
    let exact = format!(
        "{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(2)
    );
    assert_eq!(status(&server.exchange(exact).await), 200);
    assert_eq!(batches(&gate.raw()).await.len(), 2);
}

#[tokio::test]
async fn a_store_that_fails_is_503_with_retry_after() {
    let gate = Gate::open();
    gate.always(Some(Act::Full));
    let server = Server::start(&gate, Config::default()).await;
    check_problem(
        &server.post("/webhooks/events", "[]").await,
        503,
        "store_failed",
    );
    gate.always(None);
    assert_eq!(status(&server.post("/webhooks/events", "[]").await), 200);
}

#[tokio::test]
async fn too_many_bytes_in_flight_are_503_before_the_body_is_read() {
    let gate = Gate::shut();
    let config = Config {
        max_body_bytes: 100_000,
        max_inflight_bytes: 150_000,
        ..Config::default()
    };
    let server = Arc::new(Server::start(&gate, config).await);
    let large = |path: &'static str| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.post(path, "x".repeat(100_000)).await })
    };
    let first = large("/webhooks/events");
    gate.puts_reach(1).await;
    let head = "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    let event = format!("POST /webhooks/events {head}");
    check_problem(&server.exchange(event).await, 503, "overloaded");
    let alert = large("/webhooks/alerts");
    gate.release();
    assert_eq!(status(&within(first).await.unwrap()), 200);
    assert_eq!(status(&within(alert).await.unwrap()), 200);
}

#[tokio::test]
async fn a_slow_store_is_503_and_readiness_follows_the_drain() {
    let gate = Gate::shut();
    let config = Config {
        answer_timeout: std::time::Duration::from_millis(30),
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    check_problem(
        &server.post("/webhooks/events", "[]").await,
        503,
        "not_durable_in_time",
    );
    server.receiver.begin_drain();
    let ask = |path| {
        server.exchange(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    };
    assert_eq!(status(&ask("/livez").await), 200);
    let unready = ask("/readyz").await;
    assert_eq!(status(&unready), 503);
    assert!(unready.contains("\"code\":\"not_ready\""), "{unready}");
}

/// A clock that panics when it is first looked at.
#[derive(Debug, Default)]
struct Broken(std::sync::atomic::AtomicBool);

impl postlake_raw::clock::Clock for Broken {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let before = self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        assert!(before, "the clock panics on command");
        chrono::DateTime::UNIX_EPOCH
    }
}

#[tokio::test]
async fn a_panic_costs_its_request_alone() {
    let gate = Gate::open();
    let clock = Arc::new(Broken::default());
    let receiver = crate::Receiver::start(Config::default(), gate.raw(), clock, Arc::new(|_| {}));
    let receiver = receiver.unwrap();
    let server = Server::around(Arc::clone(&receiver)).await;
    check_problem(
        &server.post("/webhooks/events", "one").await,
        500,
        "internal",
    );
    assert_eq!(status(&server.post("/webhooks/events", "two").await), 200);
    assert_eq!(receiver.counters().panics, 1);
    assert_eq!(receiver.inflight_bytes(), 0);
}
