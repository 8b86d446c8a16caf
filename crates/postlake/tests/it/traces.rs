//! OpenTelemetry: in builds that have it what happens is sent, in others it is said that it is not.
//!
//! `cargo nextest run --workspace --features postlake/otel -E 'test(traces::)'` builds the first.

use postlake_testkit::{Place, Server};

use crate::PROGRAM;
use crate::traffic::one_event;

fn serve(place: &Place, collector: &str) -> Server {
    let mut command = place.command_here(&["serve", "--role", "receive,load"]);
    command.args(["--ingest-listen", "127.0.0.1:0"]);
    Server::start(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector))
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_so() {
    let place = Place::local(PROGRAM);
    let server = serve(&place, "http://127.0.0.1:9");
    server.accepts_body("/webhooks/events", &one_event("traces"));
    let said = server.stop().stderr;
    assert!(said.contains("build with --features otel"), "{said}");
}

#[cfg(feature = "otel")]
#[test]
fn requests_landings_passes_and_deliveries_are_sent_without_their_content() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use postlake_testkit::until;

    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&got);
    std::thread::spawn(move || {
        for connection in collector.incoming() {
            let mut connection = connection.unwrap();
            let mut piece = [0; 1 << 16];
            // Answered at once and closed: what is looked at is what came, not how it was framed.
            while let Ok(bytes @ 1..) = connection.read(&mut piece) {
                sent.lock().unwrap().extend_from_slice(&piece[..bytes]);
                let ok = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                if bytes < piece.len() && connection.write_all(ok).is_err() {
                    break;
                }
            }
        }
    });
    let place = Place::local(PROGRAM);
    let server = serve(&place, &url);
    let body = one_event("traced-event-id");
    server.accepts_body("/webhooks/events", &body);
    server.stop();
    let has = |text: &str| {
        let got = got.lock().unwrap();
        got.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    until("all four kinds of spans are there", || {
        let kinds = ["receive", "land", "pass", "deliver"];
        (has("POST /v1/traces") && kinds.into_iter().all(has)).then_some(())
    });
    assert!(!has("traced-event-id"));
}
