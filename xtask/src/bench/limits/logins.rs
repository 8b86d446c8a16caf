//! B28: somebody guesses passwords beside the load.

use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::{Label, Load, not_200, round_of};
use crate::bench::Effort;
use crate::bench::figures::Figures;
use crate::bench::goals::{Goal, at_least, at_most};
use crate::bench::measured::{Server, answer, number};
use crate::bench::receive::rounds::{Bench, Round, clear};
use crate::bench::receive::{LONE_RATE, Profile, SAMPLE};

/// `sparkpost:` and the secret below, and the same user with another password, as Basic says them.
const SECRET: &str = "a-secret-of-more-than-thirty-two-letters";
const RIGHT: &str = "Basic c3Bhcmtwb3N0OmEtc2VjcmV0LW9mLW1vcmUtdGhhbi10aGlydHktdHdvLWxldHRlcnM=";
const WRONG: &str =
    "Basic c3Bhcmtwb3N0OmEtd3JvbmctcGFzc3dvcmQtb2YtdGhlLXNhbWUtbGVuZ3RoLWFzLWl0IQ==";
const GUESSES: u64 = 100_000;
/// Where they come from, and how many at a time.
const ADDRESSES: u32 = 1000;
const CONNECTIONS: usize = 2048;
/// A guess needs no batch.
const GUESS: Profile = Profile {
    events: 1,
    pool: 16,
    connections: CONNECTIONS,
    fresh: false,
};
/// The load lasts as long as the guessing, up to this.
const MOST_SECONDS: f64 = 400.0;
/// Of 1,200 requests the twelfth latest is the p99; of 200 it is the second, which one slow sync of the disk makes.
const LEAST_SECONDS: f64 = 60.0;

const LABELS: &[Label] = &[
    ("alone_p50_ms", "L3 alone: p50, ms"),
    ("alone_p99_ms", "L3 alone: p99, ms"),
    ("beside_p50_ms", "L3 beside the guesses: p50, ms"),
    ("beside_p99_ms", "L3 beside the guesses: p99, ms"),
    ("not_200", "L3: answers other than 200, broken connections"),
    ("guesses", "guesses answered 401"),
    ("other_answers", "guesses answered otherwise or not at all"),
    ("guesses_per_second", "guesses/s"),
    ("guess_p50_ms", "a guess: p50, ms"),
    ("guess_p99_ms", "a guess: p99, ms"),
    ("guess_max_ms", "a guess: max, ms"),
    ("peak_rss_mib", "peak RSS, MiB"),
    ("lost", "answered 200 and not stored"),
];

pub(super) const LOAD: Load = Load {
    name: "B28",
    title: "a hundred thousand wrong passwords",
    words,
    labels: LABELS,
    measure,
    goals,
};

fn words(_effort: Effort) -> String {
    format!(
        "L3 with the right password (basic), alone and beside {GUESSES} guesses: {CONNECTIONS} at a time, from \
         {ADDRESSES} addresses, as fast as they are answered. Wrong logins of an address are held back longer and \
         longer, up to 4 s, and no more than a thousand a second are answered. Generators and server share the cores."
    )
}

fn goals(found: &Figures) -> Vec<Goal> {
    vec![
        at_most(
            "B28",
            "L3: answers other than 200",
            0.0,
            found.most("not_200"),
        ),
        at_most(
            "B28",
            "L3's p99 beside the guesses, alone = 1",
            2.0,
            found.median("beside_to_alone"),
        ),
        at_least(
            "B28",
            "guesses answered 401",
            GUESSES as f64,
            found.least("guesses"),
        ),
        at_most(
            "B28",
            "guesses answered otherwise or not at all",
            0.0,
            found.most("other_answers"),
        ),
        at_least(
            "B28",
            "the latest answer to a guess, ms",
            4000.0,
            found.least("guess_max_ms"),
        ),
    ]
}

fn measure(bench: &mut Bench<'_>) -> Result<Round> {
    let data = bench.binaries.folder.join("data");
    let secret = bench.binaries.folder.join("basic.secret");
    fs::write(&secret, SECRET).context("write a secret")?;
    let basic = format!(
        "[{{ username = \"sparkpost\", password_file = \"{}\" }}]",
        secret.display()
    );
    let mut command = bench.serve();
    command
        .arg("--data")
        .arg(&data)
        .env("POSTLAKE_INGEST__AUTH__BASIC", basic);
    let server = Server::start(&mut command, true)?;
    let rate = LONE_RATE.to_string();
    let lone = ["--rate", rate.as_str(), "--authorization", RIGHT];
    let (mut alone, first_ids) =
        bench.generator(&server, SAMPLE, bench.effort.seconds.max(LEAST_SECONDS));
    let alone = answer(alone.args(lone))?;

    let (mut guessing, guess_ids) = bench.generator(&server, GUESS, MOST_SECONDS);
    guessing
        .args(["--authorization", WRONG])
        .args(["--most", &GUESSES.to_string()])
        .args(["--addresses", &ADDRESSES.to_string()]);
    let guessing = thread::spawn(move || answer(&mut guessing));
    let mut beside = Vec::new();
    let mut ids = vec![first_ids, guess_ids];
    while !guessing.is_finished() {
        let (mut command, file) = bench.generator(&server, SAMPLE, LEAST_SECONDS);
        ids.push(file);
        beside.push(answer(command.args(lone))?);
    }
    let guesses = guessing
        .join()
        .map_err(|_panic| anyhow!("the guesser's thread panicked"))??;
    let peak = server.peak_rss_mib()?;
    drop(server);
    let stored = bench.stored("stored", SAMPLE, &data, &ids)?;
    clear(&data, &ids)?;
    // The last stretch of the load may lie beyond the last guess: the worst one counts.
    let worst = |path: &str| {
        let values = beside.iter().filter_map(|said| number(said, path).ok());
        values.fold(f64::NAN, f64::max)
    };
    let refused: f64 = beside.iter().filter_map(|said| not_200(said).ok()).sum();
    let wrong = number(&guesses, "/refused_by_status/401")?;
    let alone_p99 = number(&alone, "/latency/p99_ms")?;
    let named = [
        ("alone_p50_ms", number(&alone, "/latency/p50_ms")?),
        ("alone_p99_ms", alone_p99),
        ("beside_p50_ms", worst("/latency/p50_ms")),
        ("beside_p99_ms", worst("/latency/p99_ms")),
        ("beside_to_alone", worst("/latency/p99_ms") / alone_p99),
        ("not_200", not_200(&alone)? + refused),
        ("guesses", wrong),
        (
            "other_answers",
            number(&guesses, "/requests")? + not_200(&guesses)? - wrong,
        ),
        ("guesses_per_second", wrong / number(&guesses, "/seconds")?),
        ("guess_p50_ms", number(&guesses, "/refused_latency/p50_ms")?),
        ("guess_p99_ms", number(&guesses, "/refused_latency/p99_ms")?),
        ("guess_max_ms", number(&guesses, "/refused_latency/max_ms")?),
        ("peak_rss_mib", peak),
        ("lost", number(&stored, "/missing")?),
    ];
    Ok(round_of(named))
}
