//! Through the raw store, day by day, stream by stream, in the order of numbers.

use std::collections::HashSet;

use chrono::NaiveDate;
use futures::{StreamExt as _, stream};
use postlake_event::schema::Table;
use postlake_raw::{ListError, RawStore, SegmentKey, SegmentNumber, StreamName};

use super::finding::FindingKind;
use super::floors::Floors;
use super::hours::Hour;
use super::rows::{Chunk, Lost};
use super::segment::{self, Contents};
use super::{Matched, Progress, Verification, Watch, Window};
use crate::error::LoadError;
use crate::ledger::day_of;
use crate::positions::{Tables, number_of};
use crate::repair;

/// Segments that are read and decoded at a time.
const AT_A_TIME: usize = 2;

/// What the walk has found besides findings.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) matched: Matched,
    /// Segments whose batches raw cannot tell, and which the lake may hold all the same.
    pub(super) lost: Vec<Lost>,
}

/// Reads every segment of the window and holds its batches against the lake.
pub(super) async fn walk(
    raw: &RawStore,
    tables: &mut Tables,
    window: Window,
    verification: &mut Verification,
    watch: Watch<'_>,
) -> Result<Walked, LoadError> {
    for name in raw.foreign_at_root().await.map_err(LoadError::List)? {
        let reason = "this is no day; postlake does not look at it";
        let findings = &mut verification.findings;
        findings.add(FindingKind::Note, name, reason);
    }
    let mut days = raw.dates().await.map_err(LoadError::List)?;
    days.retain(|day| window.touches(*day));
    days.sort_unstable();
    let floors = Floors::read(tables).await?;
    let mut walk = Walk {
        raw,
        floors,
        tables,
        window,
        verification,
        watch,
        chunk: Chunk::default(),
        walked: Walked::default(),
        saved: repair::saved(raw).await?,
        progress: Progress {
            of_days: days.len() as u64,
            ..Progress::default()
        },
    };
    for day in days {
        walk.day(day).await?;
    }
    walk.flush().await?;
    Ok(walk.walked)
}

struct Walk<'a> {
    raw: &'a RawStore,
    floors: Floors,
    tables: &'a mut Tables,
    window: Window,
    verification: &'a mut Verification,
    watch: Watch<'a>,
    chunk: Chunk,
    walked: Walked,
    progress: Progress,
    /// Damaged segments of which what could be read was copied.
    saved: HashSet<String>,
}

impl Walk<'_> {
    async fn day(&mut self, day: NaiveDate) -> Result<(), LoadError> {
        for name in self.raw.foreign_names(day).await.map_err(LoadError::List)? {
            let reason = "not the name of a segment; postlake does not look at it";
            self.add(FindingKind::StrayObject, name, reason);
        }
        let mut streams = self.raw.streams(day).await.map_err(LoadError::List)?;
        streams.sort_unstable();
        for stream in streams {
            self.stream(day, stream).await?;
        }
        self.progress.days += 1;
        self.tell();
        Ok(())
    }

    async fn stream(&mut self, day: NaiveDate, stream: StreamName) -> Result<(), LoadError> {
        let position = self
            .tables
            .position(Table::Batches, &stream)
            .await
            .map_err(LoadError::Lake)?;
        let mut after = 0;
        loop {
            match self.raw.segments_after(day, stream, after).await {
                Ok(keys) => {
                    let Some(last) = keys.last() else {
                        let loaded = u64::try_from(position).unwrap_or(0);
                        if after < loaded && self.unlisted(stream, after + 1, position).await? {
                            after += 1;
                            continue;
                        }
                        break;
                    };
                    after = last.number().get();
                    self.segments(keys, position).await?;
                }
                Err(ListError::Hole { missing, .. })
                    if self.unlisted(stream, missing, position).await? =>
                {
                    after = missing;
                }
                Err(ListError::Hole { missing, found }) => {
                    after = found.number().get() - 1;
                    self.missing(stream, (missing, after), position);
                }
                Err(fault) => return Err(LoadError::List(fault)),
            }
        }
        let loaded = u64::try_from(position).unwrap_or(0);
        if after < loaded {
            self.missing(stream, (after + 1, loaded), position);
        }
        Ok(())
    }

    /// A listing while others write may pass over what is there: a segment that should be listed is
    /// asked for by its name. True if it is there; then it was looked at.
    async fn unlisted(
        &mut self,
        stream: StreamName,
        number: u64,
        position: i64,
    ) -> Result<bool, LoadError> {
        let Ok(number) = SegmentNumber::new(number) else {
            return Ok(false);
        };
        let key = SegmentKey::new(stream, number);
        if !self.raw.is_there(&key).await.map_err(LoadError::Read)? {
            return Ok(false);
        }
        self.segments(vec![key], position).await?;
        Ok(true)
    }

    fn missing(&mut self, stream: StreamName, (first, last): (u64, u64), position: i64) {
        let name = |number| match SegmentNumber::new(number) {
            Ok(number) => SegmentKey::new(stream, number).to_string(),
            Err(error) => error.to_string(),
        };
        let numbers = match first == last {
            true => "it is".to_owned(),
            false => format!("it and all up to {} are", name(last)),
        };
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let loaded = match signed(last) <= position {
            true => "loaded before, so that the lake holds what the lake can hold of it",
            false => "not loaded",
        };
        let reason = format!("{numbers} not there, although a later one is or was; {loaded}");
        self.add(FindingKind::MissingSegment, name(first), reason);
        self.lost(stream, (signed(first), signed(last)), false);
    }

    async fn segments(&mut self, keys: Vec<SegmentKey>, position: i64) -> Result<(), LoadError> {
        let (raw, floors) = (self.raw.clone(), self.floors);
        let mut read = stream::iter(keys)
            .map(|key| {
                let raw = raw.clone();
                async move { (key, segment::read(raw, key, floors).await) }
            })
            .buffered(AT_A_TIME);
        while let Some((key, contents)) = read.next().await {
            self.take(key, contents?, position);
            self.progress.segments += 1;
            self.tell();
            if self.chunk.is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn take(&mut self, key: SegmentKey, contents: Contents, position: i64) {
        self.verification.segments += 1;
        let number = number_of(&key);
        let loaded = number <= position;
        match contents {
            Contents::Batches(batches) => {
                self.progress.batches += batches.len() as u64;
                for (index, batch) in batches.into_iter().enumerate() {
                    if !self.window.contains(batch.at) {
                        continue;
                    }
                    let hour = Hour {
                        received_batches: 1,
                        bytes: batch.bytes,
                        received_items: batch.items,
                        ..Hour::default()
                    };
                    self.verification.hours.add(batch.at, &hour);
                    self.chunk.receive(&key, index, batch, loaded);
                }
            }
            Contents::Damaged(reason) => {
                self.verification.damaged_segments += 1;
                let name = key.to_string();
                if self.saved.contains(&name) {
                    let reason = format!("{reason}; what could be read of it was copied");
                    self.add(FindingKind::Note, name, reason);
                } else {
                    self.add(FindingKind::DamagedSegment, name, reason);
                }
                let day = day_of(key.date());
                let is_named = loaded && !self.floors.has_gone(Table::Quarantine, day);
                self.lost(key.stream(), (number, number), is_named);
            }
            Contents::Unread(reason) => {
                self.add(FindingKind::UnreadSegment, key.to_string(), reason);
                self.lost(key.stream(), (number, number), false);
            }
        }
    }

    fn lost(&mut self, stream: StreamName, (first, last): (i64, i64), quarantined: bool) {
        self.walked.lost.push(Lost {
            stream,
            first,
            last,
            quarantined,
        });
    }

    async fn flush(&mut self) -> Result<(), LoadError> {
        let chunk = std::mem::take(&mut self.chunk);
        let matched = &mut self.walked.matched;
        chunk
            .settle(self.tables, self.verification, matched)
            .await?;
        self.tell();
        Ok(())
    }

    fn add(&mut self, kind: FindingKind, place: String, reason: impl Into<String>) {
        self.verification.findings.add(kind, place, reason);
    }

    fn tell(&mut self) {
        self.progress.findings = self.verification.findings.faults();
        (self.watch)(&self.progress);
    }
}
