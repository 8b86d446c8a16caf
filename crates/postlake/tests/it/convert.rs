//! `postlake convert`: the same rows in every format, from files and from a pipe, wherever it is cut.

use std::collections::BTreeSet;
use std::fs::{self, File};

use arrow::array::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use postlake_testkit::seed::{dice, seed};
use postlake_testkit::{Outcome, Place, Running, csv};
use rand::RngExt as _;
use serde_json::Value;

use crate::{PROGRAM, fixtures};

const EVENTS: &str = "events-all-27-types.json";
const ALERTS: &str = "alerts-shape-a.json";

fn convert(place: &Place, arguments: &[&str]) -> Outcome {
    let mut command = place.command(&["convert"]);
    Running::start(command.args(arguments)).wait()
}

/// Class, type and id of every row.
type Keys = BTreeSet<[Option<String>; 3]>;

const KEY: [&str; 3] = ["event_class", "type", "event_id"];

fn keys_of_csv(text: &str) -> Keys {
    let (_, rows) = csv::parse(text);
    rows.iter()
        .map(|row| KEY.map(|name| row[name].clone()))
        .collect()
}

fn ndjson(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn keys_of_ndjson(text: &str) -> Keys {
    let text_of = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
    ndjson(text)
        .iter()
        .map(|row| KEY.map(|name| text_of(row, name)))
        .collect()
}

fn keys_of_parquet(file: File) -> Keys {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut keys = Keys::new();
    for batch in reader {
        let batch = batch.unwrap();
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.iter().nth(row).unwrap().map(str::to_owned)
        };
        keys.extend((0..batch.num_rows()).map(|row| KEY.map(|name| text(name, row))));
    }
    keys
}

#[test]
fn every_format_holds_the_same_rows() {
    let place = Place::local(PROGRAM);
    let file = fixtures::path(EVENTS);
    let file = file.to_str().unwrap();
    let text = convert(&place, &[file, "--to", "csv"]).success();
    assert_eq!(text.stderr, "27 items: 27 events, 0 alerts, 0 rejects\n");
    let keys = keys_of_csv(&text.text());
    assert_eq!(keys.len(), 27);
    let lines = convert(&place, &[file, "--to", "ndjson"]).success();
    assert_eq!(keys_of_ndjson(&lines.text()), keys);
    let output = place.home().join("events.parquet");
    let to_file = [
        file,
        "--to",
        "parquet",
        "--output",
        output.to_str().unwrap(),
    ];
    assert_eq!(convert(&place, &to_file).success().stdout, b"");
    assert_eq!(keys_of_parquet(File::open(&output).unwrap()), keys);
}

#[test]
fn a_pipe_and_several_files_are_read_as_one_stream() {
    let place = Place::local(PROGRAM);
    let mut command = place.command(&["convert", "-", "--to", "csv"]);
    let bodies = [
        fixtures::read(EVENTS),
        fixtures::read("ping.json"),
        fixtures::read(ALERTS),
    ];
    let piped = Running::start_with_input(&mut command, bodies.concat())
        .wait()
        .success();
    assert_eq!(keys_of_csv(&piped.text()).len(), 27);
    assert_eq!(
        piped.stderr,
        "38 items: 27 events, 11 alerts, 0 rejects\n11 alerts are not in this output; write them with --table alerts\n"
    );
    let names = [EVENTS, "ping.json", ALERTS].map(fixtures::path);
    let mut arguments: Vec<&str> = names.iter().map(|name| name.to_str().unwrap()).collect();
    arguments.extend(["--to", "ndjson", "--table", "alerts"]);
    let alerts = ndjson(&convert(&place, &arguments).success().text());
    assert_eq!(alerts.len(), 11);
    assert!(alerts.iter().all(|alert| alert["metric"] == "health_score"));
}

#[test]
fn items_that_cannot_be_decoded_are_told_and_end_with_65() {
    let place = Place::local(PROGRAM);
    let good =
        r#"{"msys":{"message_event":{"type":"bounce","event_id":"1","timestamp":"1789462821"}}}"#;
    let body = format!("[{good},{{\"b\":2}},{good}]");
    let file = place.home().join("some.json");
    fs::write(&file, &body).unwrap();
    let outcome = convert(&place, &["some.json", "--to", "ndjson"]);
    assert_eq!(outcome.code, Some(65));
    assert_eq!(
        ndjson(&outcome.text()).len(),
        2,
        "the good ones are written"
    );
    let place_of_reject = format!("some.json: byte {}: ", body.find("{\"b\"").unwrap());
    assert!(
        outcome.stderr.starts_with(&place_of_reject),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stderr
            .contains("3 items: 2 events, 0 alerts, 1 rejects\n")
    );
    let absent = convert(&place, &["absent.json", "--to", "csv"]);
    assert_eq!(absent.code, Some(74));
}

/// The fixture holds an item a line; those before the cut are rows, what is left of the next one is a
/// reject.
#[test]
fn a_file_may_be_cut_anywhere() {
    let seed = seed();
    let mut dice = dice(seed, 0);
    let place = Place::local(PROGRAM);
    let body = fixtures::read(EVENTS);
    let ends: Vec<usize> = (0..body.len())
        .filter(|at| body[..*at].ends_with(b"}}}"))
        .filter(|at| body[*at..].starts_with(b",\n") || body[*at..].starts_with(b"\n]"))
        .collect();
    assert_eq!(ends.len(), 27);
    let cuts: Vec<usize> = (0..24).map(|_| dice.random_range(0..body.len())).collect();
    for cut in cuts
        .into_iter()
        .chain([0, 1, 2, ends[0], ends[0] + 1, ends[26], body.len() - 1])
    {
        let file = place.home().join("cut.json");
        fs::write(&file, &body[..cut]).unwrap();
        let outcome = convert(&place, &["cut.json", "--to", "ndjson"]);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(
            ndjson(&outcome.text()).len(),
            whole,
            "cut at {cut}: {}",
            outcome.stderr
        );
        let after = ends[..whole].last().map_or(b"[".len(), |end| *end);
        let rest = body.get(after..cut).unwrap_or_default();
        let left_over = rest.iter().any(|byte| !matches!(byte, b',' | b'\n' | b']'));
        let code = if left_over { Some(65) } else { Some(0) };
        assert_eq!(outcome.code, code, "cut at {cut}: {}", outcome.stderr);
    }
}

#[test]
fn gzip_is_opened_from_files_and_from_a_pipe() {
    let place = Place::local(PROGRAM);
    let plain = fixtures::read(EVENTS);
    let expected = convert(
        &place,
        &["--to", "csv", fixtures::path(EVENTS).to_str().unwrap()],
    );
    let packed = gzip(&plain);
    fs::write(place.home().join("events.json.gz"), &packed).unwrap();
    let from_file = convert(&place, &["--to", "csv", "events.json.gz"]).success();
    assert_eq!(
        keys_of_csv(&from_file.text()),
        keys_of_csv(&expected.text())
    );

    // Two members one after the other are two bodies.
    let twice = [packed.clone(), packed.clone()].concat();
    let mut command = place.command(&["convert", "--to", "csv", "-"]);
    let from_pipe = Running::start_with_input(&mut command, twice)
        .wait()
        .success();
    assert_eq!(
        from_pipe.text().lines().count() - 1,
        2 * (expected.text().lines().count() - 1)
    );

    // Half a file is not taken for a whole one.
    fs::write(
        place.home().join("half.json.gz"),
        &packed[..packed.len() / 2],
    )
    .unwrap();
    let half = convert(&place, &["--to", "csv", "half.json.gz"]);
    assert_eq!(half.code, Some(74), "{}", half.stderr);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
