//! A collector of traces that does what the test says and keeps what it got.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use flate2::read::GzDecoder;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Takes,
    /// With this status, and with `Retry-After` if it says so.
    Refuses(u16, Option<u32>),
    /// Not at all.
    Silent,
}

/// What was sent to it.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) line: String,
    /// In lower case.
    pub(super) head: String,
    /// Unpacked.
    pub(super) body: Vec<u8>,
    pub(super) taken: bool,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    changed: Condvar,
    got: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
}

#[derive(Debug)]
pub(super) struct Collector {
    pub(super) url: String,
    state: Arc<State>,
}

impl Collector {
    pub(super) fn start(mood: Mood) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            mood: Mutex::new(mood),
            changed: Condvar::new(),
            got: Mutex::default(),
            connections: Mutex::new(0),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let state = Arc::clone(&shared);
                *state.connections.lock().unwrap() += 1;
                std::thread::spawn(move || converse(connection.unwrap(), &state));
            }
        });
        Collector { url, state }
    }

    pub(super) fn is_now(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
        self.state.changed.notify_all();
    }

    pub(super) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    pub(super) fn got(&self) -> Vec<Received> {
        self.state.got.lock().unwrap().clone()
    }

    /// The bodies that it has taken.
    pub(super) fn taken(&self) -> Vec<Vec<u8>> {
        let got = self.got().into_iter().filter(|received| received.taken);
        got.map(|received| received.body).collect()
    }
}

fn converse(connection: TcpStream, state: &State) {
    let mut answers = connection.try_clone().unwrap();
    let mut requests = BufReader::new(connection);
    while let Some(mut received) = read(&mut requests) {
        let mood = *state.mood.lock().unwrap();
        received.taken = mood == Mood::Takes;
        state.got.lock().unwrap().push(received);
        let answer = match mood {
            Mood::Takes => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Mood::Refuses(status, None) => {
                format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")
            }
            Mood::Refuses(status, Some(secs)) => {
                format!("HTTP/1.1 {status} No\r\nretry-after: {secs}\r\ncontent-length: 0\r\n\r\n")
            }
            Mood::Silent => {
                let still = state.mood.lock().unwrap();
                let silent = |mood: &mut Mood| *mood == Mood::Silent;
                return drop(state.changed.wait_while(still, silent).unwrap());
            }
        };
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own client writes it")]
fn read(requests: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    requests
        .read_line(&mut line)
        .ok()
        .filter(|bytes| *bytes > 0)?;
    let mut head = String::new();
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok()?;
        head.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.trim().parse().ok()?];
    requests.read_exact(&mut body).ok()?;
    if head.contains("content-encoding: gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        body = plain;
    }
    Some(Received {
        line: line.trim().to_owned(),
        head,
        body,
        taken: false,
    })
}
