use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::rig::{Server, exchange, until, within};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn hello() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/peer",
            get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
        )
        .route("/long", get(async || vec![b'x'; 64 << 20]))
}

#[tokio::test]
async fn a_request_knows_its_peer() {
    let server = Server::start(hello(), Limits::default(), None).await;
    let mut stream = server.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    let answer = exchange(&mut stream, &REQUEST.replace("/ ", "/peer ")).await;
    assert!(answer.ends_with(&own), "{answer}");
}

/// The library forgets its header timeout when it has no timer; this fails then.
#[tokio::test]
async fn the_header_timeout_fires() {
    let limits = Limits {
        header_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(hello(), limits, None).await;
    let halves = ["", "GET / HT", "GET / HTTP/1.1\r\nHost: local"];
    for half in halves {
        let mut stream = server.connect().await;
        let answer = exchange(&mut stream, half).await;
        assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
    }
    // The same for silence after an answer.
    let mut stream = server.connect().await;
    let kept = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(exchange(&mut stream, kept).await.ends_with("hello"));
    until(|| server.tally.read().header_timeouts == 4).await;
    until(|| server.tally.read().open == 0).await;
}

#[tokio::test]
async fn slow_connections_hold_up_nobody() {
    const SLOW: usize = 200;
    let server = Server::start(hello(), Limits::default(), None).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = server.connect().await;
        within(stream.write_all(b"GET / HTTP/1.1\r\nHost: "))
            .await
            .unwrap();
        slow.push(stream);
    }
    for _ in 0..5 {
        let mut stream = server.connect().await;
        assert!(exchange(&mut stream, REQUEST).await.ends_with("hello"));
    }
    until(|| server.tally.read().open == SLOW as u64).await;
    drop(slow);
    until(|| server.tally.read().open == 0).await;
}

#[tokio::test]
async fn idle_connections_make_room() {
    let limits = Limits {
        max_connections: 8,
        header_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let server = Server::start(hello(), limits, None).await;
    let mut idle = Vec::new();
    for number in 0..8 {
        let mut stream = server.connect().await;
        // Some have begun to talk, some have had an answer, some are silent.
        match number % 3 {
            0 => within(stream.write_all(b"GET / HT")).await.unwrap(),
            1 => within(stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .await
                .unwrap(),
            _ => {}
        }
        idle.push(stream);
    }
    until(|| server.tally.read().open == 8).await;
    let mut stream = server.connect().await;
    assert!(exchange(&mut stream, REQUEST).await.ends_with("hello"));
    assert!(server.tally.read().made_room >= 1);
    drop(idle);
}

/// An answer that is still being read is no idle connection, and one that nobody reads has an end.
#[tokio::test]
async fn an_answer_that_nobody_reads_has_an_end() {
    let limits = Limits {
        write_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start(hello(), limits, None).await;
    let mut stream = server.connect().await;
    let request = REQUEST.replace("/ ", "/long ");
    within(stream.write_all(request.as_bytes())).await.unwrap();
    until(|| server.tally.read().write_timeouts == 1).await;
    until(|| server.tally.read().open == 0).await;
    let mut reader = server.connect().await;
    within(reader.write_all(request.as_bytes())).await.unwrap();
    let mut all = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the answer is as long as this test has made it"
    )]
    within(reader.read_to_end(&mut all)).await.unwrap();
    assert!(all.len() > 64 << 20, "{}", all.len());
}

#[tokio::test]
async fn a_drain_gives_notice_and_then_ends() {
    let limits = Limits {
        drain_notice: Duration::from_secs(3600),
        drain_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let server = Server::start(hello(), limits, None).await;
    server.shutdown.cancel();
    let mut stream = server.connect().await;
    let kept = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = exchange(&mut stream, kept).await;
    assert!(answer.contains("connection: close"), "{answer}");
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_connection() {
    let router = hello().route(
        "/panic",
        get(async || -> &'static str { panic!("on command") }),
    );
    let server = Server::start(router, Limits::default(), None).await;
    let mut stream = server.connect().await;
    assert_eq!(
        exchange(&mut stream, &REQUEST.replace("/ ", "/panic ")).await,
        ""
    );
    let mut stream = server.connect().await;
    assert!(exchange(&mut stream, REQUEST).await.ends_with("hello"));
    until(|| server.tally.read().open == 0).await;
}
