//! What keeps a lake good for years, by the commands and by a server itself.

use std::process::Command;

use postlake_testkit::{Outcome, Place, Running, Server, until};
use serde_json::Value;

use crate::PROGRAM;
use crate::traffic::{fill, one_event};

fn run(place: &Place, arguments: &[&str], rules: &[(&str, &str)]) -> Outcome {
    let mut command = place.command_here(arguments);
    for (name, days) in rules {
        command.env(format!("POSTLAKE_RETENTION__{name}"), days);
    }
    Running::start(&mut command).wait()
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap()
}

/// The sum of a number of each table of a report.
fn sum(report: &Value, of: &str) -> u64 {
    let tables = report["tables"].as_array().unwrap();
    tables.iter().map(|table| table[of].as_u64().unwrap()).sum()
}

/// A place with as many small files as are merged.
fn many_small_files() -> Place {
    let place = Place::local(PROGRAM);
    for seed in 0..9 {
        fill(&place, seed, 1);
        place.load();
    }
    place
}

#[test]
fn small_files_are_merged_and_then_deleted_and_every_row_stays() {
    let place = many_small_files();
    let rows = || {
        ["events", "alerts", "quarantine", "batches"].map(|table| {
            let lines = place.sorted_lines(&format!("SELECT * FROM {table}"));
            (table, lines)
        })
    };
    let before = rows();
    let planned = json(&place.run(&["compact", "--dry-run", "-o", "json"]).success());
    assert!(sum(&planned, "groups") >= 1, "{planned}");
    let done = json(&place.run(&["compact", "-o", "json"]).success());
    assert_eq!(sum(&done, "files_before"), sum(&planned, "files_before"));
    assert_eq!(sum(&done, "files_after"), sum(&done, "groups"));
    assert_eq!(rows(), before);
    let again = json(&place.run(&["compact", "-o", "json"]).success());
    assert_eq!(sum(&again, "groups"), 0);
    // Kept for a week, unless somebody says otherwise.
    let kept = json(&place.run(&["vacuum", "-o", "json"]).success());
    assert_eq!(sum(&kept, "files"), 0);
    let now = ["vacuum", "--older-than", "0s", "-o", "json"];
    // The sink has not been over the versions that merged.
    place.load();
    let gone = json(&place.run(&now).success());
    assert_eq!(sum(&gone, "files"), sum(&done, "files_before"));
    assert_eq!(rows(), before);
    place.run(&["verify"]).success();
    let said = place.run(&["compact"]).success().text();
    assert!(
        said.contains("events: 0 files of 0 bytes merged into 0"),
        "{said}"
    );
}

#[test]
fn old_days_go_by_their_rules_and_no_others() {
    let place = Place::local(PROGRAM);
    for day in [40, 9, 5, 1, 0] {
        place.put_day(day, 2);
    }
    place.load();
    let rules = [("RAW", "8d"), ("EVENTS", "6d"), ("BATCHES", "30d")];
    let sure = ["retain", "-o", "json"];
    let dry = [&sure[..], &["--dry-run"]].concat();
    let planned = json(&run(&place, &dry, &rules).success());
    assert_eq!(place.number("SELECT count(*) FROM events"), 10);
    let done = json(&run(&place, &sure, &rules).success());
    assert_eq!(
        (&done["raw"], &done["tables"]),
        (&planned["raw"], &planned["tables"])
    );
    assert_eq!(
        (done["raw"]["segments"].as_u64(), sum(&done, "rows")),
        (Some(2), 5)
    );
    assert_eq!(place.number("SELECT count(*) FROM events"), 6);
    assert_eq!(place.number("SELECT count(*) FROM batches"), 4);
    assert_eq!(place.objects("raw").len(), 3);
    // What went counts on both sides of the books.
    let server = place.serve(&[]);
    let summary = server.api("/api/v1/summary");
    assert_eq!(summary["books"]["balanced"], true, "{}", summary["books"]);
    assert_eq!(summary["rows"]["events"], 6);
    place.drain(server);
    let none = run(&place, &["retain"], &[]).success();
    assert!(
        none.stderr.contains("there is no rule under [retention]"),
        "{}",
        none.stderr
    );
    let wrong = run(&place, &["retain"], &[("RAW", "36h")]);
    assert_eq!(wrong.code, Some(78));
    assert!(
        wrong.stderr.contains("must be whole days"),
        "{}",
        wrong.stderr
    );
}

const COUNT: &str = "SELECT count(*) FROM events WHERE";

#[test]
fn a_clock_that_is_days_away_lets_nothing_go() {
    let place = Place::local(PROGRAM);
    place.put_day(3, 2);
    place.load();
    let rules = [("RAW", "1d"), ("EVENTS", "1d")];
    let unsure = run(&place, &["retain"], &rules);
    assert_eq!(unsure.code, Some(75), "{}", unsure.stderr);
    let said = "either the clock has jumped or nothing came";
    assert!(unsure.stderr.contains(said), "{}", unsure.stderr);
    assert_eq!(place.number("SELECT count(*) FROM events"), 2);
    run(&place, &["retain", "--clock-is-right"], &rules).success();
    assert_eq!(place.number("SELECT count(*) FROM events"), 0);
    assert_eq!(place.objects("raw").len(), 0);
}

fn keeping(place: &Place) -> Command {
    let free = "127.0.0.1:0";
    let mut command =
        place.command_here(&["serve", "--ingest-listen", free, "--read-listen", free]);
    command
        .env("POSTLAKE_LOAD__INTERVAL", "10ms")
        .env("POSTLAKE_LAKE__UPKEEP_INTERVAL", "500ms")
        .env("POSTLAKE_RETENTION__EVENTS", "3d");
    command
}

#[test]
fn a_server_keeps_its_lake_by_itself() {
    let place = Place::local(PROGRAM);
    for day in [5, 4, 2, 0] {
        place.put_day(day, 2);
    }
    place.load();
    let server = Server::start(&mut keeping(&place));
    for number in 0..12 {
        server.accepts_body("/webhooks/events", &one_event(&format!("kept-{number}")));
        server.wait_loaded(5 + number);
    }
    until("files are merged and old days gone", || {
        let merged = place.run(&["compact", "--dry-run", "-o", "json"]).success();
        let left = sum(&json(&merged), "groups");
        let old = place.number(&format!("{COUNT} event_id IN ('5-0', '5-1', '4-0', '4-1')"));
        let log = place.objects("lake/batches/_delta_log");
        let done = log.iter().any(|(_, entry)| {
            let text = String::from_utf8_lossy(entry);
            text.contains(r#""postlake":{"job":"compact"}"#)
        });
        (left == 0 && old == 0 && done).then_some(())
    });
    place.drain(server);
    assert_eq!(
        place.number(&format!("{COUNT} event_id IN ('2-0', '2-1', '0-0', '0-1')")),
        4
    );
    assert_eq!(place.number("SELECT count(*) FROM batches"), 16);
}
