//! A child process: its output captured, ended by its id, never left behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::{PATIENCE, within};

/// How a program ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote as data.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: String,
}

impl Outcome {
    /// Its data as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Itself, if the exit code was 0; panics with what it said otherwise.
    #[track_caller]
    pub fn success(self) -> Outcome {
        assert_eq!(self.code, Some(0), "it said: {}", self.stderr);
        self
    }
}

/// Bytes that a thread reads from a pipe as they come.
#[derive(Debug)]
struct Capture {
    state: Arc<(Mutex<Captured>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    ended: bool,
}

impl Capture {
    fn of(pipe: impl Read + Send + 'static) -> Capture {
        let state = Arc::new((Mutex::new(Captured::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let taken = match pipe.fill_buf() {
                    Ok([]) | Err(_) => break,
                    Ok(bytes) => {
                        let mut captured = lock(&shared.0);
                        captured.bytes.extend_from_slice(bytes);
                        bytes.len()
                    }
                };
                pipe.consume(taken);
                shared.1.notify_all();
            }
            lock(&shared.0).ended = true;
            shared.1.notify_all();
        });
        Capture {
            state,
            thread: Some(thread),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        lock(&self.state.0).bytes.clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The text so far, once a whole line of it passes `wanted`; `None` at the end of the output or
    /// of our patience.
    fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let start = Instant::now();
        let mut captured = lock(&self.state.0);
        loop {
            let text = String::from_utf8_lossy(&captured.bytes).into_owned();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if whole.lines().any(&wanted) {
                return Some(text);
            }
            let left = PATIENCE.checked_sub(start.elapsed())?;
            if captured.ended {
                return None;
            }
            captured = self
                .state
                .1
                .wait_timeout(captured, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn lock(state: &Mutex<Captured>) -> std::sync::MutexGuard<'_, Captured> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that runs. Dropping it kills it; what it said is shown if the test is failing.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Capture,
    stderr: Capture,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts the program.
    #[track_caller]
    pub fn start(command: &mut Command) -> Running {
        Running::spawn(command.stdin(Stdio::null()))
    }

    /// Starts the program with `input` on its standard input.
    #[track_caller]
    pub fn start_with_input(command: &mut Command, input: Vec<u8>) -> Running {
        let mut running = Running::spawn(command.stdin(Stdio::piped()));
        let mut pipe = running.child.stdin.take().unwrap();
        // The program may end before it has read everything.
        drop(thread::spawn(move || pipe.write_all(&input)));
        running
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Running {
            stdout: Capture::of(child.stdout.take().unwrap()),
            stderr: Capture::of(child.stderr.take().unwrap()),
            child,
            ended: None,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Everything it has said, once a line of it passes `wanted`.
    #[track_caller]
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        match self.stderr.wait_for_line(wanted) {
            Some(text) => text,
            None => panic!("the line never came: {}", self.stderr()),
        }
    }

    /// As [`Running::wait_for_line`]; `None` when it ended without such a line.
    pub fn look_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.stderr.wait_for_line(wanted)
    }

    /// Whether it ends by itself within `limit`.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let child = &mut self.child;
        self.ended = self
            .ended
            .or_else(|| within(limit, &mut || child.try_wait().unwrap()));
        self.ended.is_some()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        assert!(
            self.ends_within(PATIENCE),
            "it does not end: {}",
            self.stderr()
        );
        self.outcome()
    }

    /// Asks it to end, and waits.
    #[track_caller]
    pub fn terminate(self) -> Outcome {
        send(self.id(), Signal::TERM);
        self.wait()
    }

    /// Ends it with `kill -9`; its children must be gone afterwards too.
    #[track_caller]
    pub fn kill(mut self) -> Outcome {
        assert!(self.end_now(), "a child outlives its server");
        self.outcome()
    }

    /// The processes that it has started and that still run.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.id())
    }

    fn outcome(&mut self) -> Outcome {
        self.stdout.finish();
        self.stderr.finish();
        Outcome {
            code: self.ended.and_then(|status| status.code()),
            stdout: self.stdout.bytes(),
            stderr: self.stderr(),
        }
    }

    /// True if no child of it is left.
    fn end_now(&mut self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let children = self.children();
        // It may have ended by itself a moment ago.
        drop(self.child.kill());
        self.ended = self.child.wait().ok();
        let gone = || (!children.iter().any(|child| runs(*child))).then_some(());
        within(PATIENCE, &mut { gone }).is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("process {} said:\n{}", self.id(), self.stderr());
        }
        self.end_now();
    }
}

/// Sends a signal to a process of this test.
#[track_caller]
pub(crate) fn send(id: u32, signal: Signal) {
    try_send(id, signal).unwrap();
}

/// Sends a signal to a process of this test that may be gone.
pub(crate) fn try_send(id: u32, signal: Signal) -> rustix::io::Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
    kill_process(id, signal)
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| stat(*id).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether the process is there and not merely waiting to be buried.
pub(crate) fn runs(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// State and parent of a process.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
