//! CSV as a database reads it back: RFC 4180, a header line, every column in every row.
//!
//! Null is an empty field and empty text is `""`, which is how PostgreSQL's `COPY ... CSV` tells the
//! two apart. Values are exact: nothing is prefixed against spreadsheets here.

use std::fmt::Write as _;
use std::io::{self, Write};

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Timelike as _};

/// Ends every line, as RFC 4180 has it.
const LINE_END: &str = "\r\n";
/// Rows are handed on in pieces of about this many bytes.
const FLUSH_BYTES: usize = 64 * 1024;

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
    let columns = batch
        .columns()
        .iter()
        .map(|column| Column::of(column.as_ref()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut line = String::with_capacity(FLUSH_BYTES + 4096);
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            if column.nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                column.values.push(&mut line, row);
            }
        }
        line.push_str(LINE_END);
        if line.len() > FLUSH_BYTES {
            out.write_all(line.as_bytes())?;
            line.clear();
        }
    }
    out.write_all(line.as_bytes())
}

/// A column whose type is found out once, not for each of its values.
struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    Date(&'a Date32Array),
    Time(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    fn of(column: &'a dyn Array) -> io::Result<Self> {
        let values = match column.data_type() {
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Int64 => Values::Int(column.as_primitive()),
            DataType::Float64 => Values::Float(column.as_primitive()),
            DataType::Boolean => Values::Bool(column.as_boolean()),
            DataType::Date32 => Values::Date(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Values::Time(column.as_primitive()),
            other => {
                let message = format!("a column of type {other} has no csv form");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        let nulls = column.nulls();
        Ok(Self { nulls, values })
    }
}

impl Values<'_> {
    fn push(&self, line: &mut String, row: usize) {
        match self {
            Self::Text(texts) => push_text(line, texts.value(row)),
            Self::Int(values) => push(line, format_args!("{}", values.value(row))),
            Self::Float(values) => push(line, format_args!("{}", values.value(row))),
            Self::Bool(values) => line.push_str(if values.value(row) { "true" } else { "false" }),
            Self::Date(days) => push_date(line, date_of(days.value(row))),
            Self::Time(micros) => push_time(line, micros.value(row)),
        }
    }
}

fn push(line: &mut String, value: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let written = line.write_fmt(value);
    debug_assert!(written.is_ok());
}

fn date_of(days: i32) -> NaiveDate {
    NaiveDate::default()
        .checked_add_signed(TimeDelta::days(i64::from(days)))
        .unwrap_or_default()
}

/// `YYYY-MM-DD`, digit by digit: a template that is read for each value takes ten times as long.
fn push_date(line: &mut String, date: NaiveDate) {
    match u32::try_from(date.year()) {
        Ok(year) if year <= 9999 => {
            push_digits(line, year, 4);
            line.push('-');
            push_digits(line, date.month(), 2);
            line.push('-');
            push_digits(line, date.day(), 2);
        }
        // With a sign, as ISO 8601 has it.
        _ => push(line, format_args!("{date}")),
    }
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
fn push_time(line: &mut String, micros: i64) {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    push_date(line, time.date_naive());
    for (mark, value, digits) in [
        ('T', time.hour(), 2),
        (':', time.minute(), 2),
        (':', time.second(), 2),
        ('.', time.nanosecond() / 1000, 6),
    ] {
        line.push(mark);
        push_digits(line, value, digits);
    }
    line.push('Z');
}

/// The last `digits` decimal digits, with leading zeros.
fn push_digits(line: &mut String, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value / 10_u32.pow(place) % 10;
        line.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

/// Appends a field. It is quoted if it is empty or holds anything that a reader could take for
/// structure; null is no field at all, so append nothing for it.
pub fn push_text(line: &mut String, text: &str) {
    let plain = !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text != "\\."
        && !has_structure(text);
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

/// Looks at every byte, so that the compiler can look at many at a time.
fn has_structure(text: &str) -> bool {
    let is_structure = |byte| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    text.bytes()
        .fold(false, |found, byte| found | is_structure(byte))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    #[test]
    fn years_of_any_length_are_written() {
        let date = |days: i32| {
            let mut line = String::new();
            push_date(&mut line, date_of(days));
            line
        };
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-719_162), "0001-01-01");
        assert_eq!(date(2_932_897), "+10000-01-01");
        assert_eq!(date(-719_529), "-0001-12-31");
    }

    proptest! {
        #[test]
        fn any_time_is_written_as_chrono_has_it(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let mut line = String::new();
            push_time(&mut line, micros);
            let time = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(line, time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
        }

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
