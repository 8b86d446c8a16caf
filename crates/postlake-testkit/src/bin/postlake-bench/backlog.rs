//! A backlog: sealed segments of live traffic that a loader has not seen yet, in random order over some
//! days, some of the batches sent again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use postlake_raw::clock::{Clock as _, SystemClock};
use postlake_raw::{Batch, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use postlake_sparkpost::Traffic;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::bodies;

const BATCHES_IN_A_SEGMENT: usize = 16;
/// Receivers that have written it, side by side.
const STREAMS: usize = 4;

/// Writes segments of `--events` events below the data directory `--data`. The events are of `--days`
/// days before today, in random order; `--duplicates` of the batches (a share of one) are other ones
/// sent again, taken from anywhere before. `--random` tells the streams of one call from those of
/// another.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let mut backlog = Backlog::new(arguments)?;
    let events: usize = arguments.required("events")?;
    let in_a_batch: usize = arguments.or("batch", 350)?;
    while backlog.events < events {
        backlog.add(in_a_batch.min(events - backlog.events))?;
    }
    backlog.seal_all()?;
    Ok(json!({
        "events": backlog.events,
        "duplicates": backlog.duplicates,
        "batches": backlog.batches,
        "segments": backlog.segments.len(),
        "body_bytes": backlog.body_bytes,
        "segment_bytes": backlog.segment_bytes,
    }))
}

struct Backlog {
    data: PathBuf,
    traffic: Traffic,
    dice: StdRng,
    today: DateTime<Utc>,
    days: i64,
    share: f64,
    open: Vec<Open>,
    segments: Vec<SegmentKey>,
    events: usize,
    duplicates: usize,
    batches: usize,
    body_bytes: usize,
    segment_bytes: usize,
}

/// The next segment of a stream.
struct Open {
    stream: StreamName,
    number: u64,
    batches: Vec<Batch>,
}

impl Backlog {
    fn new(arguments: &Arguments) -> Result<Self> {
        let seed = arguments.or("seed", 1)?;
        let random: u64 = arguments.or("random", seed)?;
        let now = SystemClock.now();
        let midnight = now.date_naive().and_hms_opt(0, 0, 0).context("midnight")?;
        let stream = |index| StreamName::from_parts(now, random << 8 | index as u64);
        let open = |index| Open {
            stream: stream(index),
            number: 1,
            batches: Vec::new(),
        };
        Ok(Self {
            data: arguments.required("data")?,
            traffic: bodies::traffic(seed),
            dice: StdRng::seed_from_u64(seed),
            today: midnight.and_utc(),
            days: arguments.or("days", 1)?,
            share: arguments.or("duplicates", 0.0)?,
            open: (0..STREAMS).map(open).collect(),
            segments: Vec::new(),
            events: 0,
            duplicates: 0,
            batches: 0,
            body_bytes: 0,
            segment_bytes: 0,
        })
    }

    fn add(&mut self, events: usize) -> Result<()> {
        let again = !self.segments.is_empty() && self.dice.random_bool(self.share);
        let (body, count) = if again {
            self.earlier()?
        } else {
            self.fresh(events)
        };
        self.events += count;
        self.duplicates += if again { count } else { 0 };
        self.body_bytes += body.len();
        let id = bodies::id(1, self.batches as u64);
        let place = self.batches % STREAMS;
        self.batches += 1;
        let Some(open) = self.open.get_mut(place) else {
            bail!("there is no stream {place}");
        };
        let at = open.stream.started_at();
        let batch = Batch::new(SourceKind::Event, at, Some(id), Vec::new(), body);
        open.batches.push(batch);
        if open.batches.len() >= BATCHES_IN_A_SEGMENT {
            self.seal(place)?;
        }
        Ok(())
    }

    /// Events of some time of some day, close to each other as in every batch.
    fn fresh(&mut self, events: usize) -> (Bytes, usize) {
        let seconds = self.dice.random_range(0..self.days * 86_400);
        self.traffic
            .set_clock(self.today - TimeDelta::seconds(seconds));
        let batch = self.traffic.next_batch(events);
        (batch.body, batch.events)
    }

    /// A batch that was sent before, and how many events it has.
    fn earlier(&mut self) -> Result<(Bytes, usize)> {
        let segment = self.dice.random_range(0..self.segments.len());
        let key = self.segments.get(segment).context("an earlier segment")?;
        let path = self.data.join(key.path().as_ref());
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let read = segment::decode(Some(key), &bytes).context("decode a segment of ours")?;
        let batch = self.dice.random_range(0..read.batches.len());
        let body = read.batches.into_iter().nth(batch).context("a batch")?.body;
        let items: Vec<&serde_json::value::RawValue> =
            serde_json::from_slice(&body).context("read a body of ours")?;
        let events = items.len();
        Ok((body, events))
    }

    fn seal_all(&mut self) -> Result<()> {
        (0..STREAMS).try_for_each(|place| self.seal(place))
    }

    fn seal(&mut self, place: usize) -> Result<()> {
        let open = self.open.get_mut(place).context("a stream")?;
        if open.batches.is_empty() {
            return Ok(());
        }
        let number = SegmentNumber::new(open.number).context("a number")?;
        let key = SegmentKey::new(open.stream, number);
        let bytes = segment::encode(&key, &open.batches).context("encode a segment")?;
        open.number += 1;
        open.batches.clear();
        write(&self.data.join(key.path().as_ref()), &bytes)?;
        self.segment_bytes += bytes.len();
        self.segments.push(key);
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_written_has_the_events_and_duplicates_that_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let words = [
            "--data", data, "--events", "3000", "--batch", "10", "--days", "3",
        ];
        let more = ["--duplicates", "0.2"];
        let words = words.into_iter().chain(more).map(str::to_owned);
        let said = run(&Arguments::parse(words).unwrap()).unwrap();
        let (mut bodies, mut segments) = (Vec::new(), 0);
        let mut folders = vec![folder.path().to_owned()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                segments += 1;
                let read = segment::decode(None, &fs::read(&path).unwrap()).unwrap();
                bodies.extend(read.batches.into_iter().map(|batch| batch.body));
            }
        }
        assert_eq!(said["segments"], segments);
        assert_eq!((said["events"].as_u64(), bodies.len()), (Some(3000), 300));
        let different: HashSet<_> = bodies.iter().collect();
        let again = (bodies.len() - different.len()) * 10;
        assert!(again > 0);
        assert_eq!(said["duplicates"], again);
    }
}
