//! PostgreSQL takes the CSV files as they are, and then holds the values that the lake holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use chrono::DateTime;
use postlake_event::schema::Table;
use postlake_testkit::{Place, peers};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::sent::{number, text};
use crate::{PROGRAM, traffic};

/// What PostgreSQL calls the type of a column.
fn postgres_type(arrow: &str) -> &'static str {
    match arrow {
        "Utf8" => "text",
        "Int64" => "bigint",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" => "date",
        timestamp if timestamp.starts_with("Timestamp") => "timestamptz",
        other => panic!("no PostgreSQL type for {other}"),
    }
}

fn psql(url: &str, script: &str) -> String {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--command", script, url])
        .env("PGTZ", "UTC")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn create(table: Table, name: &str) -> String {
    let columns: Vec<String> = table
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            let data_type = postgres_type(&field.data_type().to_string());
            format!("\"{}\" {data_type}{null}", field.name())
        })
        .collect();
    format!("CREATE UNLOGGED TABLE {name} ({})", columns.join(", "))
}

type Row = BTreeMap<String, Box<RawValue>>;

fn rows(lines: &str) -> Vec<Row> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Characters that a careless reader or writer trips over.
const AWKWARD: [&str; 9] = [
    "",
    " leading and trailing ",
    "a,b;c\td",
    "say \"hello\"",
    "two\r\nlines",
    "\\.",
    "NULL",
    "Überwachung 日本 🦀",
    "=1+1",
];

fn awkward_events() -> Vec<u8> {
    let mut body = String::from("[");
    for (index, text) in AWKWARD.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let subject = Value::from(*text);
        let written = write!(
            body,
            r#"{comma}{{"msys":{{"message_event":{{"type":"delivery","event_id":"awkward-{index}","timestamp":"1789462821","subject":{subject},"rcpt_meta":{{"x":{subject}}},"unheard_of":{subject}}}}}}}"#
        );
        written.unwrap();
    }
    body.push(']');
    body.into_bytes()
}

#[test]
fn postgresql_copies_the_csv_files() {
    let Some(url) = peers::postgres() else { return };
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    traffic::post(&server, 9, 40);
    server.accepts_body("/webhooks/events", &awkward_events());
    place.drain(server);
    for table in Table::ALL {
        check_table(&place, &url, table);
    }
}

#[track_caller]
fn check_table(place: &Place, url: &str, table: Table) {
    let name = format!("{}_{:08x}", table.name(), rand::random::<u32>());
    psql(url, &create(table, &name));
    let folder = place.directory().join("csv").join(table.name());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            psql(
                url,
                &format!("\\copy {name} FROM '{}' CSV HEADER", path.display()),
            );
        }
    }
    let item = if table == Table::Batches {
        ""
    } else {
        ", item_index"
    };
    let order = format!("segment, batch_index{item}");
    let copied = psql(
        url,
        &format!("SELECT row_to_json(t) FROM {name} t ORDER BY {order}"),
    );
    let sql = format!("SELECT * FROM {} ORDER BY {order}", table.name());
    let asked = place.run(&["query", &sql, "-o", "ndjson"]).success().text();
    let (copied, asked) = (rows(&copied), rows(&asked));
    assert_eq!(copied.len(), asked.len(), "{}", table.name());
    assert!(!asked.is_empty(), "{}", table.name());
    for (copied, asked) in copied.iter().zip(&asked) {
        for field in table.schema().fields() {
            let name = field.name();
            let equal = same(
                &copied[name],
                &asked[name],
                postgres_type(&field.data_type().to_string()),
            );
            assert!(
                equal,
                "{}.{name}: {} and {}",
                table.name(),
                copied[name],
                asked[name]
            );
        }
    }
    psql(url, &format!("DROP TABLE {name}"));
}

/// Text exactly, numbers by value, times as instants.
fn same(one: &RawValue, two: &RawValue, data_type: &str) -> bool {
    let (Some(one), Some(two)) = (text(one), text(two)) else {
        return one.get() == two.get();
    };
    match data_type {
        "bigint" | "double precision" => number(&one) == number(&two),
        "timestamptz" => {
            let instant = |text| DateTime::parse_from_rfc3339(text).unwrap();
            instant(&one) == instant(&two)
        }
        _ => one == two,
    }
}
