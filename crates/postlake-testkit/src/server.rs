//! A running `postlake serve`, known by the addresses that it says it listens on.

use std::net::SocketAddr;
use std::process::Command;

use postlake_sparkpost::Request;
use rustix::process::Signal;
use serde_json::Value;

use crate::deadline::until;
use crate::http::{self, Answer};
use crate::running::{Outcome, Running, runs, send, try_send};

/// A server that is ready.
#[derive(Debug)]
pub struct Server {
    running: Running,
    ingest: Option<SocketAddr>,
    read: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Server {
    /// Starts it and waits until it says that it is ready.
    #[track_caller]
    pub fn start(command: &mut Command) -> Server {
        Server::ready(Running::start(command))
    }

    /// A server that was started already, once it says that it is ready.
    #[track_caller]
    pub fn ready(mut running: Running) -> Server {
        let said = running.wait_for_line(is_last);
        Server::of(running, &said)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Starts it and waits until it is ready; how it ended if it ends before that. Behind a tracer one
    /// that neither gets ready nor ends is killed, and the tracer ends with it.
    ///
    /// # Errors
    /// When it ended.
    #[track_caller]
    pub fn try_start(command: &mut Command) -> Result<Server, Outcome> {
        let mut running = Running::start(command);
        match running.look_for_line(is_last) {
            Some(said) => Ok(Server::of(running, &said)),
            None => {
                for child in running.children() {
                    // An error says that it has ended by itself a moment ago.
                    let _gone = try_send(child, Signal::KILL);
                }
                Err(running.wait())
            }
        }
    }

    fn of(running: Running, said: &str) -> Server {
        Server {
            ingest: address(said, "webhooks"),
            read: address(said, "page"),
            admin: address(said, "admin"),
            running,
        }
    }

    /// Where it takes webhooks.
    #[track_caller]
    pub fn ingest(&self) -> SocketAddr {
        self.ingest.expect("the server has the receive role")
    }

    /// Where API and page are.
    #[track_caller]
    pub fn read(&self) -> SocketAddr {
        self.read.expect("the server has the read role")
    }

    /// Where metrics, health and status are.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the server has said its admin listener")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// Posts and expects the one answer there is: 200 and `{}`.
    #[track_caller]
    pub fn accepts(&self, request: &Request) -> Answer {
        let answer = http::post(self.ingest(), request).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        answer
    }

    /// Posts a body to a path, without a batch id.
    #[track_caller]
    pub fn accepts_body(&self, path: &str, body: &[u8]) -> Answer {
        let json = [("content-type", "application/json")];
        let answer = http::exchange(self.ingest(), "POST", path, &json, body).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        answer
    }

    /// An answer of the API.
    #[track_caller]
    pub fn api(&self, path: &str) -> Value {
        let answer = http::get(self.read(), path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits until the summary counts that many batches; returns the summary.
    #[track_caller]
    pub fn wait_loaded(&self, batches: u64) -> Value {
        until("every batch is loaded", || {
            let answer = http::get(self.read(), "/api/v1/summary").ok()?;
            let summary = (answer.status == 200).then(|| answer.json())?;
            let loaded = summary["totals"]["batches"].as_u64()?;
            (loaded >= batches && summary["books"]["balanced"] == true).then_some(summary)
        })
    }

    /// The processes of its roles.
    pub fn children(&self) -> Vec<u32> {
        self.running.children()
    }

    /// Kills one of its processes.
    #[track_caller]
    pub fn kill_child(&self, id: u32) {
        assert!(self.children().contains(&id));
        send(id, Signal::KILL);
    }

    /// Drains it. It must end well, and must not have logged an error.
    #[track_caller]
    pub fn stop(self) -> Outcome {
        let outcome = self.running.terminate().success();
        let complaint = outcome
            .stderr
            .lines()
            .find(|line| line.contains("ERROR") || line.contains("panicked"));
        assert_eq!(complaint, None);
        outcome
    }

    /// Kills those of its processes that still run: of a traced server, the server. True if there were
    /// any; one may end by itself meanwhile.
    pub fn kill_children(&self) -> bool {
        let mut any = false;
        for child in self.children() {
            any |= runs(child) && try_send(child, Signal::KILL).is_ok();
        }
        any
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.running.wait()
    }

    /// Ends it with `kill -9`.
    pub fn kill(self) -> Outcome {
        self.running.kill()
    }
}

/// Whether the line is the last one that says where a server listens.
fn is_last(line: &str) -> bool {
    ["not protected", "it stops by itself", "Ctrl-C stops it"]
        .iter()
        .any(|last| line.starts_with(last))
}

/// The address in the line that begins with `name`.
fn address(said: &str, name: &str) -> Option<SocketAddr> {
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with(name))?;
    let url = line.split("://").nth(1)?;
    url.split('/').next()?.parse().ok()
}
