//! `postlake replay`, `quarantine retry` and `backfill` with the real program: what is lost comes back,
//! whatever ends them in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postlake_testkit::seed::{dice, seed};
use postlake_testkit::{Place, Running, oracle};
use rand::RngExt as _;
use serde_json::Value;

use crate::{PROGRAM, traffic};

#[track_caller]
fn report(place: &Place, arguments: &[&str]) -> Value {
    let answer = place.run(&[arguments, &["-o", "json"]].concat()).success();
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// All rows of all tables, without when they were loaded.
fn exports(place: &Place) -> Vec<Vec<String>> {
    let sql = [
        "SELECT * FROM events",
        "SELECT * FROM alerts",
        "SELECT * FROM quarantine",
        "SELECT stream, segment, batch_index, sha256, items, events, alerts, duplicates, rejects, flags FROM batches",
    ];
    sql.iter().map(|sql| place.sorted_lines(sql)).collect()
}

fn verify(place: &Place) -> Option<i32> {
    place.run(&["verify"]).code
}

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_table_that_is_lost_is_made_again_by_a_replay_that_is_killed_again_and_again() {
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 31, 60);
    let right = exports(&place);
    assert_eq!(report(&place, &["replay", "--all"])["events_added"], 0);
    let mut dice = dice(seed(), 0);
    for table in ["events", "alerts", "quarantine", "batches"] {
        if table == "batches" {
            // Its positions say what was loaded: without them everything is loaded once more.
            continue;
        }
        fs::remove_dir_all(place.directory().join("lake").join(table)).unwrap();
        let would = report(&place, &["replay", "--all", "--dry-run"]);
        assert_eq!(would["dry_run"], true);
        for _ in 0..4 {
            let mut replay = Running::start(&mut place.command_here(&["replay", "--all"]));
            if !replay.ends_within(Duration::from_millis(dice.random_range(50..1_200))) {
                replay.kill();
            }
        }
        place.run(&["replay", "--all"]).success();
        assert_eq!(exports(&place), right, "{table}");
        assert_eq!(verify(&place), Some(0));
    }
    oracle::check(&place, &ledger);
}

#[test]
fn an_emptied_lake_is_the_same_after_a_replay_of_everything() {
    let place = Place::local(PROGRAM);
    drop(traffic::fill(&place, 32, 60));
    let right = exports(&place);
    fs::remove_dir_all(place.directory().join("lake")).unwrap();
    fs::remove_dir_all(place.directory().join("csv")).unwrap();
    place.run(&["replay", "--all"]).success();
    assert_eq!(exports(&place), right);
    assert_eq!(verify(&place), Some(0));
}

#[test]
fn batches_segments_and_times_are_replayed_by_themselves() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    for id in ["one", "two"] {
        let json = [
            ("content-type", "application/json"),
            ("x-messagesystems-batch-id", id),
        ];
        let body = traffic::one_event(id);
        let path = "/webhooks/events";
        let answer = postlake_testkit::http::exchange(server.ingest(), "POST", path, &json, &body);
        assert_eq!(answer.unwrap().status, 200);
    }
    place.drain(server);
    fs::remove_dir_all(place.directory().join("lake/events")).unwrap();
    let one = report(&place, &["replay", "--batch", "one"]);
    assert_eq!(
        (&one["batches"], &one["events_added"]),
        (&1.into(), &1.into())
    );
    let none = report(&place, &["replay", "--until", "2020-01-01"]);
    assert_eq!(none["batches"], 0);
    let rest = report(&place, &["replay", "--since", "1h"]);
    assert_eq!(
        (&rest["batches"], &rest["events_added"]),
        (&2.into(), &1.into())
    );
    let segment = &place.objects("raw")[0].0;
    assert_eq!(
        report(&place, &["replay", "--segment", segment])["segments"],
        1
    );
    assert_eq!(place.run(&["replay", "--batch", "three"]).code, Some(65));
    assert_eq!(place.run(&["replay", "--segment", "three"]).code, Some(2));
    assert_eq!(place.run(&["replay"]).code, Some(2));
    assert_eq!(verify(&place), Some(0));
}

#[test]
fn a_retry_reads_the_items_again_and_says_what_became_of_them() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    server.accepts_body("/webhooks/events", b"[3]");
    place.drain(server);
    let retried = report(&place, &["quarantine", "retry", "--all"]);
    assert_eq!(
        (&retried["items"], &retried["released"]),
        (&1.into(), &0.into())
    );
    let listed = place.run(&["quarantine", "list", "-o", "json"]).success();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let item = listed[0]["place"].as_str().unwrap();
    assert_eq!(report(&place, &["quarantine", "retry", item])["batches"], 1);
    assert_eq!(place.run(&["quarantine", "retry"]).code, Some(2));
    assert_eq!(place.objects("maintenance/audit").len(), 2);
}

#[test]
fn a_replay_beside_a_server_under_load_loses_and_doubles_nothing() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    let first = traffic::post(&server, 33, 20);
    let mut replay = Running::start(&mut place.command_here(&["replay", "--all"]));
    let second = traffic::post(&server, 34, 40);
    drop(first);
    drop(second);
    replay.ends_within(Duration::from_secs(60));
    replay.wait().success();
    place.drain(server);
    assert_eq!(verify(&place), Some(0));
}

#[test]
fn a_sink_that_the_log_no_longer_fills_is_filled_from_the_lake() {
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 35, 30);
    let found = oracle::check(&place, &ledger);
    // Corrected rows: the log tells more than the lake holds.
    let data = place.directory();
    let events = data.join("lake/events");
    let aside = data.join("aside");
    let file = parquet(&events).into_iter().next().unwrap();
    fs::rename(&file, &aside).unwrap();
    fs::remove_dir_all(data.join("csv")).unwrap();
    let refused = place.run(&["backfill", "--sink", "csv"]);
    assert_eq!(refused.code, Some(69), "{}", refused.stderr);
    fs::rename(&aside, &file).unwrap();
    fs::remove_dir_all(data.join("csv")).unwrap_or_default();
    let filled = report(&place, &["backfill", "--sink", "csv"]);
    let rows = found.events + found.alerts + found.quarantined + found.batches;
    assert_eq!(filled["rows"], rows);
    oracle::check(&place, &ledger);
    let unknown = place.run(&["backfill", "--sink", "warehouse"]);
    assert_eq!(unknown.code, Some(78));
    assert!(unknown.stderr.contains("csv"), "{}", unknown.stderr);
}

#[test]
fn what_is_damaged_is_repaired_from_what_is_left() {
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 36, 40);
    let right = exports(&place);
    assert_eq!(
        place.run(&["repair"]).success().text(),
        "nothing is damaged\n"
    );
    for table in ["events", "alerts", "quarantine", "batches"] {
        let files = parquet(&place.directory().join("lake").join(table));
        fs::write(&files[0], "no parquet").unwrap();
    }
    assert_eq!(verify(&place), Some(65));
    let would = report(&place, &["repair", "--dry-run"]);
    assert_eq!(would["data_files"].as_array().unwrap().len(), 4);
    assert_eq!(verify(&place), Some(65));
    let said = place.run(&["repair"]).success().text();
    assert!(said.contains("taken out of the log"), "{said}");
    assert_eq!(exports(&place), right);
    assert_eq!(verify(&place), Some(0));
    oracle::check(&place, &ledger);
}
