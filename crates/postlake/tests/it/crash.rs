//! `kill -9` at any moment, then `serve` again: everything that was answered 200 is in the lake and in
//! the CSV files once, and nothing else is.

use postlake_testkit::seed::{dice, seed};
use postlake_testkit::{ClientLedger, Place, Target, oracle, play};
use rand::RngExt as _;

use crate::PROGRAM;

const ROUNDS: usize = 6;
const CLIENTS: u64 = 4;

#[test]
fn a_killed_server_has_lost_and_doubled_nothing() {
    let seed = seed();
    let mut dice = dice(seed, 0);
    let place = Place::local(PROGRAM);
    let ledger = ClientLedger::default();
    let target = Target::default();
    play(seed, CLIENTS, &target, &ledger, || {
        for _ in 0..ROUNDS {
            let server = place.serve(&[]);
            target.point(&[server.ingest()]);
            // Killed while some of these posts are on their way, at a random point of them.
            target.grant(dice.random_range(10..120));
            target.wait_left(dice.random_range(0..6));
            server.kill();
            target.point(&[]);
        }
    });
    let server = place.serve(&[]);
    server.stop();
    let found = oracle::check(&place, &ledger);
    eprintln!(
        "{} attempts, {} answers, {found:?}",
        ledger.attempts(),
        ledger.answers()
    );
    assert!(found.events > 0 && ledger.answers() > 0);
}
