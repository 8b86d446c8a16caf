//! Memory of a server: bounded under too much.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use postlake_testkit::{Place, Server, http, until};

use crate::PROGRAM;

const MIB: u64 = 1 << 20;
/// The largest body that is taken, by default.
const LIMIT: u64 = 32 * MIB;

/// Memory of the process that is not shared and not a file's, now.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

fn serve(place: &Place) -> Server {
    let server = place.serve(&["--role", "receive"]);
    server.accepts_body("/webhooks/events", b"[]");
    server
}

fn begin(to: SocketAddr, header: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!("POST /webhooks/events HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn status_line(stream: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn a_body_that_is_announced_too_large_costs_nothing() {
    const CONNECTIONS: u64 = 16;
    let place = Place::local(PROGRAM);
    let server = serve(&place);
    let before = memory(&server);
    let mut refused = Vec::new();
    for _ in 0..CONNECTIONS {
        for length in ["104857600", "10737418240"] {
            let mut stream = begin(server.ingest(), &format!("Content-Length: {length}"));
            assert_eq!(status_line(&mut stream), "HTTP/1.1 413");
            refused.push(stream);
        }
    }
    let more = memory(&server).saturating_sub(before);
    assert!(more < 2 * MIB * CONNECTIONS, "{more}");
    server.stop();
}

/// Nobody knows the length of a body in chunks before its end: what has come is held, up to the limit,
/// within the bytes in flight, and is no longer counted after the answer.
#[test]
fn an_endless_body_is_cut_at_the_limit() {
    let place = Place::local(PROGRAM);
    let server = serve(&place);
    let mut stream = begin(server.ingest(), "Transfer-Encoding: chunked");
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; MIB as usize], b"\r\n"].concat();
    let mut taken = 0;
    stream.set_nonblocking(true).unwrap();
    let answered = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
    until("it is answered", || {
        // What is not taken at once is written on by the next round.
        while let Ok(bytes @ 1..) = stream.write(&chunk[taken as usize % chunk.len()..]) {
            taken += bytes as u64;
        }
        answered(&stream).then_some(())
    });
    stream.set_nonblocking(false).unwrap();
    assert_eq!(status_line(&mut stream), "HTTP/1.1 413");
    // Besides the body there are the buffers of two sockets, and what is read to the end of a goodbye.
    assert!((LIMIT..LIMIT + 24 * MIB).contains(&taken), "{taken}");
    let status = http::get(server.admin(), "/api/v1/status").unwrap().json();
    assert_eq!(status["ingest"]["inflight_bytes"], 0, "{status}");
    server.stop();
}

/// What the C library may take is said before the program begins, unless somebody has said it.
#[test]
fn heaps_are_few_in_the_process_that_was_started() {
    let variable = |server: &Server| {
        let environment = fs::read(format!("/proc/{}/environ", server.id())).unwrap();
        let environment = String::from_utf8(environment).unwrap();
        let mut lines = environment.split('\0').map(str::to_owned);
        lines.find(|line| line.starts_with("MALLOC_ARENA_MAX="))
    };
    let name = |server: &Server| fs::read_to_string(format!("/proc/{}/comm", server.id())).unwrap();
    let place = Place::local(PROGRAM);
    for (said, expected) in [(None, "2"), (Some("7"), "7")] {
        let mut command = place.command_here(&["serve", "--role", "receive"]);
        command.args(["--ingest-listen", "127.0.0.1:0"]);
        match said {
            Some(number) => command.env("MALLOC_ARENA_MAX", number),
            None => command.env_remove("MALLOC_ARENA_MAX"),
        };
        let server = Server::start(&mut command);
        let found = variable(&server).unwrap();
        assert_eq!(found, format!("MALLOC_ARENA_MAX={expected}"));
        assert_eq!(name(&server), "postlake\n");
        server.stop();
    }
}
