//! L11 and L14: a start in front of a raw store that is full already, and what a server holds that has
//! nothing to do.

use std::net::TcpListener;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Label, Load, get, round_of};
use crate::bench::Effort;
use crate::bench::figures::Figures;
use crate::bench::goals::{Goal, at_most};
use crate::bench::measured::{Server, answer, number};
use crate::bench::receive::rounds::{Bench, Round, clear};

/// The gauge that says how much there is to load.
const BACKLOG: &str = "postlake_load_backlog_segments ";
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a server does nothing before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

const LABELS: &[Label] = &[
    ("idle_receive_rss_mib", "idle, receive: RSS, MiB"),
    ("idle_load_rss_mib", "idle, receive and load: RSS, MiB"),
    ("gigabytes", "segments in the store, GB"),
    ("segments", "segments in the store"),
    ("receive_ready_ms", "receive: readyz says 200 after, ms"),
    (
        "load_ready_ms",
        "receive and load: readyz says 200 after, ms",
    ),
    (
        "scanned_ms",
        "receive and load: the backlog is known after, ms",
    ),
    ("backlog", "segments that the backlog counts then"),
    ("peak_rss_mib", "receive and load: peak RSS until then, MiB"),
];

pub(super) const LOAD: Load = Load {
    name: "L11",
    title: "a start with a full store, and doing nothing",
    words,
    labels: LABELS,
    measure,
    goals,
};

fn words(effort: Effort) -> String {
    format!(
        "Segments of {} GB in 20 streams of the last five days, of which nothing is loaded; their batches are \
         noise, which is quarantined. From the start of the process to the first `readyz` 200 and to the first \
         measure of the backlog in `/metrics`, which comes after the first pass. The segments are in the page \
         cache. Idle is {} s after the start on an empty directory.",
        effort.gigabytes,
        IDLE.as_secs()
    )
}

fn goals(found: &Figures) -> Vec<Goal> {
    vec![
        at_most(
            "L11",
            "receive: ready after, ms",
            2000.0,
            found.most("receive_ready_ms"),
        ),
        at_most(
            "L11",
            "receive and load: ready after, ms",
            2000.0,
            found.most("load_ready_ms"),
        ),
        at_most(
            "L11",
            "the backlog is known after, ms",
            10_000.0,
            found.most("scanned_ms"),
        ),
        at_most(
            "L14",
            "idle, receive: RSS, MiB",
            64.0,
            found.most("idle_receive_rss_mib"),
        ),
        at_most(
            "L14",
            "idle, receive and load: RSS, MiB",
            64.0,
            found.most("idle_load_rss_mib"),
        ),
    ]
}

fn measure(bench: &mut Bench<'_>) -> Result<Round> {
    let data = bench.binaries.folder.join("data");
    let mut round = Round::new();
    for (role, name) in [
        ("receive", "idle_receive_rss_mib"),
        ("receive,load", "idle_load_rss_mib"),
    ] {
        let (server, _) = start(bench, role)?;
        sleep(IDLE);
        round.insert(name.to_owned(), server.rss_mib()?);
        drop(server);
        clear(&data, &[])?;
    }
    let mut fill = Command::new(&bench.binaries.bench);
    fill.args([
        "segments",
        "--gigabytes",
        &bench.effort.gigabytes.to_string(),
    ]);
    let said = answer(fill.arg("--data").arg(&data))?;

    let started = Instant::now();
    let (server, _) = start(bench, "receive")?;
    let receive_ready = ready(&server, started)?;
    drop(server);

    let started = Instant::now();
    let (server, admin) = start(bench, "receive,load")?;
    let load_ready = ready(&server, started)?;
    let backlog = loop {
        if let Some(backlog) = backlog(&admin)?.filter(|backlog| *backlog > 0.0) {
            break backlog;
        }
        if started.elapsed() > PATIENCE {
            bail!("the backlog is never known");
        }
        sleep(LOOK_EVERY);
    };
    let scanned = started.elapsed();
    let peak = server.peak_rss_mib()?;
    drop(server);
    clear(&data, &[])?;
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let named = [
        ("gigabytes", number(&said, "/bytes")? / 1e9),
        ("segments", number(&said, "/segments")?),
        ("receive_ready_ms", millis(receive_ready)),
        ("load_ready_ms", millis(load_ready)),
        ("scanned_ms", millis(scanned)),
        ("backlog", backlog),
        ("peak_rss_mib", peak),
    ];
    round.extend(round_of(named));
    Ok(round)
}

/// A server with these roles, and the address of its admin listener.
fn start(bench: &Bench<'_>, roles: &str) -> Result<(Server, String)> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let admin = free.context("find a free port")?.to_string();
    let mut command = bench.serve_as(roles, &admin);
    command
        .arg("--data")
        .arg(bench.binaries.folder.join("data"));
    Ok((Server::start(&mut command, true)?, admin))
}

fn ready(server: &Server, since: Instant) -> Result<Duration> {
    while since.elapsed() < PATIENCE {
        if get(&server.address, "/readyz").is_ok_and(|(status, _)| status == 200) {
            return Ok(since.elapsed());
        }
        sleep(LOOK_EVERY);
    }
    bail!("the server is never ready")
}

fn backlog(admin: &str) -> Result<Option<f64>> {
    let (_, page) = get(admin, "/metrics")?;
    let line = page.lines().find_map(|line| line.strip_prefix(BACKLOG));
    line.map(|value| value.trim().parse().context("read the backlog"))
        .transpose()
}
