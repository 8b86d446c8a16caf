//! What is recorded: the real server, alone and with faults in its calls, and its start after them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::recording::Recording;
use crate::strace::{Injected, Injection, Strace, calls};
use crate::{Client, Place, Running, Server, http};

/// Where the data lies below a place's home: neither folder is there at the start.
pub const DATA: &str = "kept/data";

/// Posts to a server that has no fault, and to one that has.
const POSTS: usize = 4;
const POSTS_INTO_FAULTS: usize = 8;

/// Clients that post at once.
const CLIENTS: u64 = 3;

/// A recording with a name.
#[derive(Debug)]
pub struct Scene {
    /// What happened in it.
    pub name: String,
    /// What the processes did.
    pub recording: Recording,
}

/// Records everything: a server that is drained and started again; for each of the first `most` calls
/// of each kind a server that is killed in its place, and one for which it fails, each followed by a
/// server without faults. A fault that is never met ends its row.
pub fn scenes(program: &str, strace: &Strace, seed: u64, most: usize) -> Vec<Scene> {
    let stage = Stage {
        program,
        strace,
        seed,
    };
    let mut scenes = vec![stage.play("no fault".to_owned(), &[]).0];
    for (call, what, word) in rows() {
        for nth in 1..=most {
            let injection = Injection::once(call, what.clone(), nth);
            let (scene, met) = stage.play(format!("{word} {call} {nth}"), &[injection]);
            if !met {
                break;
            }
            scenes.push(scene);
        }
    }
    scenes.push(stage.load("load".to_owned(), &[]).0);
    for call in ["linkat", "fsync", "rename", "mkdir"] {
        for nth in 1..=most {
            let injection = Injection::once(call, Injected::Kill, nth);
            let (scene, met) = stage.load(format!("load killed at {call} {nth}"), &[injection]);
            if !met {
                break;
            }
            scenes.push(scene);
        }
    }
    scenes
}

/// The calls that a landing makes, and what is done to them. A failed `write` would hit the pipes of
/// the runtime too, which no disk can fail.
fn rows() -> impl Iterator<Item = (&'static str, Injected, &'static str)> {
    let killed = ["mkdir", "openat", "write", "fsync", "linkat", "unlink"];
    let full = ["mkdir", "linkat"].map(|call| (call, Injected::Error("ENOSPC"), "no room at"));
    let broken =
        ["mkdir", "fsync", "linkat"].map(|call| (call, Injected::Error("EIO"), "error at"));
    killed
        .map(|call| (call, Injected::Kill, "killed at"))
        .into_iter()
        .chain(full)
        .chain(broken)
}

struct Stage<'a> {
    program: &'a str,
    strace: &'a Strace,
    seed: u64,
}

impl Stage<'_> {
    /// The recording, and whether the faults were met.
    fn play(&self, name: String, injections: &[Injection]) -> (Scene, bool) {
        let place = Place::local(self.program);
        let mut recording = Recording::new(place.home());
        let logs = [place.home().join("1.strace"), place.home().join("2.strace")];
        let posts = if injections.is_empty() {
            POSTS
        } else {
            POSTS_INTO_FAULTS
        };
        let killed = self.serve(&place, &logs[0], injections, posts);
        let met = killed || calls(&logs[0]).iter().any(|call| call.injected);
        self.serve(&place, &logs[1], &[], POSTS);
        for log in &logs {
            recording.add(log);
        }
        recording.assert_true_to(&place.home().join("kept"));
        (Scene { name, recording }, met)
    }

    /// The same of `load`: once, with the faults, and after some more batches again.
    fn load(&self, name: String, injections: &[Injection]) -> (Scene, bool) {
        let place = Place::local(self.program);
        let logs =
            ["1.strace", "2.strace", "3.strace", "4.strace"].map(|log| place.home().join(log));
        self.serve(&place, &logs[0], &[], POSTS);
        let killed = self.load_once(&place, &logs[1], injections) != Some(0);
        self.serve(&place, &logs[2], &[], POSTS);
        assert_eq!(self.load_once(&place, &logs[3], &[]), Some(0));
        let mut recording = Recording::new(place.home());
        for log in &logs {
            recording.add(log);
        }
        recording.assert_true_to(&place.home().join("kept"));
        (Scene { name, recording }, killed)
    }

    fn load_once(&self, place: &Place, log: &Path, injections: &[Injection]) -> Option<i32> {
        let mut load = place.command(&["load", "--data"]);
        load.arg(place.home().join(DATA));
        let mut traced = self.strace.around(&load, log, injections);
        Running::start(&mut traced).wait().code
    }

    /// One server's life: what it can answer of what is posted, then `kill -9`. True if it had ended
    /// before that.
    fn serve(&self, place: &Place, log: &Path, injections: &[Injection], posts: usize) -> bool {
        let mut command = self.strace.around(&command(place), log, injections);
        let Ok(server) = Server::try_start(&mut command) else {
            return true;
        };
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let mut client = Client::new(self.seed ^ log_number(log), number);
                let ingest = server.ingest();
                scope.spawn(move || {
                    for _ in 0..posts {
                        // A server that is killed in between answers nothing any more.
                        drop(http::post(ingest, &client.next_post().request));
                    }
                });
            }
        });
        let left = server.kill_children();
        drop(server.wait());
        !left
    }
}

/// Different posts in each life.
fn log_number(log: &Path) -> u64 {
    u64::from(!log.ends_with("1.strace"))
}

fn command(place: &Place) -> Command {
    let data: PathBuf = place.home().join(DATA);
    let mut command = place.command(&["serve", "--role", "receive", "--ingest-listen"]);
    command.arg("127.0.0.1:0").arg("--data").arg(data);
    command
}
