//! The runtime of AWS Lambda, as far as a function sees it: a server that hands out events and takes
//! answers, one event at a time, and the function's process beside it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::running::{Outcome, Running};

const MOST_BODY_BYTES: u64 = 64 << 20;
/// How long an event waits for a process that starts.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What an invocation came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Invoked {
    /// The function's answer.
    Answer(Value),
    /// The function said that it failed.
    Failed(Value),
    /// Its time was over; the real runtime would kill the process now.
    TimedOut,
}

impl Invoked {
    /// The answer; panics on anything else.
    #[track_caller]
    pub fn answer(self) -> Value {
        match self {
            Invoked::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

/// A function with the runtime that it was started by.
#[derive(Debug)]
pub struct Function {
    runtime: Arc<Runtime>,
    running: Running,
}

impl Function {
    /// Starts the process, which is told where its runtime is.
    pub fn start(command: &mut Command) -> Function {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Arc::<Runtime>::default();
        let shared = Arc::clone(&runtime);
        thread::spawn(move || accept(&listener, &shared));
        command.env("AWS_LAMBDA_RUNTIME_API", address.to_string());
        Function {
            runtime,
            running: Running::start(command),
        }
    }

    /// Hands it an event and waits for its answer, so long at most; the function knows the limit.
    pub fn invoke(&self, event: &Value, limit: Duration) -> Invoked {
        self.offer(event, limit);
        self.collect(limit)
    }

    /// Hands it an event without waiting for the answer, and returns when it has it.
    pub fn offer(&self, event: &Value, limit: Duration) {
        let mut state = self.runtime.state.lock().unwrap();
        state.asked += 1;
        state.answer = None;
        state.taken = false;
        let bytes = serde_json::to_vec(event).unwrap();
        state.event = Some((bytes, limit));
        self.runtime.changed.notify_all();
        let until = Instant::now() + START_LIMIT;
        while !state.taken && state.init_error.is_none() && Instant::now() < until {
            let waited = self
                .runtime
                .changed
                .wait_timeout(state, Duration::from_millis(50));
            state = waited.unwrap().0;
        }
        assert!(
            state.taken,
            "{:?} {}",
            state.init_error,
            self.running.stderr()
        );
    }

    /// The answer to what was offered last.
    pub fn collect(&self, limit: Duration) -> Invoked {
        let until = Instant::now() + limit;
        let mut state = self.runtime.state.lock().unwrap();
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Invoked::TimedOut;
            }
            state = self.runtime.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Why it could not start, once it has said so.
    pub fn cannot_start(self) -> (Value, Outcome) {
        let outcome = self.running.wait();
        let mut state = self.runtime.state.lock().unwrap();
        let error = state.init_error.take();
        (
            error.unwrap_or_else(|| panic!("it said nothing: {}", outcome.stderr)),
            outcome,
        )
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Kills it, as the runtime does when time is over.
    pub fn kill(self) -> Outcome {
        self.running.kill()
    }
}

#[derive(Debug, Default)]
struct Runtime {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the event that is out.
    asked: u64,
    event: Option<(Vec<u8>, Duration)>,
    taken: bool,
    answer: Option<Invoked>,
    init_error: Option<Value>,
}

fn accept(listener: &TcpListener, runtime: &Arc<Runtime>) {
    while let Ok((stream, _peer)) = listener.accept() {
        let runtime = Arc::clone(runtime);
        // An error here is a process that has ended.
        thread::spawn(move || drop(serve(stream, &runtime)));
    }
}

fn serve(stream: TcpStream, runtime: &Runtime) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read_request(&mut reader)? {
        let answer = match path.strip_prefix("/2018-06-01/runtime/") {
            Some("invocation/next") => runtime.next(),
            Some("init/error") => {
                runtime.state.lock().unwrap().init_error = Some(json(&body));
                runtime.changed.notify_all();
                accepted()
            }
            Some(rest) => runtime.answered(rest, &body),
            None => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        };
        writer.write_all(&answer)?;
    }
    Ok(())
}

fn accepted() -> Vec<u8> {
    b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec()
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut lines = reader.by_ref().take(64 << 10).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(length <= MOST_BODY_BYTES, "{length} bytes of an answer");
    let mut body = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut body)?;
    Ok(Some((path, body)))
}

impl Runtime {
    /// Waits for an event.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some((event, limit)) = state.event.take() {
                state.taken = true;
                self.changed.notify_all();
                #[expect(clippy::disallowed_methods, reason = "the function has the same clock")]
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let deadline = (now + limit).as_millis();
                let mut answer = format!(
                    "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {}\r\n\
                     lambda-runtime-deadline-ms: {deadline}\r\ncontent-length: {}\r\n\r\n",
                    state.asked,
                    event.len()
                )
                .into_bytes();
                answer.extend(event);
                return answer;
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    /// `invocation/<id>/response` or `.../error`.
    fn answered(&self, rest: &str, body: &[u8]) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        let asked = state.asked;
        let end = rest.strip_prefix(&format!("invocation/{asked}/"));
        state.answer = Some(match end {
            Some("response") => Invoked::Answer(json(body)),
            Some("error") => Invoked::Failed(json(body)),
            // To an event that was given up.
            _ => return b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec(),
        });
        self.changed.notify_all();
        accepted()
    }
}
