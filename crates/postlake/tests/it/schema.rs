//! A lake that another release has written: an older one, and a newer one.
//!
//! The older one is a recorded lake. It was written by this program without two of its columns, `outbound_tls`
//! and `geo_ip_continent`: what was sent of them lies in `extra`.

use std::fs;
use std::path::Path;

use postlake_testkit::{Place, peers, until};
use serde::Deserialize;

use crate::open_lake::{self, LOCAL};
use crate::{PROGRAM, traffic};

const OLDER: &str = "two-columns-fewer";

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The lake of the older release.
fn older() -> Place {
    let place = Place::local(PROGRAM);
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lakes");
    copied(&recorded.join(OLDER), &place.directory());
    place
}

#[derive(Debug, Deserialize, PartialEq)]
struct Row {
    outbound_tls: Option<i64>,
    geo_ip_continent: Option<String>,
    extra: Option<String>,
    flags: Option<String>,
}

fn rows(place: &Place) -> Vec<Row> {
    place.query(
        "SELECT outbound_tls, geo_ip_continent, extra, flags FROM events \
         WHERE event_at < '2026-01-04' ORDER BY event_at",
    )
}

fn row(tls: Option<i64>, continent: Option<&str>, extra: Option<&str>) -> Row {
    Row {
        outbound_tls: tls,
        geo_ip_continent: continent.map(str::to_owned),
        extra: extra.map(str::to_owned),
        flags: None,
    }
}

/// As the older release left them: `"1"`, `0`, `"-1"`, `1` in turn, continents, and odd ones.
fn before() -> Vec<Row> {
    let tls = [r#""1""#, "0", r#""-1""#, "1"];
    let tls = tls.map(|sent| format!(r#"{{"outbound_tls":{sent}}}"#));
    let tls = tls
        .iter()
        .cycle()
        .take(8)
        .map(|extra| row(None, None, Some(extra)));
    let continent = r#"{"geo_ip":{"continent":"NA"}}"#;
    let opens = (0..4).map(|_| row(None, None, Some(continent)));
    let odd = [
        Some(r#"{"outbound_tls":"yes","of_tomorrow":{"a": [1, 2]}}"#),
        Some(r#"{"outbound_tls":1,"geo_ip":{"continent":"NA","planet":"earth"}}"#),
        None,
    ];
    tls.chain(opens)
        .chain(odd.map(|extra| row(None, None, extra)))
        .collect()
}

/// As they are once today's release has read them again.
fn after() -> Vec<Row> {
    let tls = [1, 0, -1, 1].into_iter().cycle().take(8);
    let tls = tls.map(|number| row(Some(number), None, None));
    let opens = (0..4).map(|_| row(None, Some("NA"), None));
    let mut misfit = row(
        None,
        None,
        Some(r#"{"of_tomorrow":{"a": [1, 2]},"outbound_tls":"yes"}"#),
    );
    misfit.flags = Some("misfit:outbound_tls".to_owned());
    let planet = r#"{"geo_ip":{"planet":"earth"}}"#;
    let odd = [
        misfit,
        row(Some(1), Some("NA"), Some(planet)),
        row(None, None, None),
    ];
    tls.chain(opens).chain(odd).collect()
}

fn check_engines(place: &Place) {
    if let Some(python) = peers::python() {
        open_lake::check(place, &python, &LOCAL);
    }
}

fn log_entries(place: &Place) -> usize {
    place.objects("lake/events/_delta_log").len()
}

/// The header lines of the CSV files, in the order of their names.
fn headers(place: &Place) -> Vec<String> {
    let files = place.objects("csv/events").into_iter();
    let files = files.filter(|(name, _)| name.ends_with(".csv"));
    files
        .map(|(_, file)| {
            String::from_utf8_lossy(&file)
                .lines()
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn has_new_columns(header: &str) -> bool {
    let has = |column: &str| header.split(',').any(|name| name == column);
    assert_eq!(has("outbound_tls"), has("geo_ip_continent"));
    has("outbound_tls")
}

/// All rows, without when their batches were loaded.
fn exports(place: &Place) -> [Vec<String>; 4] {
    [
        "SELECT * FROM events",
        "SELECT * FROM alerts",
        "SELECT * FROM quarantine",
        "SELECT stream, segment, batch_index, sha256, items, events, alerts, duplicates, rejects, flags FROM batches",
    ]
    .map(|sql| place.sorted_lines(sql))
}

#[test]
fn a_lake_of_an_older_release_is_read_and_gets_new_columns_and_a_replay_fills_them() {
    let place = older();
    assert_eq!(rows(&place), before(), "read as it is");
    assert_eq!(log_entries(&place), 4);
    assert_eq!(
        headers(&place)
            .iter()
            .filter(|header| has_new_columns(header))
            .count(),
        0
    );
    let csv = place.objects("csv");

    // New rows: the columns come in a commit of their own, and old files stay.
    place.put_day(0, 3);
    place.load();
    assert_eq!(log_entries(&place), 6);
    assert_eq!(rows(&place), before());
    check_engines(&place);
    let new = headers(&place);
    assert_eq!(new.len(), 4);
    assert_eq!(
        new.iter()
            .map(|header| has_new_columns(header))
            .collect::<Vec<_>>(),
        [false, false, false, true]
    );
    let kept = place.objects("csv");
    let old_files = csv.iter().filter(|(name, _)| name.ends_with(".csv"));
    assert!(
        old_files.into_iter().all(|file| kept.contains(file)),
        "a file was written anew"
    );
    place.run(&["verify"]).success();

    // What lay in `extra` comes into its column, and nothing else changes.
    place.run(&["replay", "--all"]).success();
    assert_eq!(rows(&place), after());
    check_engines(&place);
    place.run(&["verify"]).success();
    let replayed = exports(&place);
    place.run(&["replay", "--all"]).success();
    assert_eq!(
        exports(&place),
        replayed,
        "a second replay finds nothing to do"
    );

    // As if today's release had loaded all of it.
    fs::remove_dir_all(place.directory().join("lake")).unwrap();
    fs::remove_dir_all(place.directory().join("csv")).unwrap();
    place.load();
    assert_eq!(exports(&place), replayed);
}

#[test]
fn a_sink_is_filled_anew_with_the_columns_that_a_replay_has_filled() {
    let place = older();
    place.run(&["replay", "--all"]).success();
    assert_eq!(rows(&place), after());
    fs::remove_dir_all(place.directory().join("csv")).unwrap();
    place.run(&["backfill", "--sink", "csv"]).success();
    let headers = headers(&place);
    assert!(!headers.is_empty() && headers.iter().all(|header| has_new_columns(header)));
    let files = place.objects("csv/events");
    let text: String = files
        .iter()
        .map(|(_, file)| String::from_utf8_lossy(file))
        .collect();
    assert_eq!(text.matches(",NA,").count(), 5, "{text}");
}

#[test]
fn files_of_an_older_release_are_merged_with_new_ones() {
    let place = older();
    let server = place.serve(&["--role", "receive,load"]);
    let loaded = place.number("SELECT count(*) FROM batches");
    for number in 1..=8 {
        // On the day of two of the recorded files.
        let event = format!(
            r#"[{{"msys":{{"message_event":{{"type":"delivery","event_id":"{number}","timestamp":"1767225600","outbound_tls":1}}}}}}]"#
        );
        server.accepts_body("/webhooks/events", event.as_bytes());
        until("it is loaded", || {
            (place.number("SELECT count(*) FROM batches") == loaded + number).then_some(())
        });
    }
    place.drain(server);
    let before = exports(&place);
    let done = place.run(&["compact", "-o", "json"]).success();
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let events = &done["tables"][0];
    assert_eq!(events["groups"], 1, "{done}");
    assert!(events["files_before"].as_u64().unwrap() >= 8, "{done}");
    assert_eq!(exports(&place), before);
    check_engines(&place);
}

#[test]
fn a_lake_of_a_newer_release_is_read_and_refused_with_78() {
    let place = Place::local(PROGRAM);
    drop(traffic::fill(&place, 61, 5));
    place.run(&["query", "SELECT * FROM events"]).success();
    let before = exports(&place);
    place.put_day(0, 1);
    place.add_newer_column("events");
    let serve = [
        "serve",
        "--ingest-listen",
        "127.0.0.1:0",
        "--read-listen",
        "127.0.0.1:0",
    ];
    for arguments in [
        &serve[..],
        &["load"],
        &["replay", "--all"],
        &["backfill", "--sink", "csv"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(78), "{arguments:?}: {}", ended.stderr);
        let says = ended.stderr.contains("newer release") && ended.stderr.contains("of_tomorrow");
        assert!(says, "{arguments:?}: {}", ended.stderr);
    }
    // It is read, with the column; and receiving goes on.
    let without: Vec<String> = place.sorted_lines("SELECT * FROM events");
    assert_eq!(without.len(), before[0].len());
    assert!(without.iter().all(|line| line.contains("\"of_tomorrow\"")));
    let server = place.serve(&["--role", "receive,read"]);
    server.accepts_body("/webhooks/events", b"[]");
    let summary = server.api("/api/v1/summary");
    assert_eq!(summary["rows"]["events"], before[0].len());
    server.stop();
}
