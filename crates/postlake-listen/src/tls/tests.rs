use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use axum::Router;
use axum::routing::get;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::rig::{Authority, Server, TODAY, exchange, files, tls, until, version, within};
use crate::{Limits, Tally};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn tls_1_3_is_preferred_and_1_2_is_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = tls(authority.install(directory.path(), 2030));
    let server = Server::start(hello(), Limits::default(), Some(tls)).await;
    let cases = [
        (
            authority.client(&[&TLS12, &TLS13]),
            ProtocolVersion::TLSv1_3,
        ),
        (authority.client(&[&TLS13]), ProtocolVersion::TLSv1_3),
        (authority.client(&[&TLS12]), ProtocolVersion::TLSv1_2),
    ];
    for (client, expected) in cases {
        let mut stream = server.connect_tls(&client).await.unwrap();
        assert_eq!(version(&stream), expected);
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap();
        let suite = suite.suite().as_str().unwrap();
        assert!(suite.ends_with("AES_128_GCM_SHA256"), "{suite}");
        let answer = exchange(&mut stream, REQUEST).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
    }
    assert_eq!(server.tally.read().handshake_failures, 0);
}

#[tokio::test]
async fn h2_is_not_offered_and_a_plain_request_is_no_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = tls(authority.install(directory.path(), 2030));
    let server = Server::start(hello(), Limits::default(), Some(tls)).await;
    for (offered, expected) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"http/1.1"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = authority.client(&[&TLS13]);
        let mut config = client.config().as_ref().clone();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let client = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = server.connect_tls(&client).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected);
    }
    let mut plain = server.connect().await;
    let answer = exchange_bytes(&mut plain, REQUEST.as_bytes()).await;
    assert!(!answer.windows(4).any(|four| four == b"HTTP"), "{answer:?}");
    until(|| server.tally.read().handshake_failures == 1).await;
}

async fn exchange_bytes(stream: &mut tokio::net::TcpStream, request: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    within(stream.write_all(request)).await.unwrap();
    let mut answer = vec![0; 4096];
    let bytes = within(stream.read(&mut answer)).await.unwrap_or(0);
    answer.truncate(bytes);
    answer
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let tls = tls(Authority::new().install(directory.path(), 2030));
    let limits = Limits {
        handshake_timeout: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(hello(), limits, Some(tls)).await;
    let mut silent = server.connect().await;
    assert_eq!(exchange(&mut silent, "").await, "");
    assert_eq!(server.tally.read().handshake_timeouts, 1);
}

/// What is in the files, one fault after the other: the old certificate stays in use, each fault is
/// counted once, and the next good one is taken.
#[tokio::test]
async fn a_broken_certificate_is_refused_and_the_old_one_kept() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority.install(directory.path(), 2030);
    let tls = tls(files.clone());
    let server = Server::start(hello(), Limits::default(), Some(tls.clone())).await;
    let client = authority.client(&[&TLS13]);
    let (good, key) = authority.issue(2031);
    let (expired, expired_key) = authority.issue(2025);
    let (_, other_key) = authority.issue(2031);
    let faults: [(&str, &str, &str, &str); 6] = [
        ("an empty file", "", &key, "holds no certificate"),
        ("no PEM", "nonsense", &key, "holds no certificate"),
        (
            "half of it",
            &good[..good.len() / 2],
            &key,
            "holds no certificate",
        ),
        ("no key", &good, &good, "holds no private key"),
        ("another key", &good, &other_key, "do not go together"),
        ("expired", &expired, &expired_key, "has expired"),
    ];
    let old = tls.status().not_after_secs;
    for (count, (name, certificate, key, expected)) in (1..).zip(faults) {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let refused = tls.reload().expect_err(name).to_string();
        assert!(refused.contains(expected), "{name}: {refused}");
        assert_eq!(tls.reload().unwrap(), Reload::Unchanged, "{name}, again");
        let status = tls.status();
        assert_eq!(
            (status.reload_failures, status.not_after_secs),
            (count, old),
            "{name}"
        );
        server.connect_tls(&client).await.unwrap();
    }
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));
    std::fs::write(&files.certificate, good).unwrap();
    std::fs::write(&files.key, key).unwrap();
    assert_eq!(tls.reload().unwrap(), Reload::Replaced);
    let status = tls.status();
    assert_eq!((status.reloads, status.reload_failures), (1, 7));
    assert!(status.not_after_secs > old);
    server.connect_tls(&client).await.unwrap();
}

/// Half a replacement seen by the watch is no fault as long as the other half follows.
#[tokio::test]
async fn the_watch_takes_a_new_certificate_and_is_patient_with_halves() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority.install(directory.path(), 2030);
    let tls = tls(files.clone());
    let (certificate, key) = authority.issue(2031);
    std::fs::write(&files.certificate, certificate).unwrap();
    tls.look();
    assert_eq!(tls.status().reload_failures, 0);
    std::fs::write(&files.key, key).unwrap();
    tls.look();
    assert_eq!((tls.status().reloads, tls.status().reload_failures), (1, 0));
    // A half that stays is a fault, once.
    std::fs::write(&files.key, "half").unwrap();
    for _ in 0..4 {
        tls.look();
    }
    assert_eq!((tls.status().reloads, tls.status().reload_failures), (1, 1));
    // The file comes back as it was: nothing to do, and nothing to say.
    let stop = CancellationToken::new();
    let watch = tokio::spawn(tls.clone().keep_fresh(stop.clone()));
    authority.install(directory.path(), 2032);
    until(|| tls.status().reloads == 2).await;
    stop.cancel();
    within(watch).await.unwrap();
}

#[test]
fn an_expired_certificate_is_used_at_the_start_and_replaced_even_by_an_expired_one() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let expired = tls(authority.install(directory.path(), 2024));
    assert!(expired.status().not_after_secs < Some(TODAY));
    authority.install(directory.path(), 2025);
    assert_eq!(expired.reload().unwrap(), Reload::Replaced);
    let clock = Arc::new(AtomicI64::new(TODAY));
    let now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.load(Relaxed))
    };
    let files = authority.install(directory.path(), 2030);
    let tls = Tls::from_files(files, now).unwrap();
    // Five years later everything has expired, and the newer one is the better one.
    clock.store(TODAY + 5 * 366 * 86_400, Relaxed);
    authority.install(directory.path(), 2031);
    assert_eq!(tls.reload().unwrap(), Reload::Replaced);
}

#[test]
fn missing_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let error = Tls::from_files(files.clone(), Arc::new(|| TODAY)).unwrap_err();
    assert!(error.to_string().contains("certificate.pem"), "{error}");
}

/// Certificates change all the time while clients come and go and one stays: no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloading_under_load_drops_no_connection() {
    const CLIENTS: usize = 4;
    const RELOADS: u64 = 12;
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = tls(authority.install(directory.path(), 2030));
    let server = Arc::new(Server::start(hello(), Limits::default(), Some(tls.clone())).await);
    let over = Arc::new(AtomicBool::new(false));
    let mut standing = server
        .connect_tls(&authority.client(&[&TLS13]))
        .await
        .unwrap();
    let clients = (0..CLIENTS).map(|_| {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        let client = authority.client(&[&TLS13]);
        tokio::spawn(async move {
            let mut answers = 0;
            while !over.load(Relaxed) {
                let mut stream = server.connect_tls(&client).await.unwrap();
                let answer = exchange(&mut stream, REQUEST).await;
                assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
                answers += 1;
            }
            answers
        })
    });
    let clients: Vec<_> = clients.collect();
    for reload in 1..=RELOADS {
        let before = server.tally.read().accepted;
        authority.install(directory.path(), 2030);
        assert_eq!(tls.reload().unwrap(), Reload::Replaced);
        assert_eq!(tls.status().reloads, reload);
        until(|| server.tally.read().accepted > before + 2).await;
    }
    over.store(true, Relaxed);
    let mut answers = 0;
    for client in clients {
        answers += within(client).await.unwrap();
    }
    assert!(answers >= RELOADS, "{answers}");
    let answer = exchange(&mut standing, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let connections = Tally::read(&server.tally);
    assert_eq!(connections.handshake_failures, 0);
}

/// Whether a handshake that offers these protocols succeeds; nobody looks at the certificate's chain.
async fn shakes_hands(
    server: &Server,
    client: &tokio_rustls::TlsConnector,
    offered: &[&[u8]],
) -> bool {
    let mut config = client.config().as_ref().clone();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let client = tokio_rustls::TlsConnector::from(Arc::new(config));
    server.connect_tls(&client).await.is_ok()
}

#[tokio::test]
async fn without_a_certificate_only_challenges_are_answered() {
    let (acme, http): (&[&[u8]], &[&[u8]]) = (&[b"acme-tls/1"], &[b"http/1.1"]);
    let both: &[&[u8]] = &[b"acme-tls/1", b"http/1.1"];
    let authority = Authority::new();
    let client = authority.client(&[&TLS12, &TLS13]);
    let tls = Tls::handed_in(Arc::new(|| TODAY)).unwrap();
    let server = Server::start(hello(), Limits::default(), Some(tls.clone())).await;
    assert!(!shakes_hands(&server, &client, http).await);
    assert!(!shakes_hands(&server, &client, acme).await);
    let (certificate, key) = authority.issue_der(2030);
    let answer = tls.answer_challenge("LOCALHOST", certificate, key).unwrap();
    assert!(shakes_hands(&server, &client, acme).await);
    // Who offers something else too is no ACME server, and there is no certificate yet.
    assert!(!shakes_hands(&server, &client, both).await);
    assert!(!shakes_hands(&server, &client, &[]).await);
    let (certificate, key) = authority.issue_der(2030);
    tls.install(vec![certificate], key).unwrap();
    for offered in [http, both, &[], acme] {
        assert!(shakes_hands(&server, &client, offered).await, "{offered:?}");
    }
    drop(answer);
    assert!(!shakes_hands(&server, &client, acme).await);
    assert!(shakes_hands(&server, &client, http).await);
    let status = tls.status();
    assert_eq!((status.reloads, status.challenges_answered), (0, 2));
    assert_eq!(tls.reload().unwrap(), Reload::Unchanged);
}

#[test]
fn a_certificate_that_is_handed_in_must_be_of_its_key() {
    let authority = Authority::new();
    let tls = Tls::handed_in(Arc::new(|| TODAY)).unwrap();
    let (certificate, key) = authority.issue_der(2030);
    tls.install(vec![certificate.clone()], key).unwrap();
    let old = tls.status();
    let (_, other) = authority.issue_der(2031);
    let mismatch = tls
        .install(vec![certificate], other.clone_key())
        .unwrap_err();
    assert!(matches!(mismatch, TlsError::Mismatch { .. }), "{mismatch}");
    let nothing = tls.install(Vec::new(), other).unwrap_err();
    assert!(matches!(nothing, TlsError::Unreadable), "{nothing}");
    assert_eq!(tls.status(), old);
}
