//! One bounded run of the loader.
//!
//! The tables are committed in a fixed order: `events` first, always, even without rows, so that two
//! loaders meet there and one of them turns back; then `alerts` and `quarantine` where they have rows;
//! `batches` last. Each commit carries, for every stream of the pass, the number of the last segment
//! loaded. A segment counts as loaded when `batches` says so. If a pass is cut off before that, the
//! next one finds tables that are ahead of `batches`: it decodes these segments again, takes the rows
//! that stand there for what they are, and writes what is missing.
//!
//! A pass goes chunk by chunk, so that its size is not a question of memory: while the rows of one
//! chunk are settled and go into the data files, the next one is read and decoded (`ahead`). Nothing
//! is visible before the commits at the end.

mod ahead;
mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postlake_event::decode::Counts;
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeError};
use postlake_raw::RawStore;
use postlake_raw::clock::Clock;
use tracing::Instrument as _;

use crate::backlog::{self, Backlog};
use crate::batch_ids::BatchIds;
use crate::discover::Discovery;
use crate::error::LoadError;
use crate::index::{KeyIndex, KeyLimits};
use crate::ledger::{Account, Ledger, damaged_rows};
use crate::positions::Tables;
use crate::settle::{Settled, settle, unheld};
use crate::trace;
use ahead::{Ahead, Chunk, Source, tell_blocked};
use files::Files;

/// How much one pass takes on: how large its files become and how late its rows are seen.
#[derive(Clone, Copy, Debug)]
pub struct PassLimits {
    /// Segments at most.
    pub segments: usize,
    /// A pass stops reading further segments once it has had this many bytes of bodies.
    pub body_bytes: usize,
    /// A pass stops reading further segments once it has this many rows.
    pub rows: usize,
    /// A pass stops reading further segments after this time.
    pub age: Duration,
    /// Keys that are kept for each table.
    pub keys: KeyLimits,
}

impl Default for PassLimits {
    fn default() -> PassLimits {
        PassLimits {
            segments: 1024,
            body_bytes: 512 << 20,
            rows: 100_000,
            age: Duration::from_secs(3),
            keys: KeyLimits::default(),
        }
    }
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Segments loaded.
    pub segments: u64,
    /// Segments that could not be read and were quarantined whole.
    pub damaged_segments: u64,
    /// Streams that were passed over because a segment of theirs cannot be had at present.
    pub blocked_streams: u64,
    /// Batches in them.
    pub batches: u64,
    /// Items in the batches.
    pub items: u64,
    /// Event rows that the lake holds of them.
    pub events: u64,
    /// Alert rows that the lake holds of them.
    pub alerts: u64,
    /// Items whose equals the lake held before.
    pub duplicates: u64,
    /// Items that were quarantined.
    pub rejects: u64,
    /// True if the limits cut the pass: there may be more to load at once.
    pub more: bool,
}

/// Loads raw segments into a lake. One should be active for a lake; a second one does no harm, it
/// is turned back by the lake's log.
#[derive(Debug)]
pub struct Loader {
    raw: RawStore,
    lake: Lake,
    clock: Arc<dyn Clock>,
    limits: PassLimits,
    /// Where keys lie that do not fit in memory: files without names, gone with the process.
    key_folder: PathBuf,
    /// When the disk refused keys.
    keys_refused_at: Option<DateTime<Utc>>,
    open: Option<Open>,
}

/// How long keys are kept in memory alone after the disk has refused them.
const WITHOUT_DISK: TimeDelta = TimeDelta::minutes(10);

/// What is kept from pass to pass; dropped on any error and read again from the lake.
#[derive(Debug)]
struct Open {
    tables: Tables,
    discovery: Discovery,
    events: KeyIndex,
    alerts: KeyIndex,
    batch_ids: BatchIds,
}

impl Loader {
    /// A loader that has not touched anything yet.
    pub fn new(raw: RawStore, lake: Lake, clock: Arc<dyn Clock>, limits: PassLimits) -> Loader {
        let directory = lake.url().directory();
        Loader {
            raw,
            key_folder: directory.map_or_else(std::env::temp_dir, PathBuf::from),
            lake,
            clock,
            limits,
            keys_refused_at: None,
            open: None,
        }
    }

    /// One pass. On `Ok` every segment that it took is loaded: rows, rejects and accounts are durable
    /// and visible. A pass without new segments commits nothing.
    ///
    /// # Errors
    /// On `Err` nothing is lost and nothing doubled; the next pass starts over from the lake.
    pub async fn pass(&mut self) -> Result<PassReport, LoadError> {
        let span = trace::pass();
        let report = self.pass_once().instrument(span.clone()).await;
        match &report {
            Ok(report) => trace::passed(&span, &report.counts()),
            Err(error) => trace::failed(&span, error),
        }
        report
    }

    async fn pass_once(&mut self) -> Result<PassReport, LoadError> {
        self.try_disk_again();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                // Where there is no raw store, as when the data directory is away, no lake is made.
                self.raw.dates().await.map_err(LoadError::List)?;
                self.open_lake().await.map_err(LoadError::Lake)?
            }
        };
        let report = match self.run(&mut open).await {
            Ok(report) => report,
            Err(error) => {
                if matches!(error, LoadError::Keys(_)) {
                    self.keys_refused_at = Some(self.clock.now());
                }
                return Err(error);
            }
        };
        // Only after success: whatever an error left half done is read again from the lake.
        self.open = Some(open);
        Ok(report)
    }

    /// What is received and not loaded at present. Lists the raw store and reads nothing of it.
    ///
    /// # Errors
    /// When the raw store or the lake does not answer.
    pub async fn backlog(&mut self) -> Result<Backlog, LoadError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_lake().await.map_err(LoadError::Lake)?,
        };
        let backlog = backlog::measure(&self.raw, &mut open.tables).await?;
        self.open = Some(open);
        Ok(backlog)
    }

    /// The tables of the lake with their versions, as of the last pass; empty before the first.
    pub fn versions(&self) -> Vec<(Table, u64)> {
        let open = self.open.iter();
        let tables = open.flat_map(|open| Table::ALL.map(|table| (table, open.tables.get(table))));
        tables
            .filter_map(|(table, open)| Some((table, open?.version())))
            .collect()
    }

    async fn open_lake(&self) -> Result<Open, LakeError> {
        self.lake.create_missing().await?;
        let mut tables = Vec::new();
        for table in Table::ALL {
            tables.extend(self.lake.table(table).await?);
        }
        let mut keys = self.limits.keys;
        if self.keys_refused_at.is_some() {
            keys.disk_bytes = 0;
        }
        let folder = &self.key_folder;
        Ok(Open {
            tables: Tables::new(tables),
            discovery: Discovery::default(),
            events: KeyIndex::new(Table::Events, keys, folder),
            alerts: KeyIndex::new(Table::Alerts, keys, folder),
            batch_ids: BatchIds::default(),
        })
    }

    /// Starts over with the disk when it has had time to recover.
    fn try_disk_again(&mut self) {
        let now = self.clock.now();
        if self
            .keys_refused_at
            .is_some_and(|at| (now - at).abs() > WITHOUT_DISK)
        {
            self.keys_refused_at = None;
            self.open = None;
        }
    }

    async fn run(&self, open: &mut Open) -> Result<PassReport, LoadError> {
        let now = self.clock.now();
        let found = open
            .discovery
            .new_segments(&self.raw, &mut open.tables, now, self.limits.segments)
            .await?;
        for fault in &found.blocked {
            tell_blocked(fault);
        }
        let more = found.segments.len() >= self.limits.segments;
        let mut report = PassReport {
            blocked_streams: found.blocked.len() as u64,
            ..PassReport::default()
        };
        if found.segments.is_empty() {
            return Ok(report);
        }
        open.events.begin_pass()?;
        open.alerts.begin_pass()?;
        open.batch_ids.prepare(&open.tables).await?;
        let source = Source::new(self.raw.clone(), found.segments, self.limits);
        let (source, files) = self.load(open, source, &mut report).await?;
        if report.segments > 0 {
            files.commit(&mut open.tables, Table::Batches).await?;
        }
        report.more = report.segments > 0 && (more || source.is_cut());
        report.blocked_streams += source.blocked_streams() as u64;
        Ok(report)
    }

    /// Chunk after chunk into the files.
    async fn load(
        &self,
        open: &mut Open,
        source: Source,
        report: &mut PassReport,
    ) -> Result<(Source, Files), LoadError> {
        let mut files = Files::default();
        let mut ledger = Ledger::default();
        let mut ahead = Ahead::start(source);
        let source = loop {
            let (source, chunk) = ahead.chunk().await?;
            let Some(chunk) = chunk else {
                break source;
            };
            ahead = Ahead::start(source);
            self.take(open, &mut files, &mut ledger, chunk, report)
                .await?;
        };
        let rows = ledger.finish()?;
        files.write(&open.tables, Table::Batches, rows).await?;
        Ok((source, files))
    }

    async fn take(
        &self,
        open: &mut Open,
        files: &mut Files,
        ledger: &mut Ledger,
        chunk: Chunk,
        report: &mut PassReport,
    ) -> Result<(), LoadError> {
        let Chunk {
            decoded, places, ..
        } = &chunk;
        let tables = &open.tables;
        let identities = &decoded.event_identities;
        let events = &mut open.events;
        let events = settle(events, tables, &decoded.events, identities, places).await?;
        let identities = &decoded.alert_identities;
        let alerts = &mut open.alerts;
        let alerts = settle(alerts, tables, &decoded.alerts, identities, places).await?;
        let batches = &decoded.quarantine_batches;
        let quarantine = unheld(tables, &decoded.quarantine, batches, places)?;
        let damaged = damaged_rows(tables, &chunk.damaged)?;
        let accounts = accounts(&decoded.counts, &events, &alerts);
        report.add(&chunk, &accounts);
        let loaded_at = self.clock.now();
        for ((envelope, place), account) in chunk.envelopes.iter().zip(places).zip(&accounts) {
            let reused = open.batch_ids.is_reused(envelope);
            let flags = [
                reused.then_some(BATCH_ID_REUSED),
                account.expired.then_some(DAY_EXPIRED),
            ];
            ledger.push(envelope, place, account, loaded_at, flags);
        }
        files.reach(&chunk.reached);
        let rows = [
            (Table::Events, events.rows),
            (Table::Alerts, alerts.rows),
            (Table::Quarantine, damaged),
            (Table::Quarantine, quarantine),
        ];
        // The decoded rows are of no further use, and there may be many.
        drop(chunk);
        for (table, rows) in rows {
            files.write(tables, table, rows).await?;
        }
        Ok(())
    }
}

/// Flag of a batch that came under an id that stood for other bytes before.
pub(crate) const BATCH_ID_REUSED: &str = "batch_id_reused";

/// Flag of a batch with items of days that retention has let go: they count as duplicates.
pub(crate) const DAY_EXPIRED: &str = "day_expired";

/// The account of each batch of a chunk.
fn accounts(counts: &[Counts], events: &Settled, alerts: &Settled) -> Vec<Account> {
    let at = |counts: &[u64], batch: usize| counts.get(batch).copied().unwrap_or(0);
    let account = |(batch, counts): (usize, &Counts)| Account {
        items: counts.items,
        events: at(&events.kept, batch),
        alerts: at(&alerts.kept, batch),
        duplicates: at(&events.duplicates, batch) + at(&alerts.duplicates, batch),
        rejects: counts.rejects,
        expired: at(&events.expired, batch) + at(&alerts.expired, batch) > 0,
    };
    counts.iter().enumerate().map(account).collect()
}

impl PassReport {
    /// What it counts, under the names that traces have for it.
    fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("postlake.segments", self.segments),
            ("postlake.batches", self.batches),
            ("postlake.items", self.items),
            ("postlake.events", self.events),
            ("postlake.alerts", self.alerts),
            ("postlake.duplicates", self.duplicates),
            ("postlake.rejects", self.rejects),
            ("postlake.blocked_streams", self.blocked_streams),
        ]
    }

    fn add(&mut self, chunk: &Chunk, accounts: &[Account]) {
        self.segments += chunk.segments;
        self.damaged_segments += chunk.damaged.len() as u64;
        self.batches += accounts.len() as u64;
        for account in accounts {
            self.items += account.items;
            self.events += account.events;
            self.alerts += account.alerts;
            self.duplicates += account.duplicates;
            self.rejects += account.rejects;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
