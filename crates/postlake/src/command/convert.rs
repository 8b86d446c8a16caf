//! `postlake convert`: files of SparkPost JSON to rows, streaming, without a server.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use postlake_event::csv::{write_header, write_rows};
use postlake_event::decode::{BatchInput, Counts, Decoded, Decoder, Stream};
use postlake_event::schema::Table;

use crate::cli::{ConvertArgs, ConvertFormat, ConvertTable};
use crate::command::output::say;
use crate::exit::{Exit, Failure};
use crate::wire;

/// Bytes that are read before the items in them are decoded.
const CHUNK_BYTES: usize = 4 << 20;

/// Longest single item; a longer one ends the conversion rather than filling the memory.
const MAX_ITEM_BYTES: usize = 64 << 20;

/// What a gzip file begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Rejects that are told one by one.
const TOLD_REJECTS: u64 = 10;

pub(crate) fn run(arguments: &ConvertArgs) -> Result<ExitCode, Failure> {
    match convert(arguments) {
        Err(failure) if is_closed_pipe(&failure) => Ok(ExitCode::SUCCESS),
        ended => ended,
    }
}

fn convert(arguments: &ConvertArgs) -> Result<ExitCode, Failure> {
    let out: Box<dyn Write + Send> = match &arguments.output {
        Some(path) => {
            refuse_overwrite(path, &arguments.files)?;
            Box::new(File::create(path).map_err(|source| {
                let doing = format!("create {}", path.display());
                Failure::caused(Exit::CannotCreate, doing, source)
            })?)
        }
        None => Box::new(io::stdout()),
    };
    let table = match arguments.table {
        ConvertTable::Events => Table::Events,
        ConvertTable::Alerts => Table::Alerts,
    };
    let mut conversion = Conversion {
        table,
        rows: Rows::new(arguments.to, table, BufWriter::with_capacity(1 << 16, out))?,
        decoder: Decoder::new(),
        counts: Counts::default(),
    };
    for path in &arguments.files {
        conversion.file(path)?;
    }
    conversion.finish()
}

/// The output must not be one of the inputs: it would be emptied before it is read.
fn refuse_overwrite(output: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let Some(output_identity) = identity(output) else {
        return Ok(());
    };
    if inputs
        .iter()
        .any(|input| identity(input) == Some(output_identity))
    {
        let message = format!("{} is an input; write to another file", output.display());
        return Err(Failure::new(Exit::Data, message));
    }
    Ok(())
}

struct Conversion {
    table: Table,
    rows: Rows,
    decoder: Decoder,
    counts: Counts,
}

impl Conversion {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let name = path.display().to_string();
        let failed = |source| Failure::caused(Exit::Io, format!("read {name}"), source);
        let input: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(failed)?)
        };
        let mut input = unpacked(input).map_err(failed)?;
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        let mut stream = Stream::default();
        loop {
            let ended = fill(&mut input, &mut buffer, CHUNK_BYTES).map_err(failed)?;
            let consumed = self.decode(&name, &mut stream, &buffer, ended)?;
            if ended {
                return Ok(());
            }
            buffer.drain(..consumed);
            if buffer.len() > MAX_ITEM_BYTES {
                let message = format!(
                    "{name}: the item at byte {} is longer than {MAX_ITEM_BYTES} bytes",
                    stream.offset()
                );
                return Err(Failure::new(Exit::Data, message));
            }
        }
    }

    fn decode(
        &mut self,
        name: &str,
        stream: &mut Stream,
        buffer: &[u8],
        ended: bool,
    ) -> Result<usize, Failure> {
        let input = BatchInput {
            source: "convert",
            received_at: wire::clock().now(),
            batch_id: None,
            content_encoding: None,
            body: buffer,
            stream: name,
            segment: 0,
            batch_index: 0,
        };
        let (consumed, counts) = self.decoder.decode_part(&input, stream, ended);
        let decoded = self
            .decoder
            .finish()
            .map_err(|source| Failure::caused(Exit::Failure, "build the rows", source))?;
        self.tell_rejects(name, &decoded.quarantine);
        self.counts += counts;
        self.rows.write(self.wanted(&decoded))?;
        Ok(consumed)
    }

    fn wanted<'d>(&self, decoded: &'d Decoded) -> &'d RecordBatch {
        match self.table {
            Table::Alerts => &decoded.alerts,
            _ => &decoded.events,
        }
    }

    fn tell_rejects(&self, name: &str, rejects: &RecordBatch) {
        let text = |column: &str| {
            rejects
                .column_by_name(column)
                .map(|column| column.as_string::<i32>())
        };
        let offsets = rejects
            .column_by_name("byte_offset")
            .map(|column| column.as_primitive::<Int64Type>());
        let (Some(codes), Some(messages), Some(offsets)) = (text("code"), text("message"), offsets)
        else {
            return;
        };
        let left = TOLD_REJECTS.saturating_sub(self.counts.rejects);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        for row in 0..rejects.num_rows().min(left) {
            say(&format!(
                "{name}: byte {}: {} ({})",
                offsets.value(row),
                messages.value(row),
                codes.value(row)
            ));
        }
    }

    fn finish(self) -> Result<ExitCode, Failure> {
        self.rows.finish()?;
        let counts = self.counts;
        say(&format!(
            "{} items: {} events, {} alerts, {} rejects",
            counts.items, counts.events, counts.alerts, counts.rejects
        ));
        let left_out = match self.table {
            Table::Alerts => (counts.events, "events", "events"),
            _ => (counts.alerts, "alerts", "alerts"),
        };
        if left_out.0 > 0 {
            say(&format!(
                "{} {} are not in this output; write them with --table {}",
                left_out.0, left_out.1, left_out.2
            ));
        }
        if counts.rejects > 0 {
            let message = format!("{} items could not be decoded", counts.rejects);
            return Err(Failure::new(Exit::Data, message));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The input, decompressed if it begins like gzip. Places in it count decompressed bytes then.
fn unpacked(mut input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    (&mut input)
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    let is_gzip = start == GZIP_MAGIC;
    let whole = io::Cursor::new(start).chain(input);
    Ok(if is_gzip {
        // A file may hold several members one after the other, as logs that were appended to do.
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// Reads up to `more` bytes behind what the buffer holds. True at the end of the input.
fn fill(input: &mut dyn Read, buffer: &mut Vec<u8>, more: usize) -> io::Result<bool> {
    let wanted = buffer.len() + more;
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    input.take(more as u64).read_to_end(buffer)?;
    Ok(buffer.len() < wanted)
}

type Output = BufWriter<Box<dyn Write + Send>>;

/// The rows on their way out.
enum Rows {
    Csv(Output),
    Ndjson(Box<arrow::json::LineDelimitedWriter<Output>>),
    Parquet(Box<ArrowWriter<Output>>),
}

impl Rows {
    fn new(format: ConvertFormat, table: Table, mut out: Output) -> Result<Rows, Failure> {
        match format {
            ConvertFormat::Csv => {
                write_header(&table.schema(), &mut out).map_err(written)?;
                Ok(Rows::Csv(out))
            }
            ConvertFormat::Ndjson => Ok(Rows::Ndjson(Box::new(
                arrow::json::LineDelimitedWriter::new(out),
            ))),
            ConvertFormat::Parquet => {
                let level = ZstdLevel::try_new(1).unwrap_or_default();
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .build();
                ArrowWriter::try_new(out, table.schema(), Some(properties))
                    .map(|writer| Rows::Parquet(Box::new(writer)))
                    .map_err(written)
            }
        }
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<(), Failure> {
        match self {
            Rows::Csv(out) => write_rows(rows, out).map_err(written),
            Rows::Ndjson(writer) => writer.write(rows).map_err(written),
            Rows::Parquet(writer) => writer.write(rows).map_err(written),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Rows::Csv(mut out) => out.flush().map_err(written),
            Rows::Ndjson(mut writer) => {
                writer.finish().map_err(written)?;
                writer.into_inner().flush().map_err(written)
            }
            Rows::Parquet(writer) => {
                let mut out = writer.into_inner().map_err(written)?;
                out.flush().map_err(written)
            }
        }
    }
}

/// How a failed output ends; see [`is_closed_pipe`] for the end that is no failure.
fn written(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::caused(Exit::Io, "write the rows", source)
}

/// True if the reader of the output has gone away, as `head` does.
fn is_closed_pipe(failure: &Failure) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failure);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}
