//! What is wanted, and the parts that every fault uses.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use postlake_testkit::seed::dice;
use postlake_testkit::strace::Strace;
use postlake_testkit::{ClientLedger, Outcome, Place, Server};
use rand::rngs::StdRng;

use crate::row::Row;

/// Name of the clients' ledger in a place's home.
pub(crate) const LEDGER: &str = "ledger";

/// The command line: `--name value` pairs.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    program: String,
    pub(crate) seed: u64,
    /// Random kills.
    pub(crate) kills: u64,
    /// Power cuts.
    pub(crate) cuts: u64,
    /// How many calls of each kind are hit.
    pub(crate) io_kills: usize,
    /// Batches of each of the ten writers, in each scenario of a failing S3.
    pub(crate) s3_batches: u64,
    /// A build of an earlier release.
    pub(crate) previous: Option<String>,
    only: Option<String>,
    without: Option<String>,
}

impl Wanted {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Wanted> {
        let mut wanted = Wanted {
            program: String::new(),
            seed: rand::random(),
            kills: 10,
            cuts: 20_000,
            io_kills: 3,
            s3_batches: 10,
            previous: None,
            only: None,
            without: None,
        };
        while let Some(word) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{word} lacks a value"))?;
            let number = || value.parse().with_context(|| format!("{word} {value}"));
            match word.as_str() {
                "--program" => wanted.program = value,
                "--seed" => wanted.seed = number()?,
                "--kills" => wanted.kills = number()?,
                "--cuts" => wanted.cuts = number()?,
                "--s3-batches" => wanted.s3_batches = number()?,
                "--io-kills" if value == "all" => wanted.io_kills = usize::MAX,
                "--io-kills" => wanted.io_kills = usize::try_from(number()?)?,
                "--previous" => wanted.previous = Some(value),
                "--only" => wanted.only = Some(value),
                "--without" => wanted.without = Some(value),
                _ => bail!("{word} is unknown"),
            }
        }
        if wanted.program.is_empty() {
            bail!("--program is missing");
        }
        Ok(wanted)
    }
}

/// The program, and how much is done to it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) wanted: Wanted,
    pub(crate) strace: Strace,
}

impl Rig {
    pub(crate) fn new(wanted: Wanted) -> Rig {
        Rig {
            wanted,
            strace: Strace::find().expect("strace is installed"),
        }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        let is = |named: &str| name == named || name.starts_with(&format!("{named}-"));
        let Wanted { only, without, .. } = &self.wanted;
        only.as_deref().is_none_or(is) && !without.as_deref().is_some_and(is)
    }

    /// Whether it was asked for by its name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.wanted.only.as_deref() == Some(name)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.wanted.seed
    }

    pub(crate) fn program(&self) -> &str {
        &self.wanted.program
    }

    /// Dice for one use.
    pub(crate) fn dice(&self, of: u64) -> StdRng {
        dice(self.wanted.seed, of)
    }

    /// An empty place with a ledger in a file.
    pub(crate) fn place(&self) -> (Place, ClientLedger) {
        let place = Place::local(&self.wanted.program);
        let ledger = ClientLedger::kept_in(&place.home().join(LEDGER));
        (place, ledger)
    }
}

/// A server that only receives.
pub(crate) fn receiving(place: &Place) -> Command {
    let listen = ["--ingest-listen", "127.0.0.1:0"];
    let mut command = place.command_here(&["serve", "--role", "receive"]);
    command.args(listen);
    command
}

/// A server that receives and loads all the time.
pub(crate) fn busy(place: &Place) -> Command {
    let listen = ["--ingest-listen", "127.0.0.1:0"];
    let mut command = place.command_here(&["serve", "--role", "receive,load"]);
    command.args(listen).env("POSTLAKE_LOAD__INTERVAL", "10ms");
    command
}

/// Starts it, and notes how long that took.
pub(crate) fn start(row: &mut Row, command: &mut Command) -> Server {
    let started = Instant::now();
    let server = Server::start(command);
    row.started(started.elapsed());
    server
}

/// Ends a traced server with `kill -9`, and its tracer with it. True if it still ran.
pub(crate) fn kill_traced(server: Server) -> (bool, Outcome) {
    let left = server.kill_children();
    (left, server.wait())
}
