//! The fault rig behind `cargo xtask faults`: the real program under load, with the faults of a table
//! done to it, judged by the ledger of its clients.
//!
//! Prints one line of JSON on standard output: a row for each fault. `xtask/src/faults.rs` starts it
//! and writes the scoreboard. `docs/faults.md` says what is injected.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of tests, which may panic and talk, for xtask to read"
)]

mod calls;
mod kills;
mod limits;
mod load;
mod power;
mod rig;
mod row;
mod s3;
mod timing;
mod upgrades;
mod upkeep;

use std::process::ExitCode;

use rig::{Rig, Wanted};
use row::Row;

/// A fault: its name, what is done, and the function that does it.
type Fault = (&'static str, &'static str, fn(&Rig, &mut Row));

const FAULTS: &[Fault] = &[
    ("F1", "kill -9 at a random moment under load", kills::random),
    (
        "F2-receive",
        "kill -9 at an I/O call of start and receive",
        calls::killed_receiving,
    ),
    (
        "F2-load",
        "kill -9 at an I/O call of load",
        calls::killed_loading,
    ),
    (
        "F2-compact",
        "kill -9 at an I/O call of compact",
        upkeep::killed_compacting,
    ),
    (
        "F2-merge",
        "kill -9 at an I/O call of compact, where it merges raw segments",
        upkeep::killed_merging,
    ),
    (
        "F2-retain",
        "kill -9 at an I/O call of retain",
        upkeep::killed_retaining,
    ),
    (
        "F2-vacuum",
        "kill -9 at an I/O call of vacuum",
        upkeep::killed_vacuuming,
    ),
    ("F3", "power cut", power::cuts),
    ("F4", "no room at an I/O call", calls::full),
    ("F5", "EIO at an I/O call", calls::broken),
    ("F6", "every fsync takes longer", calls::slow),
    ("F7", "S3 that fails, under load", s3::faults),
    (
        "F14-hand-over",
        "another release takes over the sockets under load",
        upgrades::handed_over,
    ),
    (
        "F14-kill",
        "kill -9 under load, another release starts",
        upgrades::killed_and_replaced,
    ),
    (
        "F14-downgrade",
        "data of a newer release",
        upgrades::downgraded,
    ),
    ("F15", "SIGTERM under load", kills::drains),
    ("F16", "address space used up", limits::memory),
    ("F17", "file descriptors used up", limits::descriptors),
    (
        "F24",
        "kill -9 under load, then at an I/O call of the next start",
        kills::again,
    ),
];

/// Played when it is named: it takes long, and says something on a quiet machine only.
const ON_DEMAND: &[Fault] = &[(
    "B19",
    "wrong logins, and how long the refusal takes (advisory)",
    timing::logins,
)];

fn main() -> ExitCode {
    let wanted = match Wanted::parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("postlake-faults: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("seed {}", wanted.seed);
    let rig = Rig::new(wanted);
    let mut rows = Vec::new();
    let on_demand = ON_DEMAND.iter().filter(|(name, ..)| rig.names(name));
    for (name, what, play) in FAULTS.iter().chain(on_demand) {
        if rig.wants(name) {
            let row = Row::play(name, what, |row| play(&rig, row));
            eprintln!("{}", row.line());
            rows.push(row.json());
        }
    }
    println!(
        "{}",
        serde_json::json!({ "seed": rig.seed(), "rows": rows })
    );
    ExitCode::SUCCESS
}
