//! L9: thousands of connections that do nothing, or next to nothing, beside the load.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::{Label, Load, not_200, round_of};
use crate::bench::Effort;
use crate::bench::figures::Figures;
use crate::bench::goals::{Goal, at_least, at_most};
use crate::bench::measured::{answer, number};
use crate::bench::receive::rounds::{Bench, Round, clear};
use crate::bench::receive::{LONE_RATE, SAMPLE};

const IDLE: usize = 5000;
const SLOW: usize = 1000;
/// The crowd may take so long to gather.
const GATHERING: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a server may have open besides its connections.
const OTHER_DESCRIPTORS: f64 = 200.0;
const LEAST_SECONDS: f64 = 10.0;

const LABELS: &[Label] = &[
    ("alone_p50_ms", "L3 alone: p50, ms"),
    ("alone_p99_ms", "L3 alone: p99, ms"),
    ("beside_p50_ms", "L3 beside the crowd: p50, ms"),
    ("beside_p99_ms", "L3 beside the crowd: p99, ms"),
    ("not_200", "L3: answers other than 200, broken connections"),
    ("most_open", "connections of the crowd at a time"),
    ("opened", "connections that the crowd opened in all"),
    ("descriptors", "descriptors of the server, most"),
    (
        "descriptors_after",
        "descriptors of the server when the crowd is gone",
    ),
    ("peak_rss_mib", "peak RSS, MiB"),
    ("lost", "answered 200 and not stored"),
];

pub(super) const LOAD: Load = Load {
    name: "L9",
    title: "a crowd of connections",
    words,
    labels: LABELS,
    measure,
    goals,
};

fn words(effort: Effort) -> String {
    format!(
        "L3 for {} s alone, and again while {IDLE} connections send nothing and {SLOW} announce a body of 105 KB and \
         send 500 bytes of it a second. What the server ends (silence for 10 s, a body below 1 KiB a second for \
         10 s) is opened again at once.",
        effort.seconds.max(LEAST_SECONDS)
    )
}

fn goals(found: &Figures) -> Vec<Goal> {
    vec![
        at_most(
            "L9",
            "L3's p99 beside the crowd, alone = 1",
            2.0,
            found.median("beside_to_alone"),
        ),
        at_most(
            "L9",
            "L3: answers other than 200",
            0.0,
            found.most("not_200"),
        ),
        at_least(
            "L9",
            "connections of the crowd at a time",
            (IDLE + SLOW) as f64 * 0.9,
            found.least("most_open"),
        ),
        at_most(
            "L9",
            "descriptors beyond the connections'",
            OTHER_DESCRIPTORS,
            found.most("other_descriptors"),
        ),
        at_most(
            "L9",
            "descriptors when the crowd is gone",
            OTHER_DESCRIPTORS,
            found.most("descriptors_after"),
        ),
    ]
}

fn measure(bench: &mut Bench<'_>) -> Result<Round> {
    let (server, data) = bench.start_postlake()?;
    let seconds = bench.effort.seconds.max(LEAST_SECONDS);
    let rate = LONE_RATE.to_string();
    let (mut alone, first_ids) = bench.generator(&server, SAMPLE, seconds);
    let alone = answer(alone.args(["--rate", &rate]))?;

    let ready = bench.binaries.folder.join("crowd-is-there");
    let mut crowd = Command::new(&bench.binaries.bench);
    crowd
        .args(["crowd", "--target", &server.address, "--ready"])
        .arg(&ready)
        .args(["--idle", &IDLE.to_string(), "--slow", &SLOW.to_string()])
        .args(["--seconds", &(seconds + 1.0).to_string()]);
    let crowd = thread::spawn(move || answer(&mut crowd));
    let started = Instant::now();
    while !ready.exists() {
        if crowd.is_finished() || started.elapsed() > GATHERING {
            bail!("the crowd does not gather");
        }
        thread::sleep(LOOK_EVERY);
    }
    let (mut beside, ids) = bench.generator(&server, SAMPLE, seconds);
    beside.args(["--rate", &rate]);
    let beside = thread::spawn(move || answer(&mut beside));
    let mut descriptors = 0;
    while !beside.is_finished() {
        descriptors = descriptors.max(server.descriptors()?);
        thread::sleep(LOOK_EVERY);
    }
    let ended = |_panic| anyhow!("a generator's thread panicked");
    let beside = beside.join().map_err(ended)??;
    let crowd = crowd.join().map_err(ended)??;
    std::fs::remove_file(&ready).context("remove the crowd's word")?;
    thread::sleep(Duration::from_secs(3));
    let after = server.descriptors()?;
    let peak = server.peak_rss_mib()?;
    drop(server);
    let ids = [first_ids, ids];
    let stored = bench.stored("stored", SAMPLE, &data, &ids)?;
    clear(&data, &ids)?;
    let most_open = number(&crowd, "/most_open")?;
    let (alone_p99, beside_p99) = (
        number(&alone, "/latency/p99_ms")?,
        number(&beside, "/latency/p99_ms")?,
    );
    let named = [
        ("alone_p50_ms", number(&alone, "/latency/p50_ms")?),
        ("alone_p99_ms", alone_p99),
        ("beside_p50_ms", number(&beside, "/latency/p50_ms")?),
        ("beside_p99_ms", beside_p99),
        ("beside_to_alone", beside_p99 / alone_p99),
        ("not_200", not_200(&alone)? + not_200(&beside)?),
        ("most_open", most_open),
        ("opened", number(&crowd, "/opened")?),
        ("descriptors", descriptors as f64),
        ("other_descriptors", descriptors as f64 - most_open),
        ("descriptors_after", after as f64),
        ("peak_rss_mib", peak),
        ("lost", number(&stored, "/missing")?),
    ];
    Ok(round_of(named))
}
