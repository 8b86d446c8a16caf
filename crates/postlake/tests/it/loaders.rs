//! Several loader processes on one lake: beside each other, killed, and one after the other.

use std::time::{Duration, Instant};

use postlake_testkit::faulty_s3::FaultyS3;
use postlake_testkit::seed::{dice, seed};
use postlake_testkit::{ClientLedger, Place, Running, Target, oracle, play, until};
use rand::RngExt as _;

use crate::PROGRAM;

const LOADERS: usize = 5;
const ROUNDS: usize = 3;
const CLIENTS: u64 = 3;
const POSTS: usize = 100;

/// Small passes, so that there are many commits to meet at.
const ROWS_OF_A_PASS: &str = "60";

/// How soon somebody else loads what a killed loader would have loaded.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(30);

/// Posts to the receiver until all is answered, and ends it.
fn receive(place: &Place, ledger: &ClientLedger, seed: u64) {
    let target = Target::default();
    let receiver = place.serve(&["--role", "receive"]);
    play(seed, CLIENTS, &target, ledger, || {
        target.point(&[receiver.ingest()]);
        target.grant(POSTS);
        target.wait_left(0);
        target.point(&[]);
    });
    receiver.stop();
}

fn start_load(place: &Place) -> Running {
    let mut command = place.command_here(&["load"]);
    Running::start(command.env("POSTLAKE_LOAD__COMMIT_ROWS", ROWS_OF_A_PASS))
}

#[test]
fn five_loaders_killed_at_random_load_everything_once() {
    let seed = seed();
    let mut dice = dice(seed, 0);
    let place = Place::local(PROGRAM);
    let ledger = ClientLedger::default();
    for round in 0..ROUNDS {
        receive(&place, &ledger, seed + round as u64);
        let mut loaders: Vec<_> = (0..LOADERS).map(|_| start_load(&place)).collect();
        for _ in 0..2 {
            let mut victim = loaders.swap_remove(dice.random_range(0..loaders.len()));
            if !victim.ends_within(Duration::from_millis(dice.random_range(50..1500))) {
                victim.kill();
            }
        }
        for loader in loaders {
            // Turned back again and again is no success, and no harm.
            let ended = loader.wait();
            assert!(matches!(ended.code, Some(0 | 69)), "{}", ended.stderr);
        }
    }
    place.load();
    let found = oracle::check(&place, &ledger);
    assert!(found.events > 0 && found.duplicates > 0, "{found:?}");
}

#[test]
fn a_standby_loader_takes_over() {
    let s3 = FaultyS3::start(1);
    let place = Place::on_faulty_s3(PROGRAM, &s3);
    let ledger = ClientLedger::default();
    receive(&place, &ledger, 1);
    let one = place.serve(&["--role", "load"]);
    let two = place.serve(&["--role", "load"]);
    let batches = || place.number("SELECT count(*) FROM batches");
    until("the first batches are loaded", || {
        (batches() >= ledger.answers() as i64).then_some(())
    });
    one.kill();
    receive(&place, &ledger, 2);
    let landed = Instant::now();
    until("the other loader has loaded the rest", || {
        (batches() >= ledger.answers() as i64).then_some(())
    });
    let waited = landed.elapsed();
    assert!(waited < TAKES_OVER_WITHIN, "{waited:?}");
    two.stop();
    place.load();
    oracle::check(&place, &ledger);
}
