//! The bare disk: appends that are synced one by one, and segments written as the receiver writes
//! them, with all work but the disk's done before the clock starts.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use chrono::DateTime;
use postlake_raw::{Batch, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::arguments::Arguments;
use crate::bodies;
use crate::latencies::Latencies;

/// Segments that are made beforehand and written in turn.
const SEGMENTS: usize = 8;

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let folder: PathBuf = arguments.required("dir")?;
    let time = Duration::from_secs_f64(arguments.or("seconds", 2.0)?);
    let group: usize = arguments.or("group", 16)?;
    let events: usize = arguments.or("events", 350)?;
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(json!({
        "append_64_kib": append(&folder, 64 << 10, time)?,
        "append_1_mib": append(&folder, 1 << 20, time)?,
        "segments": segments(&folder, group, events, time)?,
    }))
}

/// Appends `size` bytes and syncs them, again and again.
fn append(folder: &Path, size: usize, time: Duration) -> Result<Value> {
    let path = folder.join("append");
    let mut file = File::create(&path).context("create a file")?;
    let noise: Vec<u8> = bytes_like_noise(size);
    let mut latencies = Latencies::default();
    let started = Instant::now();
    while started.elapsed() < time {
        let begins = Instant::now();
        file.write_all(&noise).context("append")?;
        file.sync_data().context("sync")?;
        latencies.add(begins.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_file(&path).context("remove the file")?;
    let syncs = latencies.count();
    Ok(json!({
        "syncs": syncs,
        "megabytes_per_second": (syncs * size) as f64 / 1e6 / seconds,
        "latency": latencies.report(),
    }))
}

/// Bytes that no disk can compress.
fn bytes_like_noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(size + 8);
    while noise.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(size);
    noise
}

/// Segments of `group` batches: what encoding one takes of a core, and what landing them takes of the
/// disk. Rates count the bodies' bytes, as every other rate of the benchmark does.
fn segments(folder: &Path, group: usize, events: usize, time: Duration) -> Result<Value> {
    let pool = bodies::pool(2, group * SEGMENTS, events);
    let body_bytes: usize = pool.iter().map(Bytes::len).sum();
    let started = Instant::now();
    let hashed = pool.iter().fold(0, |sum, body| {
        sum ^ Sha256::digest(body).first().copied().unwrap_or(0)
    });
    std::hint::black_box(hashed);
    let hash_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let encoded = pool
        .chunks(group)
        .map(encode)
        .collect::<Result<Vec<Bytes>>>()?;
    let encode_seconds = started.elapsed().as_secs_f64();
    let encoded_bytes: usize = encoded.iter().map(Bytes::len).sum();

    let mut latencies = Latencies::default();
    let started = Instant::now();
    while started.elapsed() < time || latencies.count() < SEGMENTS {
        let number = latencies.count();
        let Some(bytes) = encoded.get(number % SEGMENTS) else {
            break;
        };
        let begins = Instant::now();
        land(folder, number, bytes)?;
        latencies.add(begins.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    let landed = latencies.count();
    for number in 0..landed {
        fs::remove_file(folder.join(name(number))).context("remove a segment")?;
    }
    let bytes_per_segment = body_bytes as f64 / SEGMENTS as f64;
    Ok(json!({
        "batches_per_segment": group,
        "compression_ratio": body_bytes as f64 / encoded_bytes as f64,
        "hash_megabytes_per_second": body_bytes as f64 / 1e6 / hash_seconds,
        "encode_megabytes_per_second": body_bytes as f64 / 1e6 / encode_seconds,
        "segments": landed,
        "megabytes_per_second": landed as f64 * bytes_per_segment / 1e6 / seconds,
        "requests_per_second": (landed * group) as f64 / seconds,
        "latency": latencies.report(),
    }))
}

/// The receiver's work on a segment, hashes included.
fn encode(bodies: &[Bytes]) -> Result<Bytes> {
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
    let batch = |body: &Bytes| {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Batch::new(SourceKind::Event, now, None, headers, body.clone())
    };
    let batches: Vec<Batch> = bodies.iter().map(batch).collect();
    let key = SegmentKey::new(StreamName::from_parts(now, 1), SegmentNumber::FIRST);
    segment::encode(&key, &batches).context("encode a segment")
}

/// The object store's steps with its syncs on: a staging file, its name, the folder.
fn land(folder: &Path, number: usize, bytes: &[u8]) -> Result<()> {
    let staging = folder.join(format!("{}#1", name(number)));
    let mut file = File::create_new(&staging).context("create a staging file")?;
    file.write_all(bytes).context("write a segment")?;
    file.sync_all().context("sync a segment")?;
    fs::hard_link(&staging, folder.join(name(number))).context("name a segment")?;
    fs::remove_file(&staging).context("remove a staging file")?;
    let sync_folder = || File::open(folder)?.sync_all();
    sync_folder().context("sync the folder")
}

fn name(number: usize) -> String {
    format!("{number:010}.seg.zst")
}
