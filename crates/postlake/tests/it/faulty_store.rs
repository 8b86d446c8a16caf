//! The server in front of an S3 that fails on command: what is answered, in time, and what is kept.

use std::time::{Duration, Instant};

use postlake_raw::SourceKind;
use postlake_sparkpost::Request;
use postlake_testkit::faulty_s3::{CredentialFault, Faults, FaultyS3};
use postlake_testkit::http::{self, Answer};
use postlake_testkit::{Place, Server, until};
use rustix::process::Signal;

use crate::PROGRAM;

/// The sender gives up after this.
const SENDERS_PATIENCE: Duration = Duration::from_secs(10);

fn serve(place: &Place, s3: &FaultyS3, roles: &str) -> Server {
    let mut command = place.command(&["serve", "--role", roles]);
    command
        .args(["--ingest-listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0"])
        .args(["--data", "s3://postlake/data"])
        .env("AWS_ENDPOINT_URL", s3.endpoint())
        .env("AWS_ACCESS_KEY_ID", "nobody")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    Server::start(&mut command)
}

/// Posts and demands an answer before the sender gives up.
fn post(server: &Server, path: &str, body: &[u8]) -> Answer {
    let start = Instant::now();
    let json = [("content-type", "application/json")];
    let answer = http::exchange(server.ingest(), "POST", path, &json, body).unwrap();
    assert!(start.elapsed() < SENDERS_PATIENCE, "{:?}", start.elapsed());
    answer
}

/// The bodies in the store that came by a webhook.
fn landed(s3: &FaultyS3, source: SourceKind) -> Vec<Vec<u8>> {
    let objects = s3.objects();
    let segments = objects
        .iter()
        .filter(|(name, _)| name.ends_with(".seg.zst"));
    segments
        .flat_map(|(_, bytes)| postlake_raw::segment::decode(None, bytes).unwrap().batches)
        .filter(|batch| batch.envelope.source == source)
        .map(|batch| batch.body.to_vec())
        .collect()
}

fn check_outlives(faults: Faults) {
    let s3 = FaultyS3::start(1);
    let place = Place::local(PROGRAM);
    let server = serve(&place, &s3, "receive");
    assert_eq!(post(&server, "/webhooks/events", b"[1]").status, 200);

    s3.set(faults.clone());
    let address = server.ingest();
    let alert = std::thread::spawn(move || {
        http::post(address, &Request::alerts_body(b"[2]".as_slice().into())).unwrap()
    });
    let refused = post(&server, "/webhooks/events", b"[3]");
    assert_eq!(refused.status, 503, "{faults:?}");
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(alert.join().unwrap().status, 503);

    s3.set(Faults::default());
    until("events are taken again", || {
        (post(&server, "/webhooks/events", b"[4]").status == 200).then_some(())
    });
    // Nobody sends an alert again: it was kept.
    until("the alert is landed", || {
        landed(&s3, SourceKind::Alert)
            .contains(&b"[2]".to_vec())
            .then_some(())
    });
    let events = landed(&s3, SourceKind::Event);
    assert!(events.contains(&b"[1]".to_vec()) && events.contains(&b"[4]".to_vec()));
    server.kill();
}

#[test]
fn s3_that_never_answers_is_503_in_time_and_everything_goes_on_by_itself() {
    check_outlives(Faults::silent());
}

#[test]
fn s3_with_expired_credentials_is_503_in_time_and_everything_goes_on_by_itself() {
    check_outlives(Faults {
        credentials: Some(CredentialFault::Expired),
        ..Faults::default()
    });
}

/// A server that is not there is worse than one that answers 503, and a store may hang for long.
#[test]
fn s3_that_never_answers_does_not_hold_up_a_start() {
    let s3 = FaultyS3::start(1);
    s3.set(Faults::silent());
    let place = Place::local(PROGRAM);
    let start = Instant::now();
    let server = serve(&place, &s3, "receive,load");
    // The promise is 2 s; what is beyond is the machine's, which may be busy. S3's client waits for 30.
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(post(&server, "/webhooks/events", b"[1]").status, 503);
    s3.set(Faults::default());
    until("events are taken", || {
        (post(&server, "/webhooks/events", b"[2]").status == 200).then_some(())
    });
    let said = server.kill().stderr;
    for words in [
        "the store at s3://postlake/data does not answer; until it does, requests are refused with 503",
        "the store at s3://postlake/data does not answer: whether a newer release",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

fn check_refuses_to_start(place: &Place) {
    let ended = place.run(&[
        "serve",
        "--role",
        "receive",
        "--ingest-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    let says = ended.stderr.contains("write to the raw store at s3://");
    assert!(says, "{}", ended.stderr);
}

#[test]
fn s3_that_lets_nobody_in_or_is_not_there_ends_a_start_with_69() {
    let s3 = FaultyS3::start(1);
    s3.set(Faults {
        credentials: Some(CredentialFault::Expired),
        ..Faults::default()
    });
    let place = Place::on_faulty_s3(PROGRAM, &s3);
    check_refuses_to_start(&place);
    drop(s3);
    check_refuses_to_start(&place);
}

/// Request, landing and loader all hang when the order to stop comes. One after the other they would
/// take longer than anybody waits for the end of a process.
#[test]
fn a_drain_has_one_end_for_all_its_parts() {
    let s3 = FaultyS3::start(1);
    let place = Place::local(PROGRAM);
    let server = serve(&place, &s3, "receive,load");
    assert_eq!(post(&server, "/webhooks/events", b"[1]").status, 200);
    s3.set(Faults::silent());
    let address = server.ingest();
    let waiting = std::thread::spawn(move || {
        http::exchange(address, "POST", "/webhooks/events", &[], b"[2]").unwrap()
    });
    until("the request waits", || {
        let status = http::get(server.admin(), "/api/v1/status").ok()?.json();
        (status["ingest"]["inflight_bytes"].as_u64()? > 0).then_some(())
    });
    server.signal(Signal::TERM);
    let asked = Instant::now();
    until("it says that it is not ready", || {
        (http::get(address, "/readyz").ok()?.status == 503).then_some(())
    });
    assert_eq!(http::get(address, "/livez").unwrap().status, 200);
    let ended = server.wait();
    let took = asked.elapsed();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(waiting.join().unwrap().status, 503);
    // The promise is 10 s; what is beyond is the machine's, which may be busy.
    assert!(took < Duration::from_secs(13), "{took:?}");
}
