//! A raw store that was filled before: sealed segments in streams of past days.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use chrono::Days;
use postlake_raw::clock::{Clock as _, SystemClock};
use postlake_raw::{Batch, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::arguments::Arguments;

/// About what a full segment of large batches takes after compression.
const SEGMENT_BYTES: usize = 750 * 1024;
/// Days before today, and streams in each of them.
const DAYS: u64 = 5;
const STREAMS: u64 = 4;

/// Writes segments of `--gigabytes` in all below the data directory `--data`. Their batches are noise:
/// nothing compresses, and the loader puts each into quarantine.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let data: PathBuf = arguments.required("data")?;
    let bytes = arguments.or("gigabytes", 1.0)? * 1e9;
    let each = (bytes / (DAYS * STREAMS) as f64 / SEGMENT_BYTES as f64).ceil() as u64;
    let mut noise = vec![0; SEGMENT_BYTES];
    StdRng::seed_from_u64(arguments.or("seed", 1)?).fill(noise.as_mut_slice());
    let mut written = 0;
    for day in 1..=DAYS {
        let then = SystemClock
            .now()
            .checked_sub_days(Days::new(day))
            .context("a day of the past")?;
        for stream in 0..STREAMS {
            let stream = StreamName::from_parts(then, stream);
            for number in 1..=each {
                let key = SegmentKey::new(stream, SegmentNumber::new(number).context("a number")?);
                // Another body each time, so that no segment is like another.
                let from = (number as usize * 4099) % SEGMENT_BYTES;
                noise.rotate_left(from);
                written += write(&data, &key, Bytes::copy_from_slice(&noise))?;
            }
        }
    }
    Ok(json!({ "segments": each * DAYS * STREAMS, "bytes": written }))
}

fn write(data: &Path, key: &SegmentKey, body: Bytes) -> Result<u64> {
    let at = key.stream().started_at();
    let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body);
    let bytes = segment::encode(key, &[batch]).context("encode a segment")?;
    let path = data.join(key.path().as_ref());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::local::LocalFileSystem;
    use postlake_raw::RawStore;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_a_raw_store_without_holes() {
        let folder = tempfile::tempdir().unwrap();
        let words = [
            "--data",
            folder.path().to_str().unwrap(),
            "--gigabytes",
            "0.03",
        ];
        let arguments = Arguments::parse(words.map(str::to_owned).into_iter()).unwrap();
        let said = run(&arguments).unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let raw = RawStore::new(Arc::new(store));
        let mut read = 0;
        for date in raw.dates().await.unwrap() {
            for stream in raw.streams(date).await.unwrap() {
                for key in raw.segments_after(date, stream, 0).await.unwrap() {
                    assert_eq!(raw.read(&key).await.unwrap().batches.len(), 1);
                    read += 1;
                }
            }
        }
        assert_eq!(said["segments"], read);
    }
}
