//! The lake is open: other engines read the same rows from it that `postlake query` answers.

use std::path::{Path, PathBuf};

use postlake_testkit::peers::{self, Python};
use postlake_testkit::{Place, oracle};
use serde::Deserialize;
use serde_json::Value;

use crate::{PROGRAM, traffic};

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name)
}

/// Table, sum, key: the columns that the script reads.
const TABLES: [(&str, &str, &str); 4] = [
    ("events", "subaccount_id", "coalesce(event_id, event_hash)"),
    ("alerts", "triggered_value", "record_id"),
    ("quarantine", "item_bytes", "code"),
    ("batches", "bytes", "sha256"),
];

#[derive(Deserialize)]
struct Row {
    total: Option<f64>,
    key: String,
}

/// Every engine of the script sees what `postlake query` does.
#[track_caller]
pub(crate) fn check(place: &Place, python: &Python, engines: &[&str]) {
    let answers = python.run_in(&script("open_lake.py"), &[place.url()], place.environment());
    let names: Vec<&str> = answers
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, engines);
    for (table, total, key) in TABLES {
        let sql = format!(
            "SELECT CAST({total} AS DOUBLE) AS total, {key} AS key FROM {table} ORDER BY 2"
        );
        let rows: Vec<Row> = place.query(&sql);
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let sum: f64 = rows.iter().filter_map(|row| row.total).sum();
        for engine in engines {
            let seen = &answers[engine][table];
            assert!(!rows.is_empty(), "{table}");
            assert_eq!(seen["rows"], rows.len(), "{engine} {table}");
            let difference = seen["sum"].as_f64().unwrap() - sum;
            assert!(
                difference.abs() <= sum.abs() * 1e-12,
                "{engine} {table}: {difference}"
            );
            let seen_keys: Vec<&str> = texts(&seen["keys"]).collect();
            assert!(seen_keys == keys, "{engine} {table}: other rows");
        }
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
}

#[test]
fn other_engines_read_the_same_lake() {
    let Some(python) = peers::python() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 8, 60);
    oracle::check(&place, &ledger);
    check(&place, &python, &["deltalake", "duckdb", "polars"]);
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
