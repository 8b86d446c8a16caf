//! `kill -9` at any moment, then `serve` again: everything that was answered 200 is in the lake and in
//! the CSV files once, and nothing else is. And the one fault inside that nothing can go on with.

use std::process::Command;

use postlake_testkit::seed::{dice, seed};
use postlake_testkit::strace::Strace;
use postlake_testkit::{ClientLedger, Place, Running, Server, Target, oracle, play};
use rand::RngExt as _;

use crate::PROGRAM;

const ROUNDS: usize = 8;
const CLIENTS: u64 = 4;

/// A server that loads all the time, so that a kill often falls into a pass or a delivery.
fn busy(place: &Place) -> Command {
    let free = "127.0.0.1:0";
    let mut command =
        place.command_here(&["serve", "--ingest-listen", free, "--read-listen", free]);
    command.env("POSTLAKE_LOAD__INTERVAL", "10ms");
    command
}

#[test]
fn a_killed_server_has_lost_and_doubled_nothing() {
    let seed = seed();
    let mut dice = dice(seed, 0);
    let place = Place::local(PROGRAM);
    let ledger = ClientLedger::default();
    let target = Target::default();
    play(seed, CLIENTS, &target, &ledger, || {
        for _ in 0..ROUNDS {
            let server = Server::start(&mut busy(&place));
            target.point(&[server.ingest()]);
            // Killed while some of these posts are on their way, at a random point of them.
            target.grant(dice.random_range(10..120));
            target.wait_left(dice.random_range(0..6));
            server.kill();
            target.point(&[]);
        }
    });
    let server = place.serve(&[]);
    server.wait_loaded(oracle::landed_batches(&place));
    place.drain(server);
    let found = oracle::check(&place, &ledger);
    eprintln!(
        "{} attempts, {} answers, {found:?}",
        ledger.attempts(),
        ledger.answers()
    );
    assert!(found.events > 0 && ledger.answers() > 0);
}

/// Parts of the program that sleep would not be woken any more: it would hang for ever, and no supervisor
/// would know.
#[test]
fn a_runtime_that_cannot_be_woken_ends_the_process() {
    let Some(strace) = Strace::find() else {
        return;
    };
    for first in [1, 2] {
        let place = Place::local(PROGRAM);
        let mut served = place.command_here(&["serve", "--role", "receive,load"]);
        served.args(["--ingest-listen", "127.0.0.1:0"]);
        let mut traced = strace.without_wakes(&served, first);
        let ended = Running::start(&mut traced).wait();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let sentence = "the runtime of this process has failed";
        assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
    }
}
