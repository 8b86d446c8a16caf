//! Conservation: seeded traffic with duplicates and broken items through receivers and loaders that
//! are killed between and inside passes; in the end each sink holds every accepted item once.

use std::path::Path;
use std::time::Duration;

use postlake_testkit::seed::{dice, seed};
use postlake_testkit::{ClientLedger, Place, Server, Target, oracle, peers, play};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::PROGRAM;

const RECEIVE: [&str; 2] = ["--role", "receive"];
const CLIENTS: u64 = 3;

/// What a run does, in numbers.
struct Run {
    receivers: usize,
    rounds: usize,
    kills_in_a_round: usize,
    posts_for_a_kill: usize,
}

/// Receivers and loaders are processes of their own; some of each are killed in every round.
fn conserve(place: &Place, run: &Run) {
    let seed = seed();
    let mut dice = dice(seed, 0);
    let ledger = ClientLedger::default();
    let target = Target::default();
    let killed = play(seed, CLIENTS, &target, &ledger, || {
        let mut receivers: Vec<Server> =
            (0..run.receivers).map(|_| place.serve(&RECEIVE)).collect();
        let mut killed = 0;
        for _ in 0..run.rounds {
            point(&target, &receivers);
            for _ in 0..run.kills_in_a_round {
                target.grant(run.posts_for_a_kill);
                killed += usize::from(kill_a_load(place, &mut dice));
            }
            // The receiver dies with posts on their way to it.
            target.grant(run.posts_for_a_kill);
            target.wait_left(dice.random_range(0..run.posts_for_a_kill));
            let victim = dice.random_range(0..receivers.len());
            receivers.remove(victim).kill();
            point(&target, &receivers);
            receivers.push(place.serve(&RECEIVE));
        }
        point(&target, &receivers);
        target.wait_left(0);
        target.point(&[]);
        killed
    });
    place.load();
    let found = oracle::check(place, &ledger);
    eprintln!(
        "{} attempts, {} answers, {killed} loads killed, {found:?}",
        ledger.attempts(),
        ledger.answers()
    );
    assert!(found.events > 0 && found.duplicates > 0 && found.quarantined > 0 && found.alerts > 0);
}

fn point(target: &Target, receivers: &[Server]) {
    let addresses: Vec<_> = receivers.iter().map(Server::ingest).collect();
    target.point(&addresses);
}

/// Starts `postlake load` and kills it: at a random moment, or right after it has written to one of
/// the places that a pass and a delivery write to. False if it had ended by then.
fn kill_a_load(place: &Place, dice: &mut StdRng) -> bool {
    let point = WRITTEN[dice.random_range(0..WRITTEN.len())];
    let watched = (place.is_local() && dice.random()).then(|| place.directory().join(point));
    let before = watched.as_deref().map(entries);
    let mut load = place.start_load();
    let ended = match watched.as_deref() {
        None => load.ends_within(Duration::from_millis(dice.random_range(30..900))),
        Some(folder) => loop {
            if load.ends_within(Duration::from_millis(1)) {
                break true;
            }
            if Some(entries(folder)) != before {
                break false;
            }
        },
    };
    if ended {
        load.wait().success();
        return false;
    }
    load.kill();
    true
}

/// Where a loader writes, in the order in which it does.
const WRITTEN: [&str; 7] = [
    "lake/events/_delta_log",
    "lake/alerts/_delta_log",
    "lake/quarantine/_delta_log",
    "lake/batches/_delta_log",
    "csv/events",
    "csv/alerts",
    "csv/batches",
];

/// Names in a folder that may not be there.
fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn every_sink_holds_every_accepted_event_once() {
    conserve(
        &Place::local(PROGRAM),
        &Run {
            receivers: 1,
            rounds: 4,
            kills_in_a_round: 5,
            posts_for_a_kill: 12,
        },
    );
}

#[test]
fn two_receivers_on_s3_lose_and_double_nothing() {
    let Some(s3) = peers::s3() else { return };
    conserve(
        &Place::on_s3(PROGRAM, s3),
        &Run {
            receivers: 2,
            rounds: 3,
            kills_in_a_round: 2,
            posts_for_a_kill: 10,
        },
    );
}
