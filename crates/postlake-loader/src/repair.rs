//! What is damaged or missing, made good from what is left. Copies, and overwrites nothing.
//!
//! * A **data file** that is missing or cannot be read is taken out of the log; a replay then brings the
//!   rows back from raw. The file itself stays until it is vacuumed.
//! * A **raw segment** that was damaged before it was loaded: the batches whose bodies are certain are
//!   copied into a stream of their own, whose name follows from the segment's, so that a second repair
//!   writes the same. The damaged object stays, and `quarantine` names it. A segment that was loaded
//!   before it was damaged is left alone: the lake has what was in it.
//!
//! The commit that takes files out counts, in a position of the table, that a replay is owed; when that is
//! done, [`Repair::finish`] counts the same. So a repair that was broken off between the two knows it.

mod loaded;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::{ErrorKind, FileFault, Job, Lake, LakeTable, Onto, StoredFile};
use postlake_raw::segment::{self, SegmentError};
use postlake_raw::{
    AuditEntry, LandErrorKind, ListError, RawStore, ReadError, SegmentKey, StreamName,
};

use crate::error::LoadError;
use crate::ledger::chain;

/// The deed's name in the audit log.
pub(crate) const DEED: &str = "repair";

/// What repairs.
#[derive(Debug)]
pub struct Repair {
    /// The segments.
    pub raw: RawStore,
    /// The lake.
    pub lake: Lake,
    /// What time it is, and who repairs, for the audit log.
    pub now: DateTime<Utc>,
    /// Who repairs.
    pub who: String,
    /// Whether it only says what it would do.
    pub dry_run: bool,
}

/// A segment of which something was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The damaged segment.
    pub from: SegmentKey,
    /// Where what could be read was copied to.
    pub to: SegmentKey,
    /// Batches of it.
    pub batches: u64,
    /// What is wrong with the rest.
    pub faults: Vec<String>,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Data files that were taken out of the log.
    pub data_files: Vec<String>,
    /// Segments of which something was saved.
    pub saved: Vec<Saved>,
    /// What nothing can be done about, and why.
    pub hopeless: Vec<String>,
    /// What cannot be read at present, which may be the store's fault: another repair has to look.
    pub unread: Vec<String>,
    /// True if a replay of everything is owed, for data files that went now or in a repair that was
    /// broken off.
    pub owes_replay: bool,
}

impl Repair {
    /// Looks at everything and repairs what can be. Rows of data files that went come back by a replay
    /// of everything, and saved batches by the next pass: both are the caller's to do.
    ///
    /// # Errors
    /// When a store does not answer. What was done stands, and the next repair goes on from there.
    pub async fn run(&self) -> Result<RepairReport, LoadError> {
        let mut report = RepairReport::default();
        let days = self.raw.dates().await.map_err(LoadError::List)?;
        let lake = loaded::Accounts::open(&self.lake).await?;
        for day in days {
            for stream in self.raw.streams(day).await.map_err(LoadError::List)? {
                self.stream(&lake, stream, &mut report).await?;
            }
        }
        let raw_is_whole = report.hopeless.is_empty() && report.unread.is_empty();
        for table in Table::ALL {
            if let Some(open) = self.lake.table(table).await.map_err(LoadError::Lake)? {
                let (taken, done) = debts(&open).await?;
                report.owes_replay |= taken > done;
                self.files(open, raw_is_whole, &mut report).await?;
            }
        }
        report.owes_replay |= !report.data_files.is_empty();
        Ok(report)
    }

    /// Everything was replayed since [`Repair::run`]: no replay is owed any more.
    ///
    /// # Errors
    /// When a table cannot be written.
    pub async fn finish(&self) -> Result<(), LoadError> {
        for table in Table::ALL {
            let Some(mut open) = self.lake.table(table).await.map_err(LoadError::Lake)? else {
                continue;
            };
            let (taken, done) = debts(&open).await?;
            if taken > done {
                let nothing = open.begin_rewrite(Job::Replay).map_err(LoadError::Lake)?;
                let paid = BTreeMap::from([(DONE.to_owned(), taken)]);
                let commit = open.commit_rewrite(nothing, &paid, Onto::OtherRows);
                commit.await.map_err(LoadError::Lake)?;
            }
        }
        Ok(())
    }

    async fn files(
        &self,
        mut lake: LakeTable,
        raw_is_whole: bool,
        report: &mut RepairReport,
    ) -> Result<(), LoadError> {
        let survey = lake.survey().await.map_err(LoadError::Lake)?;
        let faulty = survey.faults.into_iter();
        let faulty = faulty.map(|fault| (fault.path.clone(), fault));
        let faulty: HashMap<String, FileFault> = faulty.collect();
        let retired_before = self.raw.retired_before().await.map_err(LoadError::List)?;
        let mut rewrite = lake.begin_rewrite(Job::Replay).map_err(LoadError::Lake)?;
        let mut taken = Vec::new();
        for file in lake.stored_files().map_err(LoadError::Lake)? {
            let fault = faulty.get(&file.path);
            let is_missing = fault.is_some_and(|fault| fault.missing);
            let is_certain = is_missing || fault.is_some_and(|fault| fault.certain);
            let name = format!("lake/{}/{}", lake.table().name(), file.path);
            let unreadable = match is_certain {
                true => Ok(true),
                false => is_unreadable(&lake, &file).await,
            };
            match unreadable {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    report.unread.push(format!("{name}: {}", chain(&error)));
                    continue;
                }
            }
            let why = if !in_raw(&file, retired_before) {
                "raw of its day was let go, so nothing could bring its rows back"
            } else if !raw_is_whole {
                "raw is not whole, so it might not bring all of its rows back: see the others first"
            } else {
                rewrite.remove(&file);
                taken.push(name);
                continue;
            };
            let what = if is_missing {
                "is not there"
            } else {
                "is damaged"
            };
            report.hopeless.push(format!("{name}: it {what}; {why}"));
        }
        if !taken.is_empty() && !self.dry_run {
            self.note(taken.clone()).await?;
            let owed = BTreeMap::from([(TAKEN.to_owned(), debts(&lake).await?.0 + 1)]);
            let commit = lake.commit_rewrite(rewrite, &owed, Onto::OtherRows);
            commit.await.map_err(LoadError::Lake)?;
        }
        report.data_files.extend(taken);
        Ok(())
    }

    async fn stream(
        &self,
        lake: &loaded::Accounts,
        stream: StreamName,
        report: &mut RepairReport,
    ) -> Result<(), LoadError> {
        let mut after = 0;
        loop {
            match self.raw.segments_after(stream.date(), stream, after).await {
                Ok(keys) => {
                    let Some(last) = keys.last() else {
                        return Ok(());
                    };
                    after = last.number().get();
                    for key in &keys {
                        self.segment(lake, key, report).await?;
                    }
                }
                Err(ListError::Hole { missing, found }) => {
                    after = found.number().get() - 1;
                    let why = "put it back from a backup; what follows it waits for it";
                    let name = format!("{stream} number {missing}");
                    report
                        .hopeless
                        .push(format!("{name}: it is not there; {why}"));
                }
                Err(fault) => return Err(LoadError::List(fault)),
            }
        }
    }

    async fn segment(
        &self,
        lake: &loaded::Accounts,
        key: &SegmentKey,
        report: &mut RepairReport,
    ) -> Result<(), LoadError> {
        let damage = match self.raw.read(key).await {
            Ok(_) => return Ok(()),
            Err(ReadError::Damaged {
                key,
                source: source @ SegmentError::UnknownFormat { .. },
            }) => return Err(LoadError::Newer { key, source }),
            Err(ReadError::Damaged { source, .. }) => chain(&source),
            Err(error @ ReadError::Cancelled { .. }) => return Err(LoadError::Read(error)),
            Err(error) => {
                report.unread.push(chain(&error));
                return Ok(());
            }
        };
        if lake.have(key).await? {
            let why =
                "it was loaded before, so the lake has its batches; put it back from a backup";
            report.hopeless.push(format!("{key}: {damage}; {why}"));
            return Ok(());
        }
        let object = self.raw.read_bytes(key).await.map_err(LoadError::Read)?;
        let salvaged = tokio::task::spawn_blocking(move || segment::salvage(&object)).await;
        let salvaged = salvaged.map_err(|_ended| LoadError::Stopped)?;
        if salvaged.batches.is_empty() {
            report
                .hopeless
                .push(format!("{key}: {damage}; nothing of it can be read"));
            return Ok(());
        }
        let saved = Saved {
            from: *key,
            to: key.salvaged(),
            batches: salvaged.batches.len() as u64,
            faults: salvaged.faults,
        };
        if !self.dry_run {
            self.save(&saved, &salvaged.batches).await?;
        }
        report.saved.push(saved);
        Ok(())
    }

    /// On `Ok` the copy is durable. One that is there already stays as it is.
    async fn save(&self, saved: &Saved, batches: &[postlake_raw::Batch]) -> Result<(), LoadError> {
        let bytes = segment::encode(&saved.to, batches).map_err(LoadError::Copy)?;
        let text = format!("{} {} {}", saved.from, saved.to, saved.batches);
        self.note(vec![text]).await?;
        match self.raw.land(&saved.to, bytes).await {
            Err(error) if error.kind() != LandErrorKind::Conflict => Err(LoadError::Land(error)),
            _ => Ok(()),
        }
    }

    async fn note(&self, to: Vec<String>) -> Result<(), LoadError> {
        let entry = AuditEntry {
            at: self.now,
            who: self.who.clone(),
            what: DEED.to_owned(),
            to,
            why: None,
        };
        self.raw.note(&entry).await.map_err(LoadError::Land)
    }
}

/// Positions of a table: how often files were taken out of its log, and for how many of these times
/// everything was replayed.
const TAKEN: &str = "repair:taken";
const DONE: &str = "repair:replayed";

async fn debts(table: &LakeTable) -> Result<(i64, i64), LoadError> {
    let taken = table.position(TAKEN).await.map_err(LoadError::Lake)?;
    let done = table.position(DONE).await.map_err(LoadError::Lake)?;
    Ok((taken.unwrap_or(0), done.unwrap_or(0)))
}

/// Whether raw holds what the rows of a file were made of: rows are received on their day or later.
fn in_raw(file: &StoredFile, retired_before: Option<NaiveDate>) -> bool {
    let day = file.about.day.unwrap_or(i32::MIN);
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    retired_before.is_none_or(|before| (before - epoch).num_days() <= i64::from(day))
}

/// True if the rows of a file cannot be read, and that is the file's fault.
async fn is_unreadable(lake: &LakeTable, file: &StoredFile) -> Result<bool, LoadError> {
    let read = async {
        let mut rows = lake.rows_of(file).await?;
        while rows.try_next().await?.is_some() {}
        Ok(())
    };
    match read.await {
        Ok(()) => Ok(false),
        Err(error) => {
            let error: postlake_lake::LakeError = error;
            match error.kind() {
                ErrorKind::Damaged => Ok(true),
                _ => Err(LoadError::Lake(error)),
            }
        }
    }
}

/// Segments of which what could be read was copied: `verify` takes them for told. The note of a copy is
/// older than the copy, which may never have come.
pub(crate) async fn saved(raw: &RawStore) -> Result<HashSet<String>, LoadError> {
    let entries = raw.audit().await.map_err(LoadError::List)?;
    let deeds = entries.into_iter().filter(|entry| entry.what == DEED);
    let places = deeds.flat_map(|entry| entry.to);
    let segments = places.filter_map(|place| SegmentKey::parse(place.split_once(' ')?.0).ok());
    let mut saved = HashSet::new();
    for key in segments {
        if raw
            .is_there(&key.salvaged())
            .await
            .map_err(LoadError::Read)?
        {
            saved.insert(key.to_string());
        }
    }
    Ok(saved)
}

#[cfg(test)]
mod tests;
