//! Straight to S3, behind a server that takes its time: each batch is answered when its segment is
//! an object.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Profile;
use super::rounds::{Bench, Round, brief};
use crate::bench::figures::Figures;
use crate::bench::measured::{Server, answer};
use crate::bench::report::Section;

/// Requests a second.
const RATE: f64 = 50.0;
/// What the S3 server waits before it answers, evenly spread, in milliseconds.
const DELAY_MS: &str = "100";
const SPREAD_MS: &str = "50";
/// The bucket that the server has.
const BUCKET: &str = "postlake";
const COMMIT_INTERVAL: &str = "250ms";

const LABELS: [(&str, &str); 9] = [
    ("requests_per_second", "requests/s"),
    ("p50_ms", "latency p50, ms"),
    ("p99_ms", "latency p99, ms"),
    ("max_ms", "latency max, ms"),
    ("not_200", "answers other than 200, broken connections"),
    ("lost", "answered 200 and not stored"),
    ("segments_per_second", "PUT/s"),
    ("server_cores", "cores busy, server"),
    ("peak_rss_mib", "peak RSS, MiB"),
];

/// The figures of every round.
pub(super) fn run(bench: &mut Bench<'_>, profile: Profile) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..bench.effort.rounds {
        let round = measure(bench, profile)?;
        eprintln!("S3: {}", brief(&round));
        for (name, value) in round {
            figures.add(&name, value);
        }
    }
    Ok(figures)
}

fn measure(bench: &mut Bench<'_>, profile: Profile) -> Result<Round> {
    let delays = ["--delay-ms", DELAY_MS, "--spread-ms", SPREAD_MS];
    let s3 = Server::start(Command::new(&bench.binaries.faulty_s3).args(delays), false)?;
    let endpoint = format!("http://{}", s3.address);
    let place = format!("s3://{BUCKET}/bench");
    let mut command = bench.serve();
    command
        .args(["--data", &place])
        .env("POSTLAKE_INGEST__COMMIT_INTERVAL", COMMIT_INTERVAL)
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "nobody")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    let server = Server::start(&mut command, true)?;
    let (mut round, ids) = bench.load(&server, profile, Some(RATE), bench.effort.seconds)?;
    drop(server);
    let files: Vec<String> = ids.iter().map(|path| path.display().to_string()).collect();
    let found = answer(Command::new(&bench.binaries.bench).args([
        "stored",
        "--data",
        &place,
        "--s3",
        &endpoint,
        "--ids",
        &files.join(","),
    ]))?;
    for path in ids {
        std::fs::remove_file(path).context("remove the ids")?;
    }
    let field = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let rate = round
        .get("requests_per_second")
        .copied()
        .unwrap_or(f64::NAN);
    let per_segment = field("batches") / field("segments");
    round.insert("lost".to_owned(), field("missing"));
    round.insert("segments_per_second".to_owned(), rate / per_segment);
    Ok(round)
}

pub(super) fn section(figures: &Figures) -> Section {
    let row = |(key, label): &(&str, &str)| Some(vec![(*label).to_owned(), figures.text(key)?]);
    Section {
        title: "L4: straight to S3".to_owned(),
        words: format!(
            "The batches of the first table, {RATE} a second, open loop, 64 connections. An S3 server on this \
             machine waits {DELAY_MS} ms, {SPREAD_MS} more or less, before it answers; `commit_interval` is \
             {COMMIT_INTERVAL}. A batch is answered when its segment is an object there. Killed with SIGKILL after \
             each round, and looked for as above."
        ),
        head: vec![String::new(), "postlake".to_owned()],
        rows: LABELS.iter().filter_map(row).collect(),
    }
}
