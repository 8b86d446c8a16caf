//! Other processes, measured from outside through `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::program::{outcome, show};

/// Time between two looks at a process that is measured to its end.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Time that a server has until it listens.
const MAX_START: Duration = Duration::from_secs(30);
/// Ticks a second in `/proc/PID/stat`, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Most bytes of a server's first words.
const MAX_GREETING_BYTES: u64 = 64 * 1024;

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    // Kept open, or the server's later words would fail.
    _stdout: Option<ChildStdout>,
    _stderr: Option<BufReader<std::io::Take<ChildStderr>>>,
}

impl Server {
    /// Starts a server and reads from its standard error, or its standard output, the first URL that
    /// it prints there. Its standard input stays open as long as this.
    pub(crate) fn start(command: &mut Command, url_on_stderr: bool) -> Result<Self> {
        let line = show(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if url_on_stderr {
                Stdio::piped()
            } else {
                Stdio::inherit()
            })
            .spawn()
            .with_context(|| format!("start {line}"))?;
        let mut stdout = child.stdout.take();
        let mut stderr = child
            .stderr
            .take()
            .map(|stderr| BufReader::new(stderr.take(MAX_GREETING_BYTES)));
        let address = match (&mut stderr, &mut stdout) {
            (Some(stderr), _) => address_in(stderr),
            (None, Some(stdout)) => {
                address_in(&mut BufReader::new(stdout.take(MAX_GREETING_BYTES)))
            }
            (None, None) => None,
        };
        let Some(address) = address else {
            child
                .kill()
                .and_then(|()| child.wait())
                .context("end a server that did not start")?;
            bail!("{line}: ended without saying where it listens");
        };
        Ok(Self {
            child,
            address,
            _stdout: stdout,
            _stderr: stderr,
        })
    }

    /// Starts a server that listens where it was told to, and waits until it does.
    pub(crate) fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let line = show(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {line}"))?;
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().context("look at a server")?.is_some();
            if ended || started.elapsed() > MAX_START {
                if !ended {
                    child
                        .kill()
                        .and_then(|()| child.wait())
                        .context("end a server that did not start")?;
                }
                bail!("{line}: does not listen on {address}");
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Self {
            child,
            address: address.to_string(),
            _stdout: None,
            _stderr: None,
        })
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let (_, seconds) = stat(self.child.id())?;
        Ok(seconds)
    }

    /// The memory that it holds now, in MiB.
    pub(crate) fn rss_mib(&self) -> Result<f64> {
        memory_mib(self.child.id(), "VmRSS:").context("read a server's memory")
    }

    /// How many files, sockets and the like it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.child.id());
        Ok(fs::read_dir(folder)
            .context("count a server's descriptors")?
            .count())
    }

    /// The most memory that it ever held, in MiB.
    pub(crate) fn peak_rss_mib(&self) -> Result<f64> {
        peak_rss_mib(self.child.id()).context("read a server's memory")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a server cannot be ended: {error}");
        }
    }
}

fn address_in(lines: &mut impl std::io::BufRead) -> Option<String> {
    lines.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line
            .split_once("http://")
            .or_else(|| line.split_once("https://"))?;
        let end = rest.find(['/', ' ']).unwrap_or(rest.len());
        rest.get(..end).map(str::to_owned)
    })
}

/// What a program that ran to its end took.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mib: f64,
    pub(crate) stdout: String,
}

/// Runs a program to its end. On `Ok` it ended with success.
pub(crate) fn to_end(command: &mut Command) -> Result<Taken> {
    let line = show(command);
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {line}"))?;
    let mut peak = 0.0_f64;
    // A process that has ended keeps its times until it is waited for, but not its memory.
    let cpu_seconds = loop {
        let (ended, cpu_seconds) = stat(child.id())?;
        if ended {
            break cpu_seconds;
        }
        peak = peak.max(peak_rss_mib(child.id()).unwrap_or(0.0));
        thread::sleep(LOOK_EVERY);
    };
    let seconds = started.elapsed().as_secs_f64();
    let output = wait(&mut child).with_context(|| format!("wait for {line}"))?;
    let stdout = outcome(&line, &output)?;
    Ok(Taken {
        seconds,
        cpu_seconds,
        peak_rss_mib: peak,
        stdout,
    })
}

fn wait(child: &mut Child) -> Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let read = |source: Option<&mut dyn std::io::Read>, into: &mut Vec<u8>| -> Result<()> {
        if let Some(source) = source {
            #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
            source.take(MAX_GREETING_BYTES).read_to_end(into)?;
        }
        Ok(())
    };
    read(child.stdout.as_mut().map(|pipe| pipe as _), &mut stdout)?;
    read(child.stderr.as_mut().map(|pipe| pipe as _), &mut stderr)?;
    Ok(Output {
        status: child.wait()?,
        stdout,
        stderr,
    })
}

/// The line of JSON that a part of `postlake-bench` or a script prints.
pub(crate) fn answer(command: &mut Command) -> Result<Value> {
    let line = show(command);
    let text = crate::program::quiet(command)?;
    serde_json::from_str(text.trim()).with_context(|| format!("read the answer of {line}"))
}

/// The number in such a line that a JSON pointer leads to.
pub(crate) fn number(answer: &Value, pointer: &str) -> Result<f64> {
    let found = answer.pointer(pointer).and_then(Value::as_f64);
    found.with_context(|| format!("{pointer} is missing"))
}

/// Whether a process has ended, and its user and system time in seconds.
fn stat(id: u32) -> Result<(bool, f64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).context("read a process's times")?;
    parse_stat(&text).context("understand a process's times")
}

fn parse_stat(text: &str) -> Option<(bool, f64)> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let ended = fields.first()?.starts_with(['Z', 'X']);
    Some((ended, (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

fn peak_rss_mib(id: u32) -> Option<f64> {
    memory_mib(id, "VmHWM:")
}

fn memory_mib(id: u32, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(parse_stat(text), Some((false, 3.0)));
        assert_eq!(parse_stat(&text.replace(") S", ") Z")), Some((true, 3.0)));
        assert_eq!(parse_stat("nothing"), None);
    }

    #[test]
    fn the_first_url_is_the_address() {
        let mut lines = "ready\n  webhooks   http://127.0.0.1:81/webhooks/events\n".as_bytes();
        assert_eq!(address_in(&mut lines).unwrap(), "127.0.0.1:81");
        assert_eq!(
            address_in(&mut "http://127.0.0.1:82 bucket\n".as_bytes()).unwrap(),
            "127.0.0.1:82"
        );
        assert_eq!(
            address_in(&mut "https://127.0.0.1:83/\n".as_bytes()).unwrap(),
            "127.0.0.1:83"
        );
        assert_eq!(address_in(&mut "nothing\n".as_bytes()), None);
    }

    #[test]
    fn a_program_is_measured_to_its_end() {
        let taken = to_end(Command::new("sh").args(["-c", "echo seen"])).unwrap();
        assert_eq!(taken.stdout, "seen\n");
        assert!(taken.seconds > 0.0);
        assert!(to_end(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }
}
