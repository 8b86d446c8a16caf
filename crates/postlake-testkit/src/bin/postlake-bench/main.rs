//! The programs behind `cargo xtask bench`: a load generator, the bare servers and disks that the
//! product is compared with, and the files that it converts.
//!
//! Each part prints one line of JSON on standard output; `xtask/src/bench/` starts them, measures
//! the servers from outside and writes the results.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for xtask to read"
)]

mod arguments;
mod ask;
mod backlog;
mod bare;
mod bodies;
mod corpus;
mod crowd;
mod disk;
mod fresh;
mod latencies;
mod load;
mod segments;
mod stored;
mod tls;

use std::process::ExitCode;

use anyhow::{Result, bail};

use arguments::Arguments;

const PARTS: &str = "\
postlake-bench PART --name value ...
  load    posts batches to a server and measures the answers
  crowd   keeps connections that send nothing, or a body byte by byte
  certificate  makes an authority and a certificate for loads over TLS
  bare    a hyper server that reads every body and drops it
  disk    writes and syncs: appends, and segments as the receiver writes them
  segments  fills a raw store with segments of past days
  backlog   fills a raw store with live traffic that nobody has loaded
  stored  compares what was answered 200 with what lies in a raw store
  files   the same for a folder with a file for each body, as the peers store them
  corpus  files of events to convert
  ask     what the page and questions over HTTP take
  fresh   how soon a batch can be asked for after its 200";

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("postlake-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<serde_json::Value> {
    let mut words = std::env::args().skip(1);
    let part = words.next().unwrap_or_default();
    let arguments = Arguments::parse(words)?;
    match part.as_str() {
        "load" => load::run(&arguments),
        "crowd" => crowd::run(&arguments),
        "certificate" => tls::issue(&arguments),
        "bare" => bare::run(&arguments),
        "disk" => disk::run(&arguments),
        "segments" => segments::run(&arguments),
        "backlog" => backlog::run(&arguments),
        "stored" => stored::run(&arguments),
        "files" => stored::files(&arguments),
        "corpus" => corpus::run(&arguments),
        "ask" => ask::run(&arguments),
        "fresh" => fresh::run(&arguments),
        _ => bail!("{PARTS}"),
    }
}
