//! L6: three times as much as can be taken.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Label, Load, not_200, round_of};
use crate::bench::Effort;
use crate::bench::figures::Figures;
use crate::bench::goals::{Goal, at_most};
use crate::bench::measured::{Server, answer, number};
use crate::bench::receive::rounds::{Bench, Round, clear};
use crate::bench::receive::{LARGE, OPEN_SHARE, Profile};

/// Requests a second, as a multiple of what a closed loop reached just before.
const OVERLOAD: f64 = 3.0;
/// How long it lasts, as a multiple of the other measurements.
const LASTS: f64 = 5.0;
/// Connections of the overload: enough that no request waits for one.
const CONNECTIONS: usize = 4096;
/// A core each, or a generator of three times the capacity would be what takes the capacity away.
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
/// From its end to when everything must be as before.
const RECOVERY: Duration = Duration::from_secs(10);

const LABELS: &[Label] = &[
    ("capacity", "closed loop before, requests/s"),
    ("sent", "overload: requests/s sent"),
    ("accepted", "overload: answered 200, requests/s"),
    ("accepted_p50_ms", "overload: answered 200, p50, ms"),
    ("accepted_p99_ms", "overload: answered 200, p99, ms"),
    ("refused", "overload: answered 503, requests/s"),
    ("refused_p50_ms", "overload: answered 503, p50, ms"),
    ("refused_p99_ms", "overload: answered 503, p99, ms"),
    (
        "late_p99_ms",
        "of these: the generator itself was late, p99, ms",
    ),
    ("without_retry_after", "answered 503 without Retry-After"),
    ("unanswered", "answered otherwise or not at all"),
    ("generator_cores", "cores busy, load generator"),
    ("steady_rss_mib", "RSS at the end of the closed loop, MiB"),
    ("peak_rss_mib", "peak RSS, MiB"),
    ("rss_after_mib", "RSS 10 s after, MiB"),
    ("before_p99_ms", "open loop at 60 % before: p99, ms"),
    ("after_p99_ms", "the same 10 s after: p99, ms"),
    ("after_not_200", "the same: answers other than 200"),
    ("lost", "answered 200 and not stored"),
];

pub(super) const LOAD: Load = Load {
    name: "L6",
    title: "three times as much as can be taken",
    words,
    labels: LABELS,
    measure,
    goals,
};

fn words(effort: Effort) -> String {
    format!(
        "L1's batches. A closed loop says what can be taken ({} s); then requests are due at {OVERLOAD} times that \
         rate for {} s, open loop, on {CONNECTIONS} connections, whatever the answers do; latencies count from \
         when a request was due. Server and generator have a core each. Where the generator is late itself, its \
         own lateness is in the latencies, and said.",
        effort.seconds,
        effort.seconds * LASTS
    )
}

fn goals(found: &Figures) -> Vec<Goal> {
    let most = |name| found.most(name);
    vec![
        at_most(
            "L6",
            "answers 503: p99, ms",
            1000.0,
            found.median("refused_p99_ms"),
        ),
        at_most(
            "L6",
            "answers 200: p99, ms",
            2000.0,
            found.median("accepted_p99_ms"),
        ),
        at_most(
            "L6",
            "answers 503 without Retry-After",
            0.0,
            most("without_retry_after"),
        ),
        at_most(
            "L6",
            "answered otherwise or not at all",
            0.0,
            most("unanswered"),
        ),
        at_most("L6", "peak RSS, MiB", 512.0, most("peak_rss_mib")),
        at_most(
            "L6",
            "10 s after: answers other than 200",
            0.0,
            most("after_not_200"),
        ),
        at_most(
            "L6",
            "10 s after: p99, that of before = 1",
            2.0,
            found.median("after_to_before"),
        ),
        at_most("L6", "answered 200 and not stored", 0.0, most("lost")),
        at_most(
            "L14",
            "RSS at the end of L1, MiB",
            256.0,
            most("steady_rss_mib"),
        ),
    ]
}

fn measure(bench: &mut Bench<'_>) -> Result<Round> {
    let data = bench.data();
    let mut serve = bench.serve();
    serve.arg("--data").arg(&data);
    let server = Server::start(&mut on_core(SERVER_CORE, &serve), true)?;
    let seconds = bench.effort.seconds;
    let mut ids = Vec::new();
    let mut post = |server: &Server, connections, rate: Option<f64>, seconds| -> Result<Value> {
        let profile = Profile {
            connections,
            ..LARGE
        };
        let (mut command, file) = bench.generator(server, profile, seconds);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        ids.push(file);
        answer(&mut on_core(GENERATOR_CORE, &command))
    };
    let closed = post(&server, LARGE.connections, None, seconds)?;
    let capacity = number(&closed, "/requests_per_second")?;
    let steady = server.rss_mib()?;
    let open = Some((capacity * OPEN_SHARE).round());
    let before = post(&server, LARGE.connections, open, seconds)?;
    let over = post(
        &server,
        CONNECTIONS,
        Some(capacity * OVERLOAD),
        seconds * LASTS,
    )?;
    let peak = server.peak_rss_mib()?;
    sleep(RECOVERY);
    let rss_after = server.rss_mib()?;
    let after = post(&server, LARGE.connections, open, seconds)?;
    drop(server);
    let stored = bench.stored("stored", LARGE, &data, &ids)?;
    clear(&data, &ids)?;
    let mut round = figures(&over)?;
    let (before_p99, after_p99) = (
        number(&before, "/latency/p99_ms")?,
        number(&after, "/latency/p99_ms")?,
    );
    let more = [
        ("capacity", capacity),
        ("steady_rss_mib", steady),
        ("peak_rss_mib", peak),
        ("rss_after_mib", rss_after),
        ("before_p99_ms", before_p99),
        ("after_p99_ms", after_p99),
        ("after_to_before", after_p99 / before_p99),
        ("after_not_200", not_200(&after)?),
        ("lost", number(&stored, "/missing")?),
    ];
    round.extend(round_of(more));
    Ok(round)
}

/// The same command, on one core.
fn on_core(core: usize, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned
        .args(["--cpu-list", &core.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    pinned
}

/// Of the overload itself.
fn figures(over: &Value) -> Result<Round> {
    let seconds = number(over, "/seconds")?;
    let unavailable = number(over, "/refused_by_status/503").unwrap_or(0.0);
    let (accepted, not_200) = (number(over, "/requests")?, not_200(over)?);
    let named = [
        ("sent", (accepted + not_200) / seconds),
        ("accepted", accepted / seconds),
        ("accepted_p50_ms", number(over, "/latency/p50_ms")?),
        ("accepted_p99_ms", number(over, "/latency/p99_ms")?),
        ("refused", unavailable / seconds),
        ("refused_p50_ms", number(over, "/refused_latency/p50_ms")?),
        ("refused_p99_ms", number(over, "/refused_latency/p99_ms")?),
        ("late_p99_ms", number(over, "/lateness/p99_ms")?),
        (
            "without_retry_after",
            number(over, "/unavailable_without_retry_after")?,
        ),
        ("unanswered", not_200 - unavailable),
        (
            "generator_cores",
            number(over, "/generator_cpu_seconds")? / seconds,
        ),
    ];
    Ok(round_of(named))
}
