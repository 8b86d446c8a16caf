//! F14: another release takes over, while requests come and after a kill; and one that is too old.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postlake_testkit::{ClientLedger, Place, until};
use rand::RngExt as _;
use rustix::process::Signal;

use crate::load::Clients;
use crate::rig::{LEDGER, Rig, busy, start};
use crate::row::Row;

const CLIENTS: u64 = 4;
const CYCLES: usize = 10;

/// When a server is replaced or ended, in milliseconds after it is ready.
const MOMENTS: std::ops::Range<u64> = 50..500;

/// The exit code of what cannot work as it is set up.
const CONFIG: i32 = 78;

/// A place whose program can be replaced, as a package manager would: another file gets its name.
struct Installed {
    place: Place,
    ledger: ClientLedger,
    program: PathBuf,
    /// Removed when this is dropped.
    _folder: tempfile::TempDir,
}

impl Installed {
    fn new(first: &str) -> Installed {
        let folder = tempfile::TempDir::with_prefix("postlake-release-").unwrap();
        let program = folder.path().join("postlake");
        install(first, &program);
        let place = Place::local(program.to_str().unwrap());
        let ledger = ClientLedger::kept_in(&place.home().join(LEDGER));
        Installed {
            place,
            ledger,
            program,
            _folder: folder,
        }
    }
}

fn install(release: &str, program: &Path) {
    let next = program.with_extension("next");
    fs::copy(release, &next).unwrap();
    fs::rename(&next, program).unwrap();
}

/// The previous release, or this one where none is given, and this one, in turn.
fn release(rig: &Rig, number: usize) -> &str {
    match number % 2 {
        0 => rig.wanted.previous.as_deref().unwrap_or(rig.program()),
        _ => rig.program(),
    }
}

fn note_previous(rig: &Rig, row: &mut Row) {
    let words = match rig.wanted.previous {
        Some(_) => "an older build, and this one, in turn",
        None => "this one alone",
    };
    row.note("releases", words);
}

/// Each release in turn is put in the place of the running one, on its sockets, while clients post. None
/// of them may be refused or cut off.
pub(crate) fn handed_over(rig: &Rig, row: &mut Row) {
    note_previous(rig, row);
    let mut dice = rig.dice(14);
    let installed = Installed::new(release(rig, 0));
    let clients = Clients::new(dice.random(), CLIENTS, &installed.ledger);
    let server = start(row, &mut busy(&installed.place));
    let mut slowest = Duration::ZERO;
    let (_, answers) = clients.while_running(server.ingest(), || {
        for number in 1..=CYCLES {
            sleep(Duration::from_millis(dice.random_range(MOMENTS)));
            install(release(rig, number), &installed.program);
            let asked = Instant::now();
            server.signal(Signal::USR2);
            until("the next release is ready", || {
                let ready = server.stderr().matches("postlake is ready").count();
                (ready == number + 1).then_some(())
            });
            slowest = slowest.max(asked.elapsed());
            row.met += 1;
        }
    });
    let part = "hand-over";
    row.expect(
        answers.count(0) == 0,
        part,
        "a request was refused or cut off",
    );
    row.expect(
        answers.as_promised(),
        part,
        "an answer is neither 200 nor 503",
    );
    row.note("slowest_hand_over_seconds", slowest.as_secs_f64());
    row.answered(&answers);
    server.kill();
    row.judge(part, &installed.place, &installed.ledger);
}

/// Each release in turn writes and loads, and is killed; the other one starts on what it left.
pub(crate) fn killed_and_replaced(rig: &Rig, row: &mut Row) {
    note_previous(rig, row);
    let mut dice = rig.dice(15);
    let installed = Installed::new(release(rig, 0));
    let clients = Clients::new(dice.random(), CLIENTS, &installed.ledger);
    // Ends with this release, which then judges.
    for number in 0..=CYCLES + 1 {
        install(release(rig, number), &installed.program);
        let server = start(row, &mut busy(&installed.place));
        let moment = Duration::from_millis(dice.random_range(MOMENTS));
        let (_, answers) = clients.while_running(server.ingest(), || {
            sleep(moment);
            server.kill()
        });
        let kept = answers.as_promised();
        row.expect(kept, "kill", "an answer is neither 200 nor 503");
        row.answered(&answers);
        row.met += 1;
    }
    row.judge("at the end", &installed.place, &installed.ledger);
}

/// A segment, and then a column of the lake, of a release of the future: this one must refuse with a sentence,
/// and go on when that release has been put back (here: what it left taken away).
pub(crate) fn downgraded(rig: &Rig, row: &mut Row) {
    let (place, ledger) = rig.place();
    let clients = Clients::new(rig.seed(), 1, &ledger);
    let server = start(row, &mut busy(&place));
    row.answered(&clients.posts(server.ingest(), 4));
    server.kill();
    // Killed early, it has made no lake yet.
    place.load();
    let segment = place.put_newer_segment();
    refuses(row, &place, &segment);
    fs::remove_file(place.directory().join(&segment)).unwrap();
    let entry = place.add_newer_column("events");
    refuses(row, &place, "of_tomorrow");
    fs::remove_file(entry).unwrap();
    row.judge("after it", &place, &ledger);
}

fn refuses(row: &mut Row, place: &Place, names: &str) {
    let serve = [
        "serve",
        "--role",
        "receive,load",
        "--ingest-listen",
        "127.0.0.1:0",
    ];
    for arguments in [&serve[..], &["load"]] {
        let part = arguments[0];
        let ended = place.run(arguments);
        row.met += 1;
        row.expect(ended.code == Some(CONFIG), part, "the exit code is not 78");
        let says = ended.stderr.contains("newer release") && ended.stderr.contains(names);
        row.expect(says, part, "it does not say what is newer");
    }
}
