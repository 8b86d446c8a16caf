//! One bounded run of the loader.
//!
//! The tables are committed in a fixed order: `events` first, always, even without rows, so that two
//! loaders meet there and one of them turns back; then `alerts` and `quarantine` where they have rows;
//! `batches` last. Each commit carries, for every stream of the pass, the number of the last segment
//! loaded. A segment counts as loaded when `batches` says so. If a pass is cut off before that, the
//! next one finds tables that are ahead of `batches`: it decodes these segments again, takes the rows
//! that stand there for what they are, and writes what is missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use futures::TryStreamExt as _;
use postlake_event::decode::{BatchInput, Counts, Decoded, Decoder};
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeError};
use postlake_raw::clock::Clock;
use postlake_raw::segment::SegmentError;
use postlake_raw::{Batch, RawStore, ReadError, SegmentKey, StreamName};

use crate::backlog::{self, Backlog};
use crate::discover::Discovery;
use crate::error::LoadError;
use crate::index::{DEFAULT_KEY_LIMIT, KeyIndex};
use crate::ledger::{Account, Ledger};
use crate::positions::{Tables, number_of};
use crate::settle::{BatchPlace, settle, unheld};

/// How much one pass takes on.
#[derive(Clone, Copy, Debug)]
pub struct PassLimits {
    /// Segments at most.
    pub segments: usize,
    /// A pass stops reading further segments once it holds this many bytes of bodies.
    pub body_bytes: usize,
    /// A pass stops reading further segments once it holds this many rows.
    pub rows: usize,
    /// Keys held in memory at most.
    pub keys: usize,
}

impl Default for PassLimits {
    fn default() -> PassLimits {
        PassLimits {
            segments: 512,
            body_bytes: 64 << 20,
            rows: 100_000,
            keys: DEFAULT_KEY_LIMIT,
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
    open: Option<Open>,
}

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
        Loader {
            raw,
            lake,
            clock,
            limits,
            open: None,
        }
    }

    /// One pass. On `Ok` every segment that it took is loaded: rows, rejects and accounts are durable
    /// and visible. A pass without new segments commits nothing.
    ///
    /// # Errors
    /// On `Err` nothing is lost and nothing doubled; the next pass starts over from the lake.
    pub async fn pass(&mut self) -> Result<PassReport, LoadError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                // Where there is no raw store, as when the data directory is away, no lake is made.
                self.raw.dates().await.map_err(LoadError::List)?;
                self.open_lake().await.map_err(LoadError::Lake)?
            }
        };
        let report = self.run(&mut open).await?;
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
        Ok(Open {
            tables: Tables::new(tables),
            discovery: Discovery::default(),
            events: KeyIndex::new(Table::Events, self.limits.keys),
            alerts: KeyIndex::new(Table::Alerts, self.limits.keys),
            batch_ids: BatchIds::default(),
        })
    }

    async fn run(&self, open: &mut Open) -> Result<PassReport, LoadError> {
        let now = self.clock.now();
        let found = open
            .discovery
            .new_segments(&self.raw, &mut open.tables, now, self.limits.segments)
            .await?;
        let mut more = found.segments.len() >= self.limits.segments;
        for fault in &found.blocked {
            tell_blocked(fault);
        }
        let mut work = Work::default();
        for key in &found.segments {
            if work.is_full(&self.limits) {
                more = true;
                break;
            }
            work.take(&self.raw, key).await?;
        }
        let blocked = work.blocked.len() + found.blocked.len();
        let mut report = PassReport::default();
        if work.segments > 0 {
            report = self.commit(open, work).await?;
            report.more = more;
        }
        report.blocked_streams = blocked as u64;
        Ok(report)
    }

    async fn commit(&self, open: &mut Open, mut work: Work) -> Result<PassReport, LoadError> {
        let decoded = work.decoder.finish().map_err(LoadError::Rows)?;
        let places = &work.places;
        let events = settle(
            &mut open.events,
            &open.tables,
            Table::Events,
            &decoded.events,
            &decoded.event_identities,
            places,
        )
        .await?;
        let alerts = settle(
            &mut open.alerts,
            &open.tables,
            Table::Alerts,
            &decoded.alerts,
            &decoded.alert_identities,
            places,
        )
        .await?;
        let quarantine = unheld(
            &open.tables,
            &decoded.quarantine,
            &decoded.quarantine_batches,
            places,
        )?;
        let accounts: Vec<Account> = decoded
            .counts
            .iter()
            .enumerate()
            .map(|(batch, counts)| account(counts, batch, &events, &alerts))
            .collect();
        let ledger = self.ledger(open, &work, &accounts).await?;
        let report = report(&work, &accounts);
        let parts = Parts {
            events: events.rows,
            alerts: alerts.rows,
            quarantine,
            damaged: work.damaged_rows(&open.tables, &decoded)?,
            ledger,
        };
        parts.append(&mut open.tables, &work.positions).await?;
        Ok(report)
    }

    async fn ledger(
        &self,
        open: &mut Open,
        work: &Work,
        accounts: &[Account],
    ) -> Result<RecordBatch, LoadError> {
        let loaded_at = self.clock.now();
        open.batch_ids.prepare(&open.tables).await?;
        let mut ledger = Ledger::default();
        for ((batch, place), account) in work.batches.iter().zip(&work.places).zip(accounts) {
            let reused = open.batch_ids.is_reused(batch);
            let flag = reused.then_some(BATCH_ID_REUSED);
            ledger.push(&batch.envelope, place, account, loaded_at, flag);
        }
        ledger.finish()
    }
}

/// Flag of a batch that came under an id that stood for other bytes before.
const BATCH_ID_REUSED: &str = "batch_id_reused";

/// What goes into each table.
struct Parts {
    events: RecordBatch,
    alerts: RecordBatch,
    quarantine: RecordBatch,
    damaged: Option<RecordBatch>,
    ledger: RecordBatch,
}

impl Parts {
    async fn append(
        self,
        tables: &mut Tables,
        positions: &BTreeMap<StreamName, i64>,
    ) -> Result<(), LoadError> {
        let quarantine: Vec<_> = self.damaged.into_iter().chain([self.quarantine]).collect();
        let order = [
            (Table::Events, vec![self.events], true),
            (Table::Alerts, vec![self.alerts], false),
            (Table::Quarantine, quarantine, false),
            (Table::Batches, vec![self.ledger], true),
        ];
        for (table, rows, always) in order {
            if always || rows.iter().any(|rows| rows.num_rows() > 0) {
                tables
                    .append(table, rows, positions)
                    .await
                    .map_err(LoadError::Lake)?;
            }
        }
        Ok(())
    }
}

/// What a pass has read and decoded.
#[derive(Debug, Default)]
struct Work {
    decoder: Decoder,
    batches: Vec<Batch>,
    places: Vec<BatchPlace>,
    positions: BTreeMap<StreamName, i64>,
    damaged: Vec<(SegmentKey, ReadError)>,
    /// Streams whose next segment cannot be had: nothing behind it may be taken either.
    blocked: HashSet<StreamName>,
    segments: u64,
    body_bytes: usize,
}

impl Work {
    fn is_full(&self, limits: &PassLimits) -> bool {
        self.body_bytes >= limits.body_bytes || self.decoder.rows() >= limits.rows
    }

    async fn take(&mut self, raw: &RawStore, key: &SegmentKey) -> Result<(), LoadError> {
        if self.blocked.contains(&key.stream()) {
            return Ok(());
        }
        match raw.read(key).await {
            Ok(segment) => {
                for (index, batch) in segment.batches.into_iter().enumerate() {
                    self.decode(key, index, batch);
                }
            }
            Err(ReadError::Damaged {
                key,
                source: source @ SegmentError::UnknownFormat { .. },
            }) => {
                // Not damaged but newer than this release: passing over it would lose it.
                return Err(LoadError::Newer { key, source });
            }
            Err(error @ ReadError::Damaged { .. }) => {
                tracing::error!(segment.key = %key.path(), "a raw segment is damaged and was quarantined");
                self.damaged.push((*key, error));
            }
            Err(error @ ReadError::Cancelled { .. }) => return Err(LoadError::Read(error)),
            Err(error) => {
                tell_blocked(&error);
                self.blocked.insert(key.stream());
                return Ok(());
            }
        }
        self.positions.insert(key.stream(), number_of(key));
        self.segments += 1;
        Ok(())
    }

    fn decode(&mut self, key: &SegmentKey, index: usize, mut batch: Batch) {
        let stream = key.stream().to_string();
        let batch_index = i64::try_from(index).unwrap_or(i64::MAX);
        let encoding = batch.envelope.headers.iter();
        let encoding = encoding
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
            .map(|(_, value)| value.as_str())
            .next();
        self.decoder.decode(&BatchInput {
            source: batch.envelope.source.as_str(),
            received_at: batch.envelope.received_at,
            batch_id: batch.envelope.batch_id.as_deref(),
            content_encoding: encoding,
            body: &batch.body,
            stream: &stream,
            segment: number_of(key),
            batch_index,
        });
        self.body_bytes += batch.body.len();
        // The rows hold what was decoded; the ledger needs the envelope alone.
        batch.body.clear();
        self.batches.push(batch);
        self.places.push(BatchPlace {
            segment: *key,
            batch_index,
        });
    }

    /// One quarantine row for each damaged segment that has none yet.
    fn damaged_rows(
        &self,
        tables: &Tables,
        decoded: &Decoded,
    ) -> Result<Option<RecordBatch>, LoadError> {
        let new: Vec<_> = self
            .damaged
            .iter()
            .filter(|(key, _)| !tables.holds(Table::Quarantine, key))
            .collect();
        if new.is_empty() {
            return Ok(None);
        }
        crate::ledger::damaged_rows(&decoded.quarantine.schema(), &new).map(Some)
    }
}

fn tell_blocked(fault: &dyn std::error::Error) {
    tracing::error!(
        "a stream is passed over for now: {}",
        crate::ledger::chain(fault)
    );
}

fn account(
    counts: &Counts,
    batch: usize,
    events: &crate::settle::Settled,
    alerts: &crate::settle::Settled,
) -> Account {
    let at = |counts: &[u64]| counts.get(batch).copied().unwrap_or(0);
    Account {
        items: counts.items,
        events: at(&events.kept),
        alerts: at(&alerts.kept),
        duplicates: at(&events.duplicates) + at(&alerts.duplicates),
        rejects: counts.rejects,
    }
}

fn report(work: &Work, accounts: &[Account]) -> PassReport {
    let sum = |field: fn(&Account) -> u64| accounts.iter().map(field).sum();
    PassReport {
        segments: work.segments,
        damaged_segments: work.damaged.len() as u64,
        blocked_streams: 0,
        batches: work.batches.len() as u64,
        items: sum(|account| account.items),
        events: sum(|account| account.events),
        alerts: sum(|account| account.alerts),
        duplicates: sum(|account| account.duplicates),
        rejects: sum(|account| account.rejects),
        more: false,
    }
}

/// Ids of the batches of the last days with a hash of their bodies, to flag an id that comes with
/// other bytes. The sender gives up after 8 hours, so two days are plenty.
#[derive(Debug, Default)]
struct BatchIds {
    seen: Option<HashMap<String, String>>,
}

/// Ids that are held at most; beyond that the memory starts anew.
const BATCH_ID_LIMIT: usize = 500_000;

impl BatchIds {
    async fn prepare(&mut self, tables: &Tables) -> Result<(), LoadError> {
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.len() < BATCH_ID_LIMIT)
        {
            return Ok(());
        }
        let mut seen = HashMap::new();
        if let Some(lake) = tables.get(Table::Batches) {
            let sql = "SELECT arrow_cast(batch_id, 'Utf8'), arrow_cast(sha256, 'Utf8') FROM batches \
                       WHERE batch_id IS NOT NULL \
                       AND received_date >= (SELECT max(received_date) FROM batches) - INTERVAL '1 day' \
                       LIMIT 250000";
            let mut rows = lake.select(sql).await.map_err(LoadError::Lake)?;
            while let Some(batch) = rows.try_next().await.map_err(LoadError::Lake)? {
                let ids = batch.column(0).as_string::<i32>().iter().flatten();
                let hashes = batch.column(1).as_string::<i32>().iter().flatten();
                seen.extend(
                    ids.zip(hashes)
                        .map(|(id, hash)| (id.to_owned(), hash.to_owned())),
                );
            }
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// True if the batch's id stood for other bytes before; remembers it either way.
    fn is_reused(&mut self, batch: &Batch) -> bool {
        let (Some(seen), Some(id)) = (&mut self.seen, &batch.envelope.batch_id) else {
            return false;
        };
        let hash = hex::encode(batch.envelope.sha256);
        match seen.get(id) {
            Some(known) => *known != hash,
            None => {
                seen.insert(id.clone(), hash);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
