//! The writer of CSV: a strict reader gives back what was written.

use std::fmt::Write as _;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;
use postlake_event::csv::{push_text, write_header, write_rows};
use postlake_event::schema::Table;

use super::body::decoded;
use crate::csv::parse;

pub(super) fn check(input: &[u8]) {
    fields(&String::from_utf8_lossy(input));
    rows(input);
}

/// Each line is a row, each part of it up to a unit separator a field; one that begins with a null is null.
fn fields(text: &str) {
    let rows: Vec<Vec<&str>> = text
        .split('\n')
        .map(|line| line.split('\u{1f}').collect())
        .collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(1).max(2);
    let mut csv = String::new();
    for place in 0..width {
        let end = if place + 1 < width { "," } else { "\r\n" };
        write!(csv, "c{place}{end}").unwrap();
    }
    for row in &rows {
        for place in 0..width {
            if let Some(field) = row.get(place).filter(|field| !field.starts_with('\0')) {
                push_text(&mut csv, field);
            }
            csv.push_str(if place + 1 < width { "," } else { "\r\n" });
        }
    }
    let (_, read) = parse(&csv);
    assert_eq!(read.len(), rows.len());
    for (read, written) in read.iter().zip(&rows) {
        for place in 0..width {
            let wanted = written.get(place).filter(|field| !field.starts_with('\0'));
            assert_eq!(read[&format!("c{place}")].as_deref(), wanted.copied());
        }
    }
}

/// Events as they are delivered.
fn rows(body: &[u8]) {
    let (_, decoded) = decoded("events", body);
    for (table, rows) in [
        (Table::Events, &decoded.events),
        (Table::Alerts, &decoded.alerts),
        (Table::Quarantine, &decoded.quarantine),
    ] {
        let mut csv = Vec::new();
        write_header(&table.schema(), &mut csv).unwrap();
        write_rows(rows, &mut csv).unwrap();
        let (header, read) = parse(std::str::from_utf8(&csv).unwrap());
        assert_eq!(header.len(), rows.num_columns());
        assert_eq!(read.len(), rows.num_rows());
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            for (row, read) in read.iter().enumerate() {
                let read = read[field.name()].as_deref();
                assert_eq!(read.is_none(), column.is_null(row), "{}", field.name());
                if let (Some(read), DataType::Utf8) = (read, field.data_type()) {
                    assert_eq!(
                        read,
                        column.as_string::<i32>().value(row),
                        "{}",
                        field.name()
                    );
                }
            }
        }
    }
}
