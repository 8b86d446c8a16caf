//! What HTTP can look like: bytes on a socket, a status, and what stands in the store.

use futures::TryStreamExt;
use object_store::ObjectStore;
use tokio::io::AsyncWriteExt;

use super::HEAD;
use crate::Config;
use crate::gate::{Gate, Server, batches, bodies, post, read_to_end, status, within};

/// Name, request, the statuses that will do (0: closed without a word), what is stored.
type Case = (
    &'static str,
    String,
    &'static [u16],
    &'static [&'static str],
);

/// How the client goes on after its request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It waits until the server closes.
    Waits,
    /// It says that nothing more comes.
    Stops,
}

/// Sends each request on a connection of its own, reads to the end, and compares everything before it
/// complains.
async fn check(then: Then, cases: Vec<Case>) {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let mut complaints = Vec::new();
    let mut expected = Vec::new();
    for (name, request, statuses, stored) in cases {
        let mut stream = server.connect().await;
        // The server may have had enough before the end.
        let sent = within(stream.write_all(request.as_bytes())).await;
        if then == Then::Stops {
            let _gone_already = within(stream.shutdown()).await;
        }
        let answer = read_to_end(&mut stream).await;
        if !statuses.contains(&status(&answer)) {
            complaints.push(format!("{name}: {answer:?} ({sent:?})"));
        }
        expected.extend(stored.iter().map(|body| (*body).to_owned()));
        expected.sort();
        let found = bodies(&gate.raw()).await;
        if found != expected {
            complaints.push(format!("{name}: stored are {found:?}"));
            expected = found;
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(status(&server.post("/webhooks/events", "after").await), 200);
}

fn head(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

#[tokio::test]
async fn a_body_that_ends_early_is_neither_stored_nor_acknowledged() {
    const NO: &[u16] = &[0, 400];
    let halves = [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "Transfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4\nhalf\n0\n\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhalf\r\n0\r\n\r\n",
    ];
    let cases = halves.map(|half| ("half a body", head(half), NO, &[] as &[&str]));
    check(Then::Stops, cases.into()).await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn broken_http_is_refused_and_stores_nothing() {
    const BROKEN: &[u16] = &[400];
    const LARGE: &[u16] = &[431];
    const NONE: &[&str] = &[];
    let line = "POST /webhooks/events";
    let two = "Content-Length: 2\r\n";
    check(
        Then::Stops,
        vec![
            (
                "two lengths",
                head(&format!("{two}Content-Length: 3\r\n\r\n[]x")),
                BROKEN,
                NONE,
            ),
            (
                "a list of lengths",
                head("Content-Length: 2, 3\r\n\r\n[]x"),
                BROKEN,
                NONE,
            ),
            (
                "a negative length",
                head("Content-Length: -1\r\n\r\n[]"),
                BROKEN,
                NONE,
            ),
            (
                "a signed length",
                head("Content-Length: +2\r\n\r\n[]"),
                BROKEN,
                NONE,
            ),
            (
                "a length without end",
                head(&format!("Content-Length: {}\r\n\r\n[]", "9".repeat(30))),
                BROKEN,
                NONE,
            ),
            ("no version", format!("{line}\r\n\r\n"), BROKEN, NONE),
            ("http/0.9", format!("{line} HTTP/0.9\r\n\r\n"), BROKEN, NONE),
            (
                "http/0.9 without a version",
                "GET /livez\r\n\r\n".to_owned(),
                BROKEN,
                NONE,
            ),
            ("http/3", format!("{line} HTTP/3.0\r\n\r\n"), BROKEN, NONE),
            (
                "http/2 without TLS",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
                &[0, 400],
                NONE,
            ),
            (
                "TLS on a plain listener",
                "\u{16}\u{3}\u{1}\u{2}".to_owned(),
                &[0, 400],
                NONE,
            ),
            ("no colon", head("nonsense\r\n\r\n"), BROKEN, NONE),
            (
                "a folded header",
                head(&format!("X-A: b\r\n c\r\n{two}\r\n[]")),
                BROKEN,
                NONE,
            ),
            (
                "nul in a header",
                head(&format!("X-A: \0\r\n{two}\r\n[]")),
                BROKEN,
                NONE,
            ),
            (
                "a bare carriage return",
                head(&format!("X-A: a\rb\r\n{two}\r\n[]")),
                BROKEN,
                NONE,
            ),
            (
                "a space before the colon",
                head("Content-Length : 2\r\n\r\n[]"),
                BROKEN,
                NONE,
            ),
            (
                "an unknown encoding",
                head("Transfer-Encoding: gzip\r\n\r\n[]"),
                BROKEN,
                NONE,
            ),
            (
                "chunked is not last",
                head("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
                BROKEN,
                NONE,
            ),
            (
                "chunked in http/1.0",
                format!("{line} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                BROKEN,
                NONE,
            ),
            (
                "200 headers",
                head(&format!("{}{two}\r\n[]", "X-A: b\r\n".repeat(200))),
                LARGE,
                NONE,
            ),
            (
                "10,000 headers",
                head(&format!("{}{two}\r\n[]", "X-A: b\r\n".repeat(10_000))),
                LARGE,
                NONE,
            ),
            (
                "a header of 64 KiB",
                head(&format!("X-A: {}\r\n\r\n", "x".repeat(64 * 1024))),
                LARGE,
                NONE,
            ),
            (
                "a batch id of 1 MB",
                head(&format!(
                    "X-MessageSystems-Batch-ID: {}\r\n{two}\r\n[]",
                    "x".repeat(1 << 20)
                )),
                &[0, 431],
                NONE,
            ),
            (
                "a path of 100 KB",
                format!(
                    "POST /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    "x".repeat(100_000)
                ),
                &[414, 431],
                NONE,
            ),
            (
                "chunk extensions of 100 KB",
                head(&format!(
                    "Transfer-Encoding: chunked\r\n\r\n1;{}\r\n[\r\n0\r\n\r\n",
                    "x".repeat(100_000)
                )),
                &[0, 400],
                NONE,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn length_and_chunks_together_are_refused() {
    let smuggled = String::from_utf8(post("/webhooks/alerts", "", "smuggled")).unwrap();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let end = format!("\r\n0\r\n\r\n{smuggled}");
    check(
        Then::Waits,
        vec![
            (
                "length first",
                head(&format!("Content-Length: 4\r\n{chunked}{end}")),
                &[400],
                &[],
            ),
            (
                "length of all first",
                head(&format!(
                    "Content-Length: {}\r\n{chunked}{end}",
                    end.len() - 2
                )),
                &[400],
                &[],
            ),
            (
                "chunks first",
                head(&format!("{chunked}Content-Length: 4\r\n{end}")),
                &[400],
                &[],
            ),
            (
                "lengths of no sense on both sides",
                head(&format!(
                    "Content-Length: x\r\n{chunked}Content-Length: y\r\n{end}"
                )),
                &[400],
                &[],
            ),
            (
                "behind another request",
                format!(
                    "{HEAD}Content-Length: 2\r\n\r\n[]{HEAD}Content-Length: 4\r\n{chunked}{end}"
                ),
                &[200],
                &["[]"],
            ),
            // Nothing behind the chunks is read.
            (
                "chunks alone",
                head(&format!("{chunked}{end}")),
                &[200],
                &[""],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn odd_but_whole_requests_are_answered_by_what_they_say() {
    const TWO: &str = "Host: localhost\r\nConnection: close\r\nContent-Length: 2\r\n";
    let small = "1\r\nx\r\n".repeat(50);
    check(Then::Waits, vec![
        ("one-byte chunks", head(&format!("Transfer-Encoding: chunked\r\n\r\n{small}0\r\n\r\n")), &[200], &[ONE_BYTE_CHUNKS]),
        ("small chunk extensions", head("Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n[]\r\n0\r\n\r\n"), &[200], &["[]"]),
        ("trailers", head("Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nX-A: b\r\n\r\n"), &[200], &["[]"]),
        ("the same length twice", head("Connection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]"), &[200, 400], &["[]"]),
        // RFC 9112 section 2.2 lets a server read them as line ends; the body is whole all the same.
        ("bare line feeds", format!("POST /webhooks/events HTTP/1.1\n{}\n[]", TWO.replace('\r', "")), &[200], &["[]"]),
        ("http/1.0", format!("POST /webhooks/events HTTP/1.0\r\n{TWO}\r\n[]"), &[200], &["[]"]),
        ("absolute form", format!("POST http://elsewhere.example/webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[200], &["[]"]),
        ("an upgrade that is not wanted", head("Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\n[]"), &[200], &["[]"]),
        ("a websocket", "GET /webhooks/events HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(), &[405], &[]),
        ("HEAD", format!("HEAD /webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[405], &[]),
        ("OPTIONS", "OPTIONS /webhooks/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(), &[405], &[]),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(), &[400, 404, 405], &[]),
        ("TRACE", format!("TRACE /webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[405], &[]),
        ("CONNECT", "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\nConnection: close\r\n\r\n".to_owned(), &[400, 404, 405], &[]),
        ("an unknown method", format!("FETCH /webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[405], &[]),
        ("PUT", format!("PUT /webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[405], &[]),
        ("two slashes", format!("POST //webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[404], &[]),
        ("dots in the path", format!("POST /a/../webhooks/events HTTP/1.1\r\n{TWO}\r\n[]"), &[404], &[]),
        ("an empty line first", format!("\r\n\r\n{HEAD}Connection: close\r\nContent-Length: 2\r\n\r\n[]"), &[200], &["[]"]),
    ])
    .await;
}

/// What 50 chunks of one byte make.
const ONE_BYTE_CHUNKS: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let one = format!("{HEAD}Content-Length: 2\r\n\r\n[]");
    let probe = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = String::from_utf8(post("/webhooks/events", "", "last")).unwrap();
    let requests = format!("{}{probe}{last}", one.repeat(99));
    let answer = server.exchange(requests).await;
    let statuses: Vec<_> = answer.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 101);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 100);
    let before = answer.split("HTTP/1.1 404").next().unwrap();
    assert_eq!(before.matches("HTTP/1.1 200 OK").count(), 99);
    assert_eq!(bodies(&gate.raw()).await.len(), 100);
}

/// A batch id is data: names of objects never hold any of it.
#[tokio::test]
async fn a_batch_id_is_kept_and_names_nothing() {
    let gate = Gate::open();
    let server = Server::start(&gate, Config::default()).await;
    let harmless = [
        "../../../etc/passwd",
        "None",
        "🦀",
        "a b",
        "C:\\x",
        "%2e%2e%2f",
        "",
    ];
    for id in harmless {
        let headers = format!("X-MessageSystems-Batch-ID: {id}\r\n");
        let answer = server
            .exchange(post("/webhooks/events", &headers, "[]"))
            .await;
        assert_eq!(status(&answer), 200, "{id:?}: {answer}");
    }
    assert_eq!(status(&server.post("/webhooks/events", "[]").await), 200);
    for broken in ["a\0b", "a\rb"] {
        let headers = format!("X-MessageSystems-Batch-ID: {broken}\r\n");
        let answer = server
            .exchange(post("/webhooks/events", &headers, "[]"))
            .await;
        assert_eq!(status(&answer), 400, "{broken:?}: {answer}");
    }
    // A newline ends the header: what follows is another header or broken.
    let headers = "X-MessageSystems-Batch-ID: a\nX-MessageSystems-Batch-ID: b\r\n";
    let answer = server
        .exchange(post("/webhooks/events", headers, "[]"))
        .await;
    assert!(matches!(status(&answer), 200 | 400), "{answer}");
    assert!(batches(&gate.raw()).await.len() > harmless.len());
    let objects: Vec<_> = gate.list(None).try_collect().await.unwrap();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    for object in &objects {
        let name = object.location.to_string();
        let parts: Vec<_> = name.split('/').collect();
        let number = parts[3].strip_suffix(".seg.zst").unwrap();
        let plain = parts[2]
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        assert!(
            parts.len() == 4 && parts[0] == "raw" && digits(number) && plain,
            "{name}"
        );
    }
}

/// Bodies larger than allowed are refused by their word, or as soon as they are too long; the
/// sender gets the answer although it is still talking.
#[tokio::test]
async fn a_body_above_the_limit_is_refused_early_and_the_connection_closed() {
    const LIMIT: u64 = 64 * 1024;
    let gate = Gate::open();
    let config = Config {
        max_body_bytes: LIMIT,
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    let long = "x".repeat(1 << 20);
    for (name, request) in [
        (
            "10 GB by its word",
            "Content-Length: 10000000000\r\n\r\nx".to_owned(),
        ),
        (
            "100 MB and asks first",
            "Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        ),
        (
            "1 MB by its word",
            format!("Content-Length: 1048576\r\n\r\n{long}"),
        ),
        (
            "1 MB in one chunk",
            format!("Transfer-Encoding: chunked\r\n\r\n100000\r\n{long}\r\n0\r\n\r\n"),
        ),
    ] {
        let mut stream = server.connect().await;
        let sent = within(stream.write_all(head(&request).as_bytes())).await;
        let answer = read_to_end(&mut stream).await;
        assert_eq!(status(&answer), 413, "{name}: {answer} ({sent:?})");
        assert!(answer.contains("connection: close"), "{name}: {answer}");
        assert!(!answer.contains("100 Continue"), "{name}: {answer}");
    }
    assert_eq!(bodies(&gate.raw()).await, Vec::<String>::new());
    let refused = server.receiver.counters().refused;
    assert!(refused.contains(&("body_too_large", 4)), "{refused:?}");
}
