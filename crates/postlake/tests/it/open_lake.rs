//! The lake is open: other engines read the same rows from it that `postlake query` answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use postlake_testkit::peers::{self, Python};
use postlake_testkit::{Place, Running, oracle};
use serde_json::{Value, json};

use crate::{PROGRAM, traffic};

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}

/// The engines that read a directory.
pub(crate) const LOCAL: [&str; 3] = ["deltalake", "duckdb", "polars"];

const TABLES: [&str; 4] = ["events", "alerts", "quarantine", "batches"];

/// Every engine of the script sees what `postlake query` does: as many rows, and each value of each column;
/// and none of them has to know more of Delta than its first version.
#[track_caller]
pub(crate) fn check(place: &Place, python: &Python, engines: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for table in TABLES {
        let rows = place.run(&["query", &format!("SELECT * FROM {table}"), "-o", "parquet"]);
        let file = folder.path().join(format!("{table}.parquet"));
        std::fs::write(file, rows.success().stdout).unwrap();
    }
    let exports = folder.path().to_str().unwrap();
    let arguments = [place.url(), exports];
    let answers = python.run_in(&script("open_lake.py"), &arguments, place.environment());
    let answers = answers.as_object().unwrap();
    let mut names: Vec<&str> = answers.keys().map(String::as_str).collect();
    names.retain(|name| !["postlake", "protocol"].contains(name));
    assert_eq!(names, engines);
    for table in TABLES {
        let ours = &answers["postlake"][table];
        assert!(ours["rows"].as_u64().unwrap() > 0, "{table}");
        for engine in engines {
            same(ours, &answers[*engine][table], &format!("{engine} {table}"));
        }
        assert_eq!(answers["protocol"][table], json!([1, 2, []]), "{table}");
    }
}

#[track_caller]
fn same(ours: &Value, theirs: &Value, what: &str) {
    assert_eq!(ours["rows"], theirs["rows"], "{what}");
    let columns = |seen: &Value| seen["columns"].as_object().unwrap().clone();
    let (ours, theirs) = (columns(ours), columns(theirs));
    let named = |columns: &serde_json::Map<String, Value>| -> BTreeSet<String> {
        columns.keys().cloned().collect()
    };
    assert_eq!(named(&ours), named(&theirs), "{what}");
    for (column, digest) in &ours {
        assert_eq!(&theirs[column], digest, "{what}: other values in {column}");
    }
}

#[test]
fn other_engines_read_the_same_lake() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 8, 60);
    oracle::check(&place, &ledger);
    check(&place, &python, &LOCAL);
}

/// Names of the log of `events`, without their folder.
fn log_of_events(place: &Place) -> BTreeSet<String> {
    let entries = place.objects("lake/events/_delta_log").into_iter();
    entries
        .filter_map(|(name, _)| Some(name.rsplit_once('/')?.1.to_owned()))
        .collect()
}

/// Small files merged, old days let go, replaced files deleted, the log cut behind a checkpoint; and then it
/// goes on.
#[test]
fn other_engines_read_the_same_lake_after_upkeep() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    place.put_day(500, 3);
    for (seed, posts) in [
        (8, 60),
        (1, 2),
        (2, 2),
        (3, 2),
        (4, 2),
        (5, 2),
        (6, 2),
        (7, 2),
        (9, 2),
    ] {
        drop(traffic::fill(&place, seed, posts));
    }
    check(&place, &python, &LOCAL);
    let before = place.number("SELECT count(*) FROM events");
    place.run(&["compact"]).success();
    check(&place, &python, &LOCAL);

    let mut retain = place.command_here(&["retain", "--clock-is-right"]);
    retain.env("POSTLAKE_RETENTION__EVENTS", "400d");
    Running::start(&mut retain).wait().success();
    assert_eq!(place.number("SELECT count(*) FROM events"), before - 3);
    check(&place, &python, &LOCAL);

    // The sink goes past these versions first.
    place.load();
    let vacuum = ["vacuum", "--older-than", "0s", "--clock-is-right"];
    place.run(&vacuum).success();
    let log = log_of_events(&place);
    assert!(
        log.iter().any(|name| name.ends_with(".checkpoint.parquet")),
        "{log:?}"
    );
    assert!(!log.contains("00000000000000000000.json"), "{log:?}");
    check(&place, &python, &LOCAL);

    drop(traffic::fill(&place, 10, 2));
    check(&place, &python, &LOCAL);
    place.run(&["verify"]).success();
}

#[test]
fn a_server_on_s3_is_read_by_other_processes_and_engines() {
    let Some(s3) = peers::s3() else { return };
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::on_s3(PROGRAM, s3);
    let server = place.serve(&[]);
    let ledger = traffic::post(&server, 7, 16);
    let summary = server.wait_loaded(ledger.answers());
    // Another process answers while the server runs.
    let events = place.number("SELECT count(*) FROM events");
    assert_eq!(summary["rows"]["events"], events);
    place.drain(server);
    let found = oracle::check(&place, &ledger);
    assert_eq!(i64::try_from(found.events).unwrap(), events);
    check(&place, &python, &["deltalake", "polars"]);
}
