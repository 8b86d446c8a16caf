//! A load generator: closed loop (each connection sends again when it is answered) or open loop (a
//! fixed rate of arrivals, whatever the server does).
//!
//! In the open loop a request's latency counts from the moment at which it was due, not from the
//! moment at which a connection was free for it: a server that stalls cannot hide what it made wait
//! (coordinated omission). One thread, so that most of a small machine is left to the server.

mod arrivals;
pub(crate) mod connection;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::bodies;
use crate::latencies::Latencies;
use crate::tls;
use arrivals::Arrivals;
use connection::{Answer, Connection, Head, Route};

/// What to send where.
struct Plan {
    route: Route,
    head: Head,
    connections: usize,
    duration: Duration,
    /// Requests a second; none for the closed loop.
    rate: Option<f64>,
    /// Most requests.
    most: u64,
    /// The server is going to be killed: a connection that breaks is the end, not a fault.
    until_gone: bool,
    /// Tells the batch ids of this run from those of others.
    run: u32,
    pool: Vec<Bytes>,
}

/// What came back.
#[derive(Default)]
struct Tally {
    latencies: Latencies,
    /// How much later than due requests of the open loop were begun, because the generator had no time or no
    /// connection for them.
    lateness: Latencies,
    bytes: u64,
    /// Answers other than 200, by status.
    refused: BTreeMap<u16, u64>,
    refusals: Latencies,
    /// Answers 503 that do not say when to come again.
    without_when: u64,
    broken: u64,
    /// Ids of the batches that were answered 200, a line each.
    acknowledged: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let events: usize = arguments.or("events", 350)?;
    let plan = plan(arguments, events)?;
    let ids: Option<PathBuf> = arguments.optional("ids")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    // Its appearance says that the bodies are made and the load begins.
    if let Some(path) = &ids {
        std::fs::write(path, "").with_context(|| format!("write {}", path.display()))?;
    }
    let (cpu_before, busy_before) = (cpu_seconds()?, busy_seconds()?);
    let started = Instant::now();
    let tally = runtime.block_on(drive(plan))?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds()? - cpu_before;
    let busy = busy_seconds()? - busy_before;
    if let Some(path) = ids {
        std::fs::write(&path, &tally.acknowledged)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(report(tally, seconds, events, cpu, busy))
}

fn plan(arguments: &Arguments, events: usize) -> Result<Plan> {
    let tls: Option<PathBuf> = arguments.optional("tls")?;
    Ok(Plan {
        route: Route {
            target: arguments.required("target")?,
            tls: tls.map(|folder| tls::connector(&folder)).transpose()?,
            addresses: arguments.or("addresses", 0)?,
        },
        head: Head {
            path: arguments.or("path", "/webhooks/events".to_owned())?,
            authorization: arguments.optional("authorization")?,
            last: arguments.or("fresh", false)?,
        },
        connections: arguments.or("connections", 64)?,
        duration: Duration::from_secs_f64(arguments.or("seconds", 10.0)?),
        rate: arguments.optional("rate")?,
        most: arguments.or("most", u64::MAX)?,
        until_gone: arguments.or("until-gone", false)?,
        run: arguments.or("run", 0)?,
        pool: bodies::pool(arguments.or("seed", 1)?, arguments.or("pool", 256)?, events),
    })
}

fn report(tally: Tally, seconds: f64, events: usize, cpu_seconds: f64, busy: f64) -> Value {
    let requests = tally.latencies.count() as f64;
    let by_status: BTreeMap<String, u64> = tally
        .refused
        .iter()
        .map(|(status, count)| (status.to_string(), *count))
        .collect();
    json!({
        "requests": tally.latencies.count(),
        "refused": tally.refused.values().sum::<u64>(),
        "refused_by_status": by_status,
        "refused_latency": tally.refusals.report(),
        "unavailable_without_retry_after": tally.without_when,
        "broken": tally.broken,
        "seconds": seconds,
        "requests_per_second": requests / seconds,
        "megabytes_per_second": tally.bytes as f64 / 1e6 / seconds,
        "events_per_second": requests * events as f64 / seconds,
        "mean_body_bytes": tally.bytes as f64 / requests.max(1.0),
        "generator_cpu_seconds": cpu_seconds,
        "machine_busy_seconds": busy,
        "latency": tally.latencies.report(),
        "lateness": tally.lateness.report(),
    })
}

/// Runs every connection to its end and adds up what they saw.
async fn drive(plan: Plan) -> Result<Tally> {
    let plan = Arc::new(plan);
    let next = Arc::new(Arrivals::start(plan.rate, plan.duration, plan.most)?);
    let tasks: Vec<_> = (0..plan.connections)
        .map(|_| tokio::spawn(post_many(Arc::clone(&plan), Arc::clone(&next))))
        .collect();
    let mut total = Tally::default();
    for task in tasks {
        let tally = task.await.context("a connection panicked")??;
        total.latencies.append(tally.latencies);
        total.bytes += tally.bytes;
        total.lateness.append(tally.lateness);
        total.refusals.append(tally.refusals);
        total.without_when += tally.without_when;
        for (status, count) in tally.refused {
            *total.refused.entry(status).or_default() += count;
        }
        total.broken += tally.broken;
        total.acknowledged.push_str(&tally.acknowledged);
    }
    Ok(total)
}

async fn post_many(plan: Arc<Plan>, next: Arc<Arrivals>) -> Result<Tally> {
    let mut connection = None;
    let mut tally = Tally::default();
    loop {
        let Some((number, begins)) = next.next().await else {
            return Ok(tally);
        };
        tally.lateness.add(begins.elapsed());
        let Some(body) = plan.pool.get(number as usize % plan.pool.len()) else {
            return Ok(tally);
        };
        let id = bodies::id(plan.run, number);
        match post(&plan, &mut connection, number, &id, body).await {
            Ok(answer) if answer.status == 200 => {
                tally.latencies.add(begins.elapsed());
                tally.bytes += body.len() as u64;
                writeln!(tally.acknowledged, "{id}")?;
            }
            Ok(answer) => tally.refuse(&answer, begins.elapsed()),
            Err(_) if plan.until_gone => return Ok(tally),
            Err(_) => tally.broken += 1,
        }
    }
}

/// Posts on the connection that is there, or on a new one; keeps it if it can be used again.
async fn post(
    plan: &Plan,
    kept: &mut Option<Connection>,
    number: u64,
    id: &str,
    body: &Bytes,
) -> Result<Answer> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => plan.route.open(number).await?,
    };
    let answer = connection.post(&plan.head, id, body).await?;
    if !answer.closes {
        *kept = Some(connection);
    }
    Ok(answer)
}

impl Tally {
    fn refuse(&mut self, answer: &Answer, after: Duration) {
        *self.refused.entry(answer.status).or_default() += 1;
        self.refusals.add(after);
        self.without_when += u64::from(answer.status == 503 && !answer.says_when);
    }
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}

/// Busy seconds of all cores since the machine started.
fn busy_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = |index: &usize| fields.get(*index).copied().unwrap_or(0.0);
    Ok([0, 1, 2, 5, 6, 7].iter().map(busy).sum::<f64>() / 100.0)
}
