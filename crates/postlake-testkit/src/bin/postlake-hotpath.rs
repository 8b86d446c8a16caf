//! Receiving and decoding without lake and SQL: what `cargo xtask bench profile` builds twice, once as
//! the release profile says and once with every optimisation there is, to see what the profile costs.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for xtask to read"
)]

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use postlake_event::csv::write_rows;
use postlake_event::decode::{BatchInput, Decoded, Decoder, Stream};
use postlake_event::schema::Table;
use postlake_raw::RawStore;
use postlake_raw::clock::{Clock as _, SystemClock};
use postlake_receiver::{Config, Receiver, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Bytes of a file that become one set of rows, as `postlake convert` reads them.
const CHUNK_BYTES: usize = 4 << 20;
const NANOS_PER_SECOND: f64 = 1e9;

const PARTS: &str = "\
postlake-hotpath receive DIR    takes webhooks and makes them durable below DIR, until it is killed
postlake-hotpath decode FILE    decodes a file of bodies, writes Parquet and CSV to nowhere, tells the core seconds";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.as_slice() {
        [part, path] if part == "receive" => receive(Path::new(path)),
        [part, path] if part == "decode" => decode(Path::new(path)),
        _ => Err(anyhow!("{PARTS}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postlake-hotpath: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn receive(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).context("create the folder")?;
    let disk = LocalFileSystem::new_with_prefix(folder).context("open the folder")?;
    let store = RawStore::new(Arc::new(disk.with_fsync(true)));
    let clock = Arc::new(SystemClock);
    let receiver = Receiver::start(Config::default(), store, clock, Arc::new(|_key| {}))
        .map_err(|faults| anyhow!("the defaults are not right: {faults:?}"))?;
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("bind a port")?;
    let address = listener.local_addr().context("read the address")?;
    println!("http://{address}/");
    io::stdout().flush().context("print the address")?;
    serve(listener, receiver, CancellationToken::new())
        .await
        .context("serve")
}

/// Piece after piece, as loading and converting do: what holds the rows of one is used again for the next.
fn decode(file: &Path) -> Result<()> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let level = ZstdLevel::try_new(1).context("a level of zstd")?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .build();
    let mut parquet = ArrowWriter::try_new(io::sink(), Table::Events.schema(), Some(properties))
        .context("open a parquet file")?;
    let (mut decoder, mut stream) = (Decoder::new(), Stream::default());
    let (mut rest, mut events) = (text.as_slice(), 0);
    let (mut decoding, mut packing, mut writing) = (0.0, 0.0, 0.0);
    loop {
        let (piece, ended) = match rest.get(..CHUNK_BYTES) {
            Some(piece) => (piece, false),
            None => (rest, true),
        };
        let started = core_seconds()?;
        let (consumed, rows) = rows(&mut decoder, &mut stream, piece, ended)?;
        let decoded = core_seconds()?;
        parquet.write(&rows.events).context("write parquet")?;
        let packed = core_seconds()?;
        write_rows(&rows.events, &mut io::sink()).context("write csv")?;
        decoding += decoded - started;
        packing += packed - decoded;
        writing += core_seconds()? - packed;
        events += rows.events.num_rows();
        if ended {
            break;
        }
        rest = rest.get(consumed..).unwrap_or_default();
    }
    let open = core_seconds()?;
    parquet.close().context("write parquet")?;
    packing += core_seconds()? - open;
    println!(
        "{}",
        json!({
            "events": events,
            "bytes": text.len(),
            "decode_seconds": decoding,
            "parquet_seconds": packing,
            "csv_seconds": writing,
        })
    );
    Ok(())
}

fn rows(
    decoder: &mut Decoder,
    stream: &mut Stream,
    piece: &[u8],
    ended: bool,
) -> Result<(usize, Decoded)> {
    let input = BatchInput {
        source: "bench",
        received_at: SystemClock.now(),
        batch_id: None,
        content_encoding: None,
        body: piece,
        stream: "bench",
        segment: 0,
        batch_index: 0,
    };
    let (consumed, counts) = decoder.decode_part(&input, stream, ended);
    if counts.rejects > 0 {
        bail!("{} items of the file cannot be decoded", counts.rejects);
    }
    Ok((consumed, decoder.finish().context("build the rows")?))
}

/// What this thread has had of a core.
fn core_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("read the time used")?;
    let nanos = text
        .split(' ')
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    Ok(nanos.context("understand the time used")? / NANOS_PER_SECOND)
}
