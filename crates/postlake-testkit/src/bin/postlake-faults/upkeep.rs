//! F2, F24, F25: kills at calls of the jobs that keep the lake. The job is run again, and then everything
//! is as if it had not been killed.

use std::process::Command;

use postlake_testkit::strace::{DISK_CALLS, Injected, Injection};
use postlake_testkit::{ClientLedger, Place, Running};
use serde_json::Value;

use crate::calls::copy;
use crate::load::Clients;
use crate::rig::{LEDGER, Rig, receiving, start};
use crate::row::Row;

/// Loads of a template, each of which leaves a file in each table.
const LOADS: usize = 9;

/// Days of the retained template that go and that stay, with their events.
const OLD_DAYS: [i64; 2] = [40, 35];
const YOUNG_DAYS: [i64; 2] = [1, 0];
const EVENTS: usize = 3;

pub(crate) fn killed_compacting(rig: &Rig, row: &mut Row) {
    let (template, ledger) = filled(rig, row);
    let judge = |row: &mut Row, part: &str, place: &Place| {
        row.judge_copy(part, place, &ledger);
        let left = sum(place, &["compact", "--dry-run", "-o", "json"], "groups");
        row.expect(left == 0, part, "something is left to merge");
    };
    killed(rig, row, &template, &["compact"], &judge);
    row.judge("the template", &template, &ledger);
}

/// Segments of a past day that are merged.
const SEGMENTS: u64 = 12;

pub(crate) fn killed_merging(rig: &Rig, row: &mut Row) {
    let template = Place::local(rig.program());
    template.put_stream(5, SEGMENTS);
    std::fs::write(template.home().join(LEDGER), "").unwrap();
    template.load();
    let received = |place: &Place| {
        let objects = place.objects("raw").into_iter();
        objects.map(|(_, bytes)| bytes).collect::<Vec<_>>().concat()
    };
    let before = received(&template);
    let judge = |row: &mut Row, part: &str, place: &Place| {
        row.expect(
            place.objects("raw").len() == 1,
            part,
            "something is left to merge",
        );
        row.expect(received(place) == before, part, "raw holds other bytes");
        let books = place.run(&["verify", "--deep"]);
        row.expect(books.code == Some(0), part, "the books do not hold");
    };
    killed(rig, row, &template, &["compact"], &judge);
}

pub(crate) fn killed_vacuuming(rig: &Rig, row: &mut Row) {
    let (template, ledger) = filled(rig, row);
    template.run(&["compact"]).success();
    template.load();
    let judge = |row: &mut Row, part: &str, place: &Place| {
        row.judge_copy(part, place, &ledger);
        let look = ["vacuum", "--older-than", "0s", "--dry-run", "-o", "json"];
        row.expect(
            sum(place, &look, "files") == 0,
            part,
            "replaced files are still there",
        );
    };
    let command = ["vacuum", "--older-than", "0s"];
    killed(rig, row, &template, &command, &judge);
    row.judge("the template", &template, &ledger);
}

pub(crate) fn killed_retaining(rig: &Rig, row: &mut Row) {
    let template = Place::local(rig.program());
    for day in OLD_DAYS.into_iter().chain(YOUNG_DAYS) {
        template.put_day(day, EVENTS);
    }
    std::fs::write(template.home().join(LEDGER), "").unwrap();
    template.load();
    let judge = |row: &mut Row, part: &str, place: &Place| {
        place.load();
        let days = YOUNG_DAYS.len();
        let events = place.number("SELECT count(*) FROM events");
        let batches = place.number("SELECT count(*) FROM batches");
        row.expect(
            events == (days * EVENTS) as i64,
            part,
            "events are not as they should be",
        );
        row.expect(
            batches == days as i64,
            part,
            "batches are not as they should be",
        );
        let segments = place.objects("raw").len();
        row.expect(segments == days, part, "raw is not as it should be");
        let books = place.run(&["verify"]);
        row.expect(books.code == Some(0), part, "the books do not hold");
    };
    // The days between are a gap, as after a clock that jumped.
    let command = ["retain", "--clock-is-right"];
    killed(rig, row, &template, &command, &judge);
}

/// The sum of a number of each table of a report.
fn sum(place: &Place, command: &[&str], of: &str) -> u64 {
    let report: Value = serde_json::from_slice(&place.run(command).success().stdout).unwrap();
    let tables = report["tables"].as_array().unwrap();
    tables.iter().map(|table| table[of].as_u64().unwrap()).sum()
}

/// A template with as many small files as are merged.
fn filled(rig: &Rig, row: &mut Row) -> (Place, ClientLedger) {
    let (template, ledger) = rig.place();
    let clients = Clients::new(rig.seed(), 1, &ledger);
    for _ in 0..LOADS {
        let server = start(row, &mut receiving(&template));
        row.answered(&clients.posts(server.ingest(), 1));
        server.kill();
        template.load();
    }
    (template, ledger)
}

fn killed(
    rig: &Rig,
    row: &mut Row,
    template: &Place,
    arguments: &[&str],
    judge: &dyn Fn(&mut Row, &str, &Place),
) {
    for call in DISK_CALLS {
        for nth in 1..=rig.wanted.io_kills {
            let part = format!("{call} {nth}");
            let mut met = true;
            row.part(&part, |row| {
                let place = copy(rig, template);
                let log = place.home().join("strace");
                let injection = Injection::once(call, Injected::Kill, nth);
                let command = with_rules(place.command_here(arguments));
                let mut traced = rig.strace.around(&command, &log, &[injection]);
                met = Running::start(&mut traced).wait().code != Some(0);
                if met {
                    row.met += 1;
                    let mut again = with_rules(place.command_here(arguments));
                    Running::start(&mut again).wait().success();
                    judge(row, &part, &place);
                }
            });
            if !met {
                break;
            }
        }
    }
}

fn with_rules(mut command: Command) -> Command {
    for name in ["RAW", "EVENTS", "ALERTS", "QUARANTINE", "BATCHES"] {
        command.env(format!("POSTLAKE_RETENTION__{name}"), "30d");
    }
    command
}
