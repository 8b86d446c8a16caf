//! Segments that were loaded, through today's code once more.
//!
//! A replay decodes raw segments again and holds every item against the lake:
//!
//! * its row stands there as it would be written today: nothing;
//! * its row stands there and today's would be another: it is replaced;
//! * it has no row and no other row has its key: it is added;
//! * it is quarantined and can be read today: its row is added and the quarantined one goes;
//! * a row stands there that today's code would not write: it goes.
//!
//! Then the rows of `batches` are made right. The result depends on raw and on the release alone, so a
//! replay that was broken off is simply run again, and one after a replay finds nothing to do. Segments
//! that no pass has loaded are left to the loader.
//!
//! It goes group by group of some ten thousand items, so that memory is bounded. For each group the
//! tables are committed in the order of a pass: `events`, `alerts`, `quarantine`, `batches`. Nobody
//! else's rows are committed over: when a loader was faster, the group is compared anew.

mod act;
mod compare;
mod flags;
mod group;

pub(crate) use compare::in_types;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use postlake_event::schema::Table;
use postlake_lake::Lake;
use postlake_raw::{ListError, RawStore, ReadError, SegmentKey};

use crate::books::Window;
use crate::error::LoadError;
use crate::index::{KeyIndex, KeyLimits};
use crate::ledger::chain;
use crate::place::ItemPlace;
use crate::positions::{Tables, number_of};
use crate::upkeep::Rules;
use group::Group;

/// Which batches are replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Batches received then.
    pub window: Window,
    /// Only these; none stands for all. Of a segment some batches, or all.
    pub only: Option<BTreeMap<SegmentKey, Option<BTreeSet<i64>>>>,
}

impl Choice {
    /// The batches of these places.
    pub fn of_places(places: impl IntoIterator<Item = ItemPlace>) -> Choice {
        let mut only = BTreeMap::new();
        for place in places {
            let batches = only
                .entry(place.segment)
                .or_insert_with(|| Some(BTreeSet::new()));
            match (place.batch_index, &mut *batches) {
                (Some(batch), Some(batches)) => {
                    batches.insert(batch);
                }
                _ => *batches = None,
            }
        }
        Choice {
            only: Some(only),
            ..Choice::default()
        }
    }

    fn wants(&self, key: &SegmentKey, batch: i64, received_at: DateTime<Utc>) -> bool {
        self.window.contains(received_at)
            && match self.only.as_ref().map(|only| only.get(key)) {
                None | Some(Some(None)) => true,
                Some(Some(Some(batches))) => batches.contains(&batch),
                Some(None) => false,
            }
    }

    /// True if the row that stands for a whole damaged segment is among what is chosen.
    fn wants_whole(&self, key: &SegmentKey) -> bool {
        match self.only.as_ref().map(|only| only.get(key)) {
            None => self.window == Window::default(),
            Some(batches) => batches.is_some_and(Option::is_none),
        }
    }
}

/// What a replay did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments read.
    pub segments: u64,
    /// Segments that cannot be decoded.
    pub damaged_segments: u64,
    /// Segments that no pass has loaded: they are left to the loader.
    pub waiting_segments: u64,
    /// Segments that are not there.
    pub missing_segments: u64,
    /// Segments that cannot be read at present: another replay has to.
    pub unread_segments: u64,
    /// Batches read.
    pub batches: u64,
    /// Items in them.
    pub items: u64,
    /// Items whose row stands as it would be written today.
    pub same: u64,
    /// Items whose equals the lake holds.
    pub duplicates: u64,
    /// Items whose row retention has let go, or will: none is added.
    pub expired: u64,
    /// Rows of `events` that were added.
    pub events_added: u64,
    /// Rows of `alerts` that were added.
    pub alerts_added: u64,
    /// Rows of `quarantine` that were added.
    pub quarantined: u64,
    /// Rows of `quarantine` that went.
    pub released: u64,
    /// Rows of `events` and `alerts` that are written otherwise today and were replaced.
    pub replaced: u64,
    /// Rows of `events` and `alerts` that went, those of doubled items among them.
    pub removed: u64,
    /// Rows of `batches` that were added, corrected or taken away.
    pub accounts: u64,
}

impl ReplayReport {
    /// True if nothing in the lake was other than it would be written today.
    pub fn changes_nothing(&self) -> bool {
        let changes = [
            self.events_added,
            self.alerts_added,
            self.quarantined,
            self.released,
            self.replaced,
            self.removed,
            self.accounts,
        ];
        changes == [0; 7]
    }
}

/// What replays, and how.
#[derive(Debug)]
pub struct Replay {
    /// The segments.
    pub raw: RawStore,
    /// What they are held against.
    pub lake: Lake,
    /// What time it is: rows of `batches` that are added say when.
    pub now: DateTime<Utc>,
    /// Keys that are kept.
    pub keys: KeyLimits,
    /// Rows that these let go are not brought back.
    pub rules: Rules,
    /// Whether it only says what it would do.
    pub dry_run: bool,
}

/// Commits of others that a group may meet before the replay gives up.
const ATTEMPTS: u32 = 50;

/// What is open in the lake.
struct Open {
    tables: Tables,
    events: KeyIndex,
    alerts: KeyIndex,
}

impl Replay {
    /// Replays what is chosen, and tells how far it has come.
    ///
    /// # Errors
    /// When a store does not answer, or the lake is too busy ([`LoadError::is_conflict`]). What was done
    /// stands; the next call goes on from there.
    pub async fn run(
        &self,
        choice: &Choice,
        watch: &mut (dyn FnMut(&ReplayReport) + Send),
    ) -> Result<ReplayReport, LoadError> {
        let mut report = ReplayReport::default();
        if !self.dry_run {
            self.lake.create_missing().await.map_err(LoadError::Lake)?;
        }
        let mut open = self.open().await?;
        let mut group = Group::default();
        if let Some(only) = &choice.only {
            for key in only.keys() {
                self.take(*key, choice, &mut open, &mut group, &mut report)
                    .await?;
                watch(&report);
            }
        } else {
            for day in self.raw.dates().await.map_err(LoadError::List)? {
                if choice.window.touches(day) {
                    let streams = self.raw.streams(day).await.map_err(LoadError::List)?;
                    for stream in streams {
                        let mut after = 0;
                        while let Some(keys) =
                            self.following(stream, &mut after, &mut report).await?
                        {
                            for key in keys {
                                self.take(key, choice, &mut open, &mut group, &mut report)
                                    .await?;
                                watch(&report);
                            }
                        }
                    }
                }
            }
        }
        self.settle(&mut open, &mut group, &mut report).await?;
        watch(&report);
        Ok(report)
    }

    /// The next segments of a stream; none at its end.
    async fn following(
        &self,
        stream: postlake_raw::StreamName,
        after: &mut u64,
        report: &mut ReplayReport,
    ) -> Result<Option<Vec<SegmentKey>>, LoadError> {
        loop {
            match self.raw.segments_after(stream.date(), stream, *after).await {
                Ok(keys) => {
                    let Some(last) = keys.last() else {
                        return Ok(None);
                    };
                    *after = last.number().get();
                    return Ok(Some(keys));
                }
                Err(ListError::Hole { found, .. }) => {
                    report.missing_segments += found.number().get() - 1 - *after;
                    *after = found.number().get() - 1;
                }
                Err(fault) => return Err(LoadError::List(fault)),
            }
        }
    }

    async fn take(
        &self,
        key: SegmentKey,
        choice: &Choice,
        open: &mut Open,
        group: &mut Group,
        report: &mut ReplayReport,
    ) -> Result<(), LoadError> {
        let position = open.tables.position(Table::Batches, &key.stream()).await;
        if number_of(&key) > position.map_err(LoadError::Lake)? {
            report.waiting_segments += 1;
            return Ok(());
        }
        match self.raw.read(&key).await {
            Ok(segment) => {
                report.segments += 1;
                group.decode(&key, segment.batches, choice);
                if group.is_full() {
                    self.settle(open, group, report).await?;
                }
            }
            Err(error) => unreadable(error, report)?,
        }
        Ok(())
    }

    /// Holds a group against the lake and makes the lake right.
    async fn settle(
        &self,
        open: &mut Open,
        group: &mut Group,
        report: &mut ReplayReport,
    ) -> Result<(), LoadError> {
        let Some(decoded) = std::mem::take(group).finish()? else {
            return Ok(());
        };
        report.batches += decoded.envelopes.len() as u64;
        report.items += decoded.items();
        let mut attempts = 0;
        loop {
            let settled = self.compare_and_act(open, &decoded, report).await;
            match settled {
                // What went may have stood in the way of what is added: it is compared once more.
                Ok(again) => {
                    if !again {
                        return Ok(());
                    }
                }
                Err(error) if error.is_conflict() && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
            *open = self.open().await?;
        }
    }

    async fn open(&self) -> Result<Open, LoadError> {
        let mut tables = Vec::new();
        for table in Table::ALL.into_iter().rev() {
            tables.extend(self.lake.table(table).await.map_err(LoadError::Lake)?);
        }
        let folder = self.lake.url().directory();
        let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
        Ok(Open {
            tables: Tables::new(tables),
            events: KeyIndex::new(Table::Events, self.keys, &folder),
            alerts: KeyIndex::new(Table::Alerts, self.keys, &folder),
        })
    }
}

fn unreadable(error: ReadError, report: &mut ReplayReport) -> Result<(), LoadError> {
    match error {
        ReadError::Damaged {
            key,
            source: source @ postlake_raw::segment::SegmentError::UnknownFormat { .. },
        } => Err(LoadError::Newer { key, source }),
        ReadError::Damaged { .. } => {
            report.damaged_segments += 1;
            Ok(())
        }
        ReadError::NotFound { .. } => {
            report.missing_segments += 1;
            Ok(())
        }
        // A disk can fail in one place; a store that does not answer at all is not asked on and on.
        ReadError::Unavailable { .. } if report.unread_segments < MOST_UNREAD => {
            report.unread_segments += 1;
            tracing::warn!("{}", chain(&error));
            Ok(())
        }
        error => Err(LoadError::Read(error)),
    }
}

/// Segments that a replay passes over because the store does not give them.
const MOST_UNREAD: u64 = 10;

#[cfg(test)]
mod tests;
