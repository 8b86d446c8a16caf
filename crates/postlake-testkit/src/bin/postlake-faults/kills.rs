//! F1, F15, F24: servers that are ended under load.

use std::thread::sleep;
use std::time::{Duration, Instant};

use postlake_testkit::Server;
use postlake_testkit::oracle;
use postlake_testkit::strace::{Injected, Injection};
use rand::RngExt as _;

use crate::load::Clients;
use crate::rig::{Rig, busy, kill_traced, start};
use crate::row::Row;

const CLIENTS: u64 = 4;

/// When a server is ended, in milliseconds after it is ready.
const MOMENTS: std::ops::Range<u64> = 5..500;

/// Kills of servers on the same data, one after the other.
const KILLS_OF_A_PLACE: u64 = 25;

/// How long a drain may take; longer ones are counted. What is beyond the second is no machine's delay.
const DRAIN: Duration = Duration::from_secs(10);
const DRAIN_ON_A_BUSY_MACHINE: Duration = Duration::from_secs(14);

/// Calls that are hit while a server starts after a kill.
const RECOVERY_CALLS: &[&str] = &[
    "openat", "mkdir", "write", "fsync", "linkat", "unlink", "rename",
];

pub(crate) fn random(rig: &Rig, row: &mut Row) {
    let mut dice = rig.dice(1);
    let mut left = rig.wanted.kills;
    while left > 0 {
        let here = left.min(KILLS_OF_A_PLACE);
        left -= here;
        let (place, ledger) = rig.place();
        let clients = Clients::new(dice.random(), CLIENTS, &ledger);
        let part = format!("with {left} kills left");
        for _ in 0..here {
            let server = start(row, &mut busy(&place));
            let moment = Duration::from_millis(dice.random_range(MOMENTS));
            let (_, answers) = clients.while_running(server.ingest(), || {
                sleep(moment);
                server.kill()
            });
            row.answered(&answers);
            row.met += 1;
            row.expect(
                answers.as_promised(),
                &part,
                "an answer is neither 200 nor 503",
            );
            let lost = oracle::lost(&place, &ledger);
            row.expect(lost == 0, &part, &format!("{lost} are lost after a kill"));
        }
        let server = start(row, &mut busy(&place));
        row.expect(
            clients.posts(server.ingest(), 1).count(200) == 1,
            &part,
            "a server started again does not accept",
        );
        server.kill();
        row.judge(&part, &place, &ledger);
        eprintln!("F1: {} kills", row.met);
    }
}

pub(crate) fn drains(rig: &Rig, row: &mut Row) {
    let mut dice = rig.dice(15);
    let (place, ledger) = rig.place();
    let clients = Clients::new(dice.random(), CLIENTS, &ledger);
    let (mut slowest, mut late) = (Duration::ZERO, 0);
    for number in 0..(rig.wanted.kills / 5).max(2) {
        let part = format!("drain {number}");
        let server = start(row, &mut busy(&place));
        let moment = Duration::from_millis(dice.random_range(MOMENTS));
        let ((outcome, took), answers) = clients.while_running(server.ingest(), || {
            sleep(moment);
            let asked = Instant::now();
            (Server::stop(server), asked.elapsed())
        });
        row.answered(&answers);
        row.met += 1;
        slowest = slowest.max(took);
        row.expect(outcome.code == Some(0), &part, "the exit code is not 0");
        late += u64::from(took > DRAIN);
        row.expect(
            took < DRAIN_ON_A_BUSY_MACHINE,
            &part,
            "it does not end in time",
        );
        row.expect(
            answers.as_promised(),
            &part,
            "an answer is neither 200 nor 503",
        );
    }
    row.note("slowest_drain_seconds", slowest.as_secs_f64());
    row.note("drains_over_10_seconds", late);
    row.judge("at the end", &place, &ledger);
}

/// A kill under load, a kill at a call of the start after it, and a start that is left alone.
pub(crate) fn again(rig: &Rig, row: &mut Row) {
    let mut dice = rig.dice(24);
    let most = rig.wanted.io_kills.min(30);
    let (place, ledger) = rig.place();
    let clients = Clients::new(dice.random(), CLIENTS, &ledger);
    for call in RECOVERY_CALLS {
        for nth in 1..=most {
            let part = format!("{call} {nth}");
            let server = start(row, &mut busy(&place));
            let moment = Duration::from_millis(dice.random_range(MOMENTS));
            let (_, answers) = clients.while_running(server.ingest(), || {
                sleep(moment);
                server.kill()
            });
            row.answered(&answers);
            let injection = Injection::once(call, Injected::Kill, nth);
            let log = place.home().join("strace");
            let mut traced = rig.strace.around(&busy(&place), &log, &[injection]);
            let survived = match Server::try_start(&mut traced) {
                Err(_) => false,
                Ok(server) => {
                    row.answered(&clients.posts(server.ingest(), 3));
                    kill_traced(server).0
                }
            };
            let lost = oracle::lost(&place, &ledger);
            row.expect(
                lost == 0,
                &part,
                &format!("{lost} are lost after two kills"),
            );
            if survived {
                break;
            }
            row.met += 1;
        }
    }
    let server = start(row, &mut busy(&place));
    row.expect(
        clients.posts(server.ingest(), 1).count(200) == 1,
        "at the end",
        "a server started again does not accept",
    );
    server.kill();
    row.judge("at the end", &place, &ledger);
}
