mod odd_http;

use std::collections::BTreeSet;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use postlake_listen::Limits;
use postlake_raw::RawStore;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::Config;
use crate::gate::{Gate, Server, batches, bodies, post, read_to_end, status, until, within};

const HEAD: &str = "POST /webhooks/events HTTP/1.1\r\nHost: localhost\r\n";

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let config = Config {
        connections: Limits {
            header_timeout: Duration::from_millis(50),
            ..Limits::default()
        },
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

/// While the old request is in flight new connections are answered, and the probes tell the truth.
#[tokio::test]
async fn draining_answers_what_is_in_flight_and_takes_nothing_new() {
    let gate = Gate::shut();
    let server = Server::start(&gate, Config::default()).await;
    let mut stream = server.connect().await;
    within(stream.write_all(format!("{HEAD}Content-Length: 2\r\n\r\n[]").as_bytes()))
        .await
        .unwrap();
    let mut silent = server.connect().await;
    gate.puts_reach(1).await;
    server.shutdown.cancel();
    for (path, expected) in [("readyz", 503), ("livez", 200)] {
        let probe = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = server.exchange(probe).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    gate.release();
    assert_eq!(status(&read_to_end(&mut stream).await), 200);
    assert_eq!(read_to_end(&mut silent).await, "");
    drop((silent, stream));
    within(server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    within(server.receiver.close()).await;
    assert_eq!(bodies(&gate.raw()).await, ["[]"]);
}

/// A connection that stands when the order comes is answered what it was about to ask.
#[tokio::test]
async fn a_drain_waits_for_the_first_request_of_a_connection() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let mut stream = server.connect().await;
    within(stream.write_all(b"POST /webhooks/al"))
        .await
        .unwrap();
    // The connection is taken before the order comes, not by it.
    assert_eq!(status(&server.post("/webhooks/events", "other").await), 200);
    server.shutdown.cancel();
    let rest = "erts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nlate";
    within(stream.write_all(rest.as_bytes())).await.unwrap();
    assert_eq!(status(&read_to_end(&mut stream).await), 200);
    within(server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let gate = Gate::shut();
    let config = Config {
        connections: Limits {
            drain_timeout: Duration::from_millis(30),
            ..Limits::default()
        },
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
        connections: Limits {
            max_connections: 1,
            ..Limits::default()
        },
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
