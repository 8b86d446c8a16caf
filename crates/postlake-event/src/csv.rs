//! CSV as a database reads it back: RFC 4180, a header line, every column in every row.
//!
//! Null is an empty field and empty text is `""`, which is how PostgreSQL's `COPY ... CSV` tells the
//! two apart. Values are exact: nothing is prefixed against spreadsheets here.

use std::fmt::Write as _;
use std::io::{self, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, TimeDelta};

/// Ends every line, as RFC 4180 has it.
const LINE_END: &str = "\r\n";

/// Writes the header line.
///
/// # Errors
/// When `out` does not take it.
pub fn write_header(schema: &SchemaRef, out: &mut impl Write) -> io::Result<()> {
    let mut line = String::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_text(&mut line, field.name());
    }
    line.push_str(LINE_END);
    out.write_all(line.as_bytes())
}

/// Writes the rows of a batch of this project's tables.
///
/// # Errors
/// When `out` does not take them, or a column has a type that no table has.
pub fn write_rows(batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
    let mut line = String::with_capacity(2048);
    for row in 0..batch.num_rows() {
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            if column.is_valid(row) {
                push_value(&mut line, column.as_ref(), row)?;
            }
        }
        line.push_str(LINE_END);
        if line.len() > 1 << 16 {
            out.write_all(line.as_bytes())?;
            line.clear();
        }
    }
    out.write_all(line.as_bytes())
}

fn push_value(line: &mut String, column: &dyn Array, row: usize) -> io::Result<()> {
    match column.data_type() {
        DataType::Utf8 => push_text(line, column.as_string::<i32>().value(row)),
        DataType::Int64 => push(
            line,
            format_args!("{}", column.as_primitive::<Int64Type>().value(row)),
        ),
        DataType::Float64 => push(
            line,
            format_args!("{}", column.as_primitive::<Float64Type>().value(row)),
        ),
        DataType::Boolean => line.push_str(if column.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        DataType::Date32 => push_date(line, column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, _) => {
            push_time(
                line,
                column.as_primitive::<TimestampMicrosecondType>().value(row),
            );
        }
        other => {
            let message = format!("a column of type {other} has no csv form");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    Ok(())
}

fn push(line: &mut String, value: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let written = line.write_fmt(value);
    debug_assert!(written.is_ok());
}

fn push_date(line: &mut String, days: i32) {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(days)));
    push(line, format_args!("{}", date.unwrap_or_default()));
}

fn push_time(line: &mut String, micros: i64) {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    push(
        line,
        format_args!("{}", time.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
    );
}

/// Appends a field. It is quoted if it is empty or holds anything that a reader could take for
/// structure; null is no field at all, so append nothing for it.
pub fn push_text(line: &mut String, text: &str) {
    let plain = !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text != "\\."
        && !text
            .bytes()
            .any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'));
    if plain {
        line.push_str(text);
        return;
    }
    line.push('"');
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            line.push_str("\"\"");
        }
        line.push_str(part);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use proptest::prelude::*;

    use super::*;

    fn text_of(text: &str) -> String {
        let mut line = String::new();
        push_text(&mut line, text);
        line
    }

    #[test]
    fn values_of_each_type_and_nulls_are_written() {
        let batch = RecordBatch::try_from_iter([
            (
                "a,b",
                Arc::new(StringArray::from(vec![Some("x\"y"), None])) as _,
            ),
            ("i", Arc::new(Int64Array::from(vec![Some(-1), None])) as _),
            (
                "f",
                Arc::new(Float64Array::from(vec![Some(78.272_509_570_000_01), None])) as _,
            ),
            (
                "b",
                Arc::new(BooleanArray::from(vec![Some(true), None])) as _,
            ),
            (
                "d",
                Arc::new(Date32Array::from(vec![Some(16_909), None])) as _,
            ),
            (
                "t",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_460_989_507_000_000), None])
                        .with_timezone("UTC"),
                ) as _,
            ),
        ])
        .unwrap();
        let mut out = Vec::new();
        write_header(&batch.schema(), &mut out).unwrap();
        write_rows(&batch, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a,b\",i,f,b,d,t\r\n\"x\"\"y\",-1,78.27250957000001,true,2016-04-18,2016-04-18T14:25:07.000000Z\r\n,,,,,\r\n"
        );
    }

    #[test]
    fn empty_text_differs_from_null() {
        assert_eq!(text_of(""), "\"\"");
        assert_eq!(text_of("plain"), "plain");
        assert_eq!(text_of("\\."), "\"\\.\"");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "[ -~\\r\\n\"é,]{0,20}") {
            let quoted = text_of(&text);
            let read = match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(inner) => inner.replace("\"\"", "\""),
                None => quoted.clone(),
            };
            prop_assert_eq!(read, text);
        }
    }
}
