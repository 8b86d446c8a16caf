//! Record batches as table, CSV, JSON, NDJSON or Parquet.
//!
//! The same rows in every format: times are RFC 3339 in UTC; missing values are empty in CSV, where empty
//! text is `""`, `null` in JSON and `NULL` in tables. Columns of the same name are told apart by a number, since JSON objects and
//! Parquet files cannot hold two of a name.

mod columns;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited, Writer as JsonWriter, WriterBuilder};
use arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use postlake_event::csv::push_text;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// For people at a terminal; control characters are shown, not sent.
    Table,
    /// RFC 4180 with a header line; PostgreSQL's `COPY ... CSV HEADER` reads it.
    Csv,
    /// One array of objects.
    Json,
    /// One object per line.
    Ndjson,
    /// Parquet with zstd.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 5] = [
        Format::Table,
        Format::Csv,
        Format::Json,
        Format::Ndjson,
        Format::Parquet,
    ];

    /// The name on the command line and as a suffix in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
        }
    }

    /// The media type in `Content-Type` and `Accept`.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Table => "text/plain; charset=utf-8",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of table, csv, json, ndjson, parquet")]
pub struct NotAFormat;

impl FromStr for Format {
    type Err = NotAFormat;

    fn from_str(text: &str) -> Result<Format, NotAFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or(NotAFormat)
    }
}

/// Rows that were not written, or not in full.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The place that was written to refused; a closed pipe is of kind `BrokenPipe`.
    #[error("cannot write")]
    Output(#[source] io::Error),
    /// A column has a type that the format cannot hold.
    #[error("cannot write the rows in this format")]
    Encode(#[source] ArrowError),
    /// The Parquet writer gave up.
    #[error("cannot write the Parquet file")]
    Parquet(#[source] ParquetError),
}

impl From<ArrowError> for FormatError {
    fn from(error: ArrowError) -> FormatError {
        match error {
            ArrowError::IoError(_, io) => FormatError::Output(io),
            other => FormatError::Encode(other),
        }
    }
}

impl From<ParquetError> for FormatError {
    fn from(error: ParquetError) -> FormatError {
        FormatError::Parquet(error)
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> FormatError {
        FormatError::Output(error)
    }
}

/// Writes all rows and ends the output. Err: part of it may be written.
///
/// # Errors
///
/// See [`FormatError`].
pub fn write(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
    out: &mut (dyn io::Write + Send),
) -> Result<(), FormatError> {
    let mut writer = Writer::new(Arc::clone(schema), format, out)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()
}

/// Writes rows as they come. Only [`Format::Table`] holds all rows until the end, since the widths of
/// its columns depend on them.
pub struct Writer<'a> {
    names: SchemaRef,
    encoder: Encoder<'a>,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

type Output<'a> = &'a mut (dyn io::Write + Send);

enum Encoder<'a> {
    Table(Output<'a>, Vec<RecordBatch>),
    Csv(Output<'a>),
    Json(Box<JsonWriter<Output<'a>, JsonArray>>),
    Ndjson(Box<JsonWriter<Output<'a>, LineDelimited>>),
    Parquet(Box<ArrowWriter<Output<'a>>>),
}

impl<'a> Writer<'a> {
    /// A writer for rows of `schema`. CSV gets its header line here, so that an answer without rows
    /// has one.
    ///
    /// # Errors
    ///
    /// See [`FormatError`].
    pub fn new(
        schema: SchemaRef,
        format: Format,
        out: &'a mut (dyn io::Write + Send),
    ) -> Result<Writer<'a>, FormatError> {
        let names = columns::with_unique_names(&schema);
        let encoder = match format {
            Format::Table => Encoder::Table(out, Vec::new()),
            Format::Csv => {
                write_csv_header(&names, out)?;
                Encoder::Csv(out)
            }
            Format::Json => Encoder::Json(Box::new(json_builder().build(out))),
            Format::Ndjson => Encoder::Ndjson(Box::new(json_builder().build(out))),
            Format::Parquet => Encoder::Parquet(Box::new(ArrowWriter::try_new(
                out,
                Arc::clone(&names),
                Some(parquet_properties()),
            )?)),
        };
        Ok(Writer { names, encoder })
    }

    /// Writes the rows of a batch; its columns are those of the schema, in order.
    ///
    /// # Errors
    ///
    /// See [`FormatError`].
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let batch = columns::renamed(batch, &self.names)?;
        match &mut self.encoder {
            Encoder::Table(_, held) => held.push(columns::as_shown_text(&batch)?),
            Encoder::Csv(out) => write_csv_rows(&columns::as_text(&batch)?, *out)?,
            Encoder::Json(json) => json.write(&batch)?,
            Encoder::Ndjson(json) => json.write(&batch)?,
            Encoder::Parquet(parquet) => parquet.write(&batch)?,
        }
        Ok(())
    }

    /// Ends the output: the closing bracket, the Parquet footer, or the whole table.
    ///
    /// # Errors
    ///
    /// See [`FormatError`].
    pub fn finish(self) -> Result<(), FormatError> {
        match self.encoder {
            Encoder::Table(out, held) => {
                let schema = columns::shown_schema(&self.names);
                let table = pretty_format_batches_with_schema(schema, &held)?;
                writeln!(out, "{table}")?;
                out.flush()?;
            }
            Encoder::Csv(out) => out.flush()?,
            Encoder::Json(mut json) => {
                json.finish()?;
                let out = json.into_inner();
                out.write_all(b"\n")?;
                out.flush()?;
            }
            Encoder::Ndjson(mut json) => {
                json.finish()?;
                json.into_inner().flush()?;
            }
            Encoder::Parquet(parquet) => parquet.into_inner()?.flush()?,
        }
        Ok(())
    }
}

fn write_csv_header(schema: &SchemaRef, out: Output<'_>) -> io::Result<()> {
    let mut line = String::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_text(&mut line, field.name());
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Lines of columns that are text already. A missing value is nothing, empty text is `""`.
fn write_csv_rows(batch: &RecordBatch, out: Output<'_>) -> io::Result<()> {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| column.as_string::<i32>())
        .collect();
    let mut lines = String::new();
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                lines.push(',');
            }
            if column.is_valid(row) {
                push_text(&mut lines, column.value(row));
            }
        }
        lines.push('\n');
    }
    out.write_all(lines.as_bytes())
}

pub(crate) fn json_builder() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true)
}

fn parquet_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build()
}

#[cfg(test)]
mod tests;
