//! F2, F4, F5, F6: faults in single calls, put there by the tracer.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use postlake_testkit::strace::{Call, DISK_CALLS, Injected, Injection, calls};
use postlake_testkit::{ClientLedger, Place, Running, Server, oracle};

use crate::load::{Answers, Clients};
use crate::rig::{LEDGER, Rig, kill_traced, receiving, start};
use crate::row::Row;

/// Posts into a server that has a fault before it, and in all of a template.
const POSTS: usize = 4;
const POSTS_OF_A_TEMPLATE: usize = 12;

/// Every so many places are loaded and judged whole; of the others the raw store is read.
const JUDGED_WHOLE: usize = 5;

/// How long it may take to accept again after a fault that has passed.
const BACK: Duration = Duration::from_secs(30);

/// Longest wait for an answer: the sender gives up after it.
const ANSWER: Duration = Duration::from_secs(10);

/// The fault ends the server in place of the `nth` call, which a thread of it makes while it starts or
/// receives; the next server must have lost nothing.
pub(crate) fn killed_receiving(rig: &Rig, row: &mut Row) {
    for call in DISK_CALLS {
        for nth in 1..=rig.wanted.io_kills {
            let mut met = true;
            row.part(&format!("{call} {nth}"), |row| {
                let (place, ledger) = rig.place();
                let clients = Clients::new(rig.seed() ^ nth as u64, 1, &ledger);
                let injection = Injection::once(call, Injected::Kill, nth);
                let (answers, survived) = serve_traced(rig, &place, &clients, &[injection], false);
                met = !survived;
                if met {
                    row.met += 1;
                    row.answered(&answers);
                    settle(
                        row,
                        &format!("{call} {nth}"),
                        nth,
                        &place,
                        &clients,
                        &ledger,
                    );
                }
            });
            if !met {
                break;
            }
        }
    }
}

/// The fault ends `load` in place of the `nth` call of a thread; the next one must complete it.
pub(crate) fn killed_loading(rig: &Rig, row: &mut Row) {
    let (template, ledger) = rig.place();
    let clients = Clients::new(rig.seed(), 1, &ledger);
    let server = start(row, &mut receiving(&template));
    row.answered(&clients.posts(server.ingest(), POSTS_OF_A_TEMPLATE));
    server.kill();
    for call in DISK_CALLS {
        for nth in 1..=rig.wanted.io_kills {
            let part = format!("{call} {nth}");
            let mut met = true;
            row.part(&part, |row| {
                let place = copy(rig, &template);
                let log = place.home().join("strace");
                let injection = Injection::once(call, Injected::Kill, nth);
                let load = place.command_here(&["load"]);
                let mut traced = rig.strace.around(&load, &log, &[injection]);
                met = Running::start(&mut traced).wait().code != Some(0);
                if met {
                    row.met += 1;
                    row.judge_copy(&part, &place, &ledger);
                }
            });
            if !met {
                break;
            }
        }
    }
    row.judge("the template", &template, &ledger);
}

pub(crate) fn full(rig: &Rig, row: &mut Row) {
    failing(rig, row, "ENOSPC", &["write", "mkdir", "linkat"]);
}

pub(crate) fn broken(rig: &Rig, row: &mut Row) {
    failing(
        rig,
        row,
        "EIO",
        &["fsync", "write", "mkdir", "linkat", "unlink"],
    );
}

/// The call fails once; the server must answer 200 or 503, live on and accept again by itself.
fn failing(rig: &Rig, row: &mut Row, error: &'static str, failing: &[&'static str]) {
    for call in failing {
        for nth in 1..=rig.wanted.io_kills {
            let mut met = true;
            let part = format!("{error} at {call} {nth}");
            row.part(&part, |row| {
                let (place, ledger) = rig.place();
                let clients = Clients::new(rig.seed() ^ nth as u64, 1, &ledger);
                let injection = Injection::once(call, Injected::Error(error), nth);
                let (answers, survived) = serve_traced(rig, &place, &clients, &[injection], true);
                let hit: Vec<Call> = injected(&place.home().join("strace"));
                met = !hit.is_empty();
                if !met {
                    return;
                }
                if hit.iter().any(is_no_disk) {
                    row.elsewhere += 1;
                } else {
                    row.met += 1;
                    row.expect(
                        answers.as_promised(),
                        &part,
                        "an answer is neither 200 nor 503",
                    );
                    let started = answers.count(200) + answers.count(503) > 0;
                    row.expect(survived || !started, &part, "the server ended");
                    row.expect(
                        !survived || answers.count(200) > 0,
                        &part,
                        "it does not accept again",
                    );
                    row.answered(&answers);
                }
                settle(row, &part, nth, &place, &clients, &ledger);
            });
            if !met {
                break;
            }
        }
    }
}

/// Every fsync takes that much longer while clients post; each must have its answer in time.
pub(crate) fn slow(rig: &Rig, row: &mut Row) {
    for (millis, seconds) in [(500, 4), (2000, 12)] {
        let part = format!("{millis} ms more");
        let (place, ledger) = rig.place();
        let clients = Clients::new(rig.seed(), 4, &ledger);
        let injection = Injection {
            onwards: true,
            ..Injection::once("fsync", Injected::Delay(millis * 1000), 1)
        };
        let log = place.home().join("strace");
        let mut traced = rig.strace.around(&receiving(&place), &log, &[injection]);
        let server = Server::start(&mut traced);
        let script = || sleep(Duration::from_secs(seconds));
        let (_, answers) = clients.while_running(server.ingest(), script);
        row.met += answers.count(200) + answers.count(503);
        row.expect(
            answers.as_promised(),
            &part,
            "an answer is neither 200 nor 503",
        );
        row.expect(answers.count(0) == 0, &part, "a request has no answer");
        let slowest = answers.slowest();
        row.expect(
            slowest < ANSWER,
            &part,
            &format!("an answer took {slowest:?}"),
        );
        row.answered(&answers);
        let (lived, _) = kill_traced(server);
        row.expect(lived, &part, "the server ended");
        settle(row, &part, 1, &place, &clients, &ledger);
    }
}

/// A traced server's life: some posts, and with `until_accepted` more until one is answered 200; then
/// `kill -9`. True if it lived till then.
fn serve_traced(
    rig: &Rig,
    place: &Place,
    clients: &Clients<'_>,
    injections: &[Injection],
    until_accepted: bool,
) -> (Answers, bool) {
    let log = place.home().join("strace");
    let mut traced = rig.strace.around(&receiving(place), &log, injections);
    let Ok(server) = Server::try_start(&mut traced) else {
        return (Answers::default(), false);
    };
    let ingest = server.ingest();
    let mut answers = clients.posts(ingest, POSTS);
    if until_accepted && clients.accepted_within(ingest, BACK) {
        answers.add(&Answers::accepted());
    }
    let (lived, _) = kill_traced(server);
    (answers, lived)
}

/// A server without faults takes over: it accepts, and nothing is lost.
fn settle(
    row: &mut Row,
    part: &str,
    nth: usize,
    place: &Place,
    clients: &Clients<'_>,
    ledger: &ClientLedger,
) {
    let server = start(row, &mut receiving(place));
    let answers = clients.posts(server.ingest(), 1);
    row.expect(
        answers.count(200) == 1,
        part,
        "a server started again does not accept",
    );
    server.kill();
    if nth % JUDGED_WHOLE == 1 {
        row.judge(part, place, ledger);
    } else {
        let lost = oracle::lost(place, ledger);
        row.count(ledger.answers(), lost);
        row.expect(lost == 0, part, &format!("{lost} are lost"));
    }
}

fn injected(log: &Path) -> Vec<Call> {
    calls(log)
        .into_iter()
        .filter(|call| call.injected)
        .collect()
}

/// A write that no disk can fail: the runtime waking itself up, or words for the terminal.
fn is_no_disk(call: &Call) -> bool {
    let wakes = call.texts().concat() == 1_u64.to_ne_bytes();
    let speaks = matches!(call.descriptor(), Some(1 | 2));
    call.name == "write" && (wakes || speaks)
}

/// Another place with the same data, and the same ledger.
pub(crate) fn copy(rig: &Rig, template: &Place) -> Place {
    let place = Place::local(rig.program());
    copy_folder(&template.directory(), &place.directory());
    std::fs::copy(template.home().join(LEDGER), place.home().join(LEDGER)).unwrap();
    place
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
