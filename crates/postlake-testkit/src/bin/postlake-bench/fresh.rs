//! How soon what was answered 200 can be asked for: batches at an even rate, and SQL all the while.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postlake_testkit::{Place, Server, http};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::bodies;
use crate::latencies::Latencies;

/// Batch ids grow, and segments of one stream are loaded in their order: the greatest id that is there
/// says which are.
const NEWEST: &str = "SELECT max(batch_id) FROM events";
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for the last batch.
const PATIENCE: Duration = Duration::from_secs(60);
const JSON: (&str, &str) = ("content-type", "application/json");

/// A batch id, and when it was answered.
type Answered = (String, Instant);

/// Starts `--program` on an empty directory with `--interval` between two passes, posts `--rate` batches of
/// `--events` events a second for `--seconds`, and asks for the newest over HTTP until all are there.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let program: String = arguments.required("program")?;
    let place = Place::local(&program);
    let mut command = place.command_here(&["serve"]);
    for listener in ["--ingest-listen", "--read-listen"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    if let Some(interval) = arguments.optional::<String>("interval")? {
        command.env("POSTLAKE_LOAD__INTERVAL", interval);
    }
    let server = Server::start(&mut command);
    let (ingest, read) = (server.ingest(), server.read());
    let rate: f64 = arguments.or("rate", 10.0)?;
    let seconds: f64 = arguments.or("seconds", 10.0)?;
    let bodies = bodies::pool(
        1,
        (rate * seconds).ceil() as usize,
        arguments.or("events", 35)?,
    );
    let batches = bodies.len();
    let (told, answered) = sync_channel(batches);
    let poster = spawn(move || post(ingest, &bodies, Duration::from_secs_f64(1.0 / rate), &told));
    let seen = watch(read, &answered)?;
    poster
        .join()
        .map_err(|_| anyhow::anyhow!("the sender broke off"))??;
    server.stop();
    ensure!(seen.fresh.count() == batches, "not every batch was seen");
    let (asked, fresh) = (seen.asked.report(), seen.fresh.report());
    Ok(json!({ "batches": batches, "fresh": fresh, "asked": asked }))
}

/// Each batch at its time, whatever the one before took.
fn post(
    ingest: SocketAddr,
    bodies: &[bytes::Bytes],
    apart: Duration,
    told: &SyncSender<Answered>,
) -> Result<()> {
    let started = Instant::now();
    for (number, body) in (0_u32..).zip(bodies) {
        sleep((apart * number).saturating_sub(started.elapsed()));
        let id = bodies::id(1, u64::from(number));
        let headers = [JSON, ("x-messagesystems-batch-id", id.as_str())];
        let answer = http::exchange(ingest, "POST", "/webhooks/events", &headers, body);
        let status = answer.context("post a batch")?.status;
        ensure!(status == 200, "a batch was answered {status}");
        told.send((id, Instant::now())).context("tell of a batch")?;
    }
    Ok(())
}

/// What the questions found.
#[derive(Default)]
struct Seen {
    /// From the 200 of a batch to the first answer that has it.
    fresh: Latencies,
    /// What a question took.
    asked: Latencies,
}

fn watch(read: SocketAddr, answered: &Receiver<Answered>) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut waiting = VecDeque::<Answered>::new();
    loop {
        let ended = loop {
            match answered.try_recv() {
                Ok(answered) => waiting.push_back(answered),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        let asked = Instant::now();
        let newest = newest(read)?;
        seen.asked.add(asked.elapsed());
        let now = Instant::now();
        while let Some((id, at)) = waiting.front() {
            if newest.as_ref().is_some_and(|newest| id <= newest) {
                seen.fresh.add(now.duration_since(*at));
                waiting.pop_front();
            } else if at.elapsed() > PATIENCE {
                bail!("a batch is not there after {PATIENCE:?}");
            } else {
                break;
            }
        }
        if ended && waiting.is_empty() {
            return Ok(seen);
        }
        sleep(PAUSE);
    }
}

fn newest(read: SocketAddr) -> Result<Option<String>> {
    let question = json!({ "sql": NEWEST }).to_string();
    let answer = http::exchange(read, "POST", "/api/v1/query", &[JSON], question.as_bytes());
    let answer = answer.context("ask for the newest")?;
    ensure!(answer.status == 200, "{}", answer.text());
    let newest = answer.json().pointer("/rows/0/0").cloned();
    Ok(newest.and_then(|newest| newest.as_str().map(str::to_owned)))
}
