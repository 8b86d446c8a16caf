//! F16, F17: memory and file descriptors that run out.

use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use postlake_testkit::{Place, Server};

use crate::load::Clients;
use crate::rig::{Rig, busy, receiving, start};
use crate::row::Row;

const CLIENTS: u64 = 4;

/// Address space of a server, in MiB, from too little to start to nearly enough.
const SPACES: &[u64] = &[400, 700, 1000, 1300, 1600];

/// Descriptors of a server, and connections that want one.
const DESCRIPTORS: u64 = 64;
const CONNECTIONS: usize = 300;

/// How long it may take to accept again.
const BACK: Duration = Duration::from_secs(30);

/// `command` under a limit of `prlimit`.
fn limited(command: &Command, limit: &str) -> Command {
    let mut limited = Command::new("prlimit");
    limited
        .arg(limit)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

pub(crate) fn memory(rig: &Rig, row: &mut Row) {
    let (place, ledger) = rig.place();
    let clients = Clients::new(rig.seed(), CLIENTS, &ledger);
    let mut ended = 0;
    for mib in SPACES {
        let limit = format!("--as={}", mib << 20);
        row.met += 1;
        let Ok(server) = Server::try_start(&mut limited(&busy(&place), &limit)) else {
            ended += 1;
            continue;
        };
        let (_, answers) = clients.while_running(server.ingest(), || sleep(BACK / 15));
        row.answered(&answers);
        row.expect(
            answers.as_promised(),
            &limit,
            "an answer is neither 200 nor 503",
        );
        server.kill();
    }
    row.note("ended_before_ready", ended);
    after(row, &place, &clients);
    row.judge("at the end", &place, &ledger);
}

pub(crate) fn descriptors(rig: &Rig, row: &mut Row) {
    let (place, ledger) = rig.place();
    let clients = Clients::new(rig.seed(), CLIENTS, &ledger);
    let limit = format!("--nofile={DESCRIPTORS}");
    let server = start(row, &mut limited(&receiving(&place), &limit));
    let ingest = server.ingest();
    let idle: Vec<_> = (0..CONNECTIONS)
        .map_while(|_| TcpStream::connect_timeout(&ingest, Duration::from_millis(200)).ok())
        .collect();
    row.met += 1;
    row.note("idle_connections", idle.len());
    let busy_before = cpu_ticks(server.id());
    sleep(Duration::from_secs(2));
    let burnt = cpu_ticks(server.id()).saturating_sub(busy_before);
    row.note(
        "cpu_seconds_of_2_while_out_of_descriptors",
        burnt as f64 / 100.0,
    );
    row.expect(burnt < 100, "out of descriptors", "it spins");
    drop(idle);
    row.expect(
        clients.accepted_within(ingest, BACK),
        "after it",
        "it does not accept again",
    );
    server.kill();
    row.judge("at the end", &place, &ledger);
}

fn after(row: &mut Row, place: &Place, clients: &Clients<'_>) {
    let server = start(row, &mut busy(place));
    row.expect(
        clients.posts(server.ingest(), 1).count(200) == 1,
        "without a limit",
        "a server started again does not accept",
    );
    server.kill();
}

/// Ticks of a hundredth second that the process has used.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let number = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    number(11).unwrap_or(0) + number(12).unwrap_or(0)
}
