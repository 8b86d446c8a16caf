use std::collections::BTreeSet;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use postlake_raw::RawStore;

use super::*;
use crate::gate::{Gate, Server, batches, bodies, post, read_to_end, status, until, within};

const HEAD: &str = "POST /webhooks/events HTTP/1.1\r\nHost: localhost\r\n";

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let config = Config {
        header_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let server = Server::start(&Gate::open(), config).await;
    let mut stream = server.connect().await;
    within(stream.write_all(b"POST /webhooks/ev"))
        .await
        .unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(matches!(status(&answer), 0 | 408), "{answer}");
    let mut idle = server.connect().await;
    assert_eq!(read_to_end(&mut idle).await, "");
}

#[tokio::test]
async fn a_body_that_is_too_slow_is_408() {
    let config = Config {
        body_grace: Duration::from_millis(50),
        min_body_bytes_per_sec: 1_000_000,
        ..Config::default()
    };
    let gate = Gate::open();
    let server = Server::start(&gate, config).await;
    for start in [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let answer = server.exchange(format!("{HEAD}{start}")).await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(answer.contains("\"code\":\"body_too_slow\""), "{answer}");
    }
    assert_eq!(bodies(&gate.raw()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_ends_early_is_neither_stored_nor_acknowledged() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let halves = [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "Transfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0",
        "Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    ];
    for half in halves {
        let mut stream = server.connect().await;
        within(stream.write_all(format!("{HEAD}{half}").as_bytes()))
            .await
            .unwrap();
        within(stream.shutdown()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(matches!(status(&answer), 0 | 400), "{half:?}: {answer}");
    }
    assert_eq!(status(&server.post("/webhooks/events", "whole").await), 200);
    assert_eq!(bodies(&gate.raw()).await, ["whole"]);
}

#[tokio::test]
async fn broken_http_is_refused_and_stores_nothing() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let line = "POST /webhooks/events";
    let many = "X-A: b\r\n".repeat(200);
    let broken = [
        (
            "two lengths",
            format!("{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]x"),
        ),
        (
            "a negative length",
            format!("{HEAD}Content-Length: -1\r\n\r\n[]"),
        ),
        ("no version", format!("{line}\r\n\r\n")),
        ("http/0.9", format!("{line} HTTP/0.9\r\n\r\n")),
        ("no colon", format!("{HEAD}nonsense\r\n\r\n")),
        (
            "folded header",
            format!("{HEAD}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n[]"),
        ),
        (
            "nul in a header",
            format!("{HEAD}X-A: \0\r\nContent-Length: 2\r\n\r\n[]"),
        ),
        (
            "a space before the colon",
            format!("{HEAD}Content-Length : 2\r\n\r\n[]"),
        ),
        (
            "unknown encoding",
            format!("{HEAD}Transfer-Encoding: gzip\r\n\r\n[]"),
        ),
        (
            "many headers",
            format!("{HEAD}{many}Content-Length: 2\r\n\r\n[]"),
        ),
        (
            "a long header",
            format!("{HEAD}X-A: {}\r\n\r\n", "x".repeat(100_000)),
        ),
    ];
    for (name, request) in broken {
        let answer = server.exchange(request).await;
        assert!((400..=431).contains(&status(&answer)), "{name}: {answer}");
    }
    let http2 = server.exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(matches!(status(&http2), 0 | 400), "{http2}");
    assert_eq!(bodies(&gate.raw()).await, Vec::<String>::new());
    assert_eq!(status(&server.post("/webhooks/events", "[]").await), 200);
}

#[tokio::test]
async fn length_and_chunks_together_are_never_read_as_two_requests() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let smuggled = post("/webhooks/alerts", "", "smuggled");
    let smuggled = String::from_utf8(smuggled).unwrap();
    let request =
        format!("{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    let answer = server.exchange(request).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(!bodies(&gate.raw()).await.contains(&"smuggled".to_owned()));
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let one = format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;{}\r\n]\r\n0\r\n\r\n",
        "x".repeat(100)
    );
    let last = String::from_utf8(post("/webhooks/events", "", "last")).unwrap();
    let answer = server.exchange(format!("{}{last}", one.repeat(20))).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 21);
    assert_eq!(bodies(&gate.raw()).await.len(), 21);
}

#[tokio::test]
async fn draining_answers_what_is_in_flight_and_takes_nothing_new() {
    let gate = Gate::shut();
    let server = Server::start(&gate, Config::default()).await;
    let mut stream = server.connect().await;
    within(stream.write_all(format!("{HEAD}Content-Length: 2\r\n\r\n[]").as_bytes()))
        .await
        .unwrap();
    let idle = server.connect().await;
    gate.puts_reach(1).await;
    server.shutdown.cancel();
    within(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    gate.release();
    assert_eq!(status(&read_to_end(&mut stream).await), 200);
    drop((idle, stream));
    within(server.task).await.unwrap().unwrap();
    within(server.receiver.close()).await;
    assert_eq!(bodies(&gate.raw()).await, ["[]"]);
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let gate = Gate::shut();
    let config = Config {
        drain_timeout: Duration::from_millis(30),
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    let mut stream = server.connect().await;
    within(stream.write_all(format!("{HEAD}Content-Length: 2\r\n\r\n[]").as_bytes()))
        .await
        .unwrap();
    gate.puts_reach(1).await;
    server.shutdown.cancel();
    let ended = within(server.task).await.unwrap();
    assert!(
        matches!(ended, Err(ServeError::DrainTimeout { connections: 1 })),
        "{ended:?}"
    );
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_place() {
    let config = Config {
        max_connections: 1,
        ..Config::default()
    };
    let gate = Gate::shut();
    let server = Server::start(&gate, config).await;
    let mut first = server.connect().await;
    within(first.write_all(&post("/webhooks/events", "", "first")))
        .await
        .unwrap();
    gate.puts_reach(1).await;
    let mut second = server.connect().await;
    within(second.write_all(&post("/webhooks/events", "", "second")))
        .await
        .unwrap();
    gate.release();
    assert_eq!(status(&read_to_end(&mut first).await), 200);
    drop(first);
    assert_eq!(status(&read_to_end(&mut second).await), 200);
}

/// Many clients on a real directory: everything that was acknowledged is read back, by another
/// store over the same directory, with its id and its SHA-256; and few puts carry many batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_batch_is_read_back_from_the_disk() {
    const CLIENTS: usize = 16;
    const POSTS: usize = 12;
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        Arc::new(
            LocalFileSystem::new_with_prefix(directory.path())
                .unwrap()
                .with_fsync(true),
        )
    };
    let gate = Gate::around(open());
    gate.release();
    let server = Arc::new(Server::start(&gate, Config::default()).await);
    let clients = (0..CLIENTS).map(|client| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..POSTS {
                let id = format!("{client}-{number}");
                let body = format!("[{id}]\n").repeat(1 + 997 * number);
                let headers = format!("X-MessageSystems-Batch-ID: {id}\r\n");
                let answer = server
                    .exchange(post("/webhooks/events", &headers, &body))
                    .await;
                if status(&answer) == 200 {
                    acknowledged.push((id, body.into_bytes()));
                }
            }
            acknowledged
        })
    });
    let mut acknowledged = BTreeSet::new();
    for client in clients.collect::<Vec<_>>() {
        acknowledged.extend(within(client).await.unwrap());
    }
    let counters = server.receiver.counters();
    assert_eq!(counters.batches, (CLIENTS * POSTS) as u64);
    assert!(counters.segments < counters.batches / 2, "{counters:?}");
    let stored = batches(&RawStore::new(open())).await.into_iter();
    let stored = stored.map(|batch| (batch.envelope.batch_id.unwrap(), batch.body.to_vec()));
    assert_eq!(stored.collect::<BTreeSet<_>>(), acknowledged);
    assert_eq!(acknowledged.len(), CLIENTS * POSTS);
}

#[tokio::test]
async fn a_sender_that_goes_away_costs_nothing() {
    let gate = Gate::shut();
    let server = Server::start(&gate, Config::default()).await;
    let mut stream = server.connect().await;
    within(stream.write_all(&post("/webhooks/alerts", "", "alert")))
        .await
        .unwrap();
    gate.puts_reach(1).await;
    drop(stream);
    gate.release();
    until(|| server.receiver.counters().segments == 1).await;
    assert_eq!(bodies(&gate.raw()).await, ["alert"]);
}
