//! `postlake verify` over what a real server received and loaded, and over what was broken on purpose.

use std::path::{Path, PathBuf};

use postlake_testkit::{Outcome, Place, oracle};
use serde_json::Value;

use crate::{PROGRAM, traffic};

/// What `verify -o json` says, with the exit code that belongs to it.
#[track_caller]
fn verified(place: &Place, arguments: &[&str]) -> Value {
    let outcome = verify(place, &[&["-o", "json"], arguments].concat());
    let report: Value = serde_json::from_slice(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", outcome.text(), outcome.stderr));
    let code = if report["ok"] == true { 0 } else { 65 };
    assert_eq!(outcome.code, Some(code), "{report}");
    report
}

fn verify(place: &Place, arguments: &[&str]) -> Outcome {
    place.run(&[&["verify"], arguments].concat())
}

/// Kind and place of each finding.
fn findings(report: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| (text(finding, "kind"), text(finding, "place")))
        .collect()
}

/// All files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_books_of_a_server_balance_and_the_ledger_says_what_the_oracle_counts() {
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 21, 60);
    let found = oracle::check(&place, &ledger);
    let report = verified(&place, &[]);
    assert_eq!(findings(&report), []);
    let total = &report["total"];
    assert_eq!(total["received_batches"], found.batches);
    assert_eq!(total["batches"], found.batches);
    assert_eq!(total["events"], found.events);
    assert_eq!(total["alerts"], found.alerts);
    assert_eq!(total["quarantined"], found.quarantined);
    assert_eq!(total["duplicates"], found.duplicates);
    assert_eq!(
        (&total["missing_items"], &total["waiting_items"]),
        (&0.into(), &0.into())
    );
    let all = verify(&place, &["--ledger"]).success().text();
    assert!(
        all.contains("received_items") && all.contains("+ 0 missing"),
        "{all}"
    );
    let none = verified(&place, &["--until", "2020-01-01"]);
    assert_eq!(none["total"]["received_batches"], 0);
    assert_eq!(none["ok"], true);
}

#[test]
fn what_was_received_and_not_loaded_waits() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive"]);
    let ledger = traffic::post(&server, 22, 10);
    // Beside a running server.
    let report = verified(&place, &[]);
    assert_eq!(report["total"]["waiting_batches"], ledger.answers());
    server.stop();
    place.load();
    let report = verified(&place, &[]);
    assert_eq!(report["total"]["waiting_batches"], 0);
    assert_eq!(report["total"]["batches"], ledger.answers());
}

#[test]
fn whatever_is_broken_is_named_with_its_place() {
    let place = Place::local(PROGRAM);
    drop(traffic::fill(&place, 23, 40));
    let data = place.directory();
    let segments = files(&data.join("raw"), ".seg.zst");
    let below = |path: &Path| {
        path.strip_prefix(&data)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let first = segments.first().unwrap();
    let whole = std::fs::read(first).unwrap();

    std::fs::write(first, &whole[..whole.len() - 3]).unwrap();
    let found = findings(&verified(&place, &[]));
    assert_eq!(found[0], ("damaged-segment".to_owned(), below(first)));

    std::fs::remove_file(first).unwrap();
    let found = findings(&verified(&place, &[]));
    assert_eq!(found[0], ("missing-segment".to_owned(), below(first)));
    std::fs::write(first, &whole).unwrap();

    let stray = first.with_file_name("notes.txt");
    std::fs::write(&stray, "x").unwrap();
    let found = findings(&verified(&place, &[]));
    assert_eq!(found, [("stray-object".to_owned(), below(&stray))]);
    std::fs::remove_file(&stray).unwrap();

    for table in ["events", "alerts", "quarantine", "batches"] {
        let file = &files(&data.join("lake").join(table), ".parquet")[0];
        let aside = data.join("aside");
        std::fs::rename(file, &aside).unwrap();
        let found = findings(&verified(&place, &[]));
        assert_eq!(found[0], ("missing-data-file".to_owned(), below(file)));
        std::fs::rename(&aside, file).unwrap();
    }
    assert_eq!(findings(&verified(&place, &[])), []);
}

#[test]
fn a_place_without_data_says_so() {
    let place = Place::local(PROGRAM);
    assert_eq!(verified(&place, &[])["total"]["received_batches"], 0);
    let absent = place.run(&["verify", "--since", "soon"]);
    assert_eq!(absent.code, Some(2), "{}", absent.stderr);
}
