//! Batches of raw against the rows of the lake.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::LakeTable;
use postlake_raw::{RawStore, SegmentKey, SegmentNumber, StreamName};

use super::finding::{FindingKind, Findings};
use super::hours::Hour;
use super::segment::Received;
use super::walk::Walked;
use super::{Matched, Verification, Window, micros};
use crate::error::LoadError;
use crate::positions::{Tables, number_of};

/// Batches, and items in them, that are held against the lake at a time.
const MOST_BATCHES: usize = 20_000;
const MOST_ITEMS: u64 = 20_000_000;

/// The largest item index that is noted: no body holds more items.
const MOST_INDEX: usize = 1 << 26;

/// Segments of a stream whose batches raw cannot tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) stream: StreamName,
    pub(super) first: i64,
    pub(super) last: i64,
    /// True if `quarantine` has to name it.
    pub(super) quarantined: bool,
}

/// Batches of raw with what the lake says of them.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    batches: BTreeMap<(StreamName, i64, i64), Held>,
    items: u64,
    received: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

#[derive(Debug)]
struct Held {
    received: Received,
    loaded: bool,
    /// Rows of `batches`, and what the first of them says.
    accounts: u64,
    account: Account,
    /// Rows of `events`, `alerts`, `quarantine`.
    rows: [u64; 3],
    seen: Seen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    same_bytes: bool,
    items: i64,
    /// Events, alerts, rejects.
    rows: [i64; 3],
    duplicates: i64,
}

/// Items of a batch that stand in the lake.
#[derive(Debug, Default)]
struct Seen {
    words: Vec<u64>,
    doubled: Option<usize>,
    body_rejects: u64,
}

impl Seen {
    fn note(&mut self, index: Option<i64>) {
        let Some(index) = index.and_then(|index| usize::try_from(index).ok()) else {
            self.body_rejects += 1;
            return;
        };
        if index > MOST_INDEX {
            return;
        }
        let (word, bit) = (index / 64, 1_u64 << (index % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            if *word & bit != 0 {
                self.doubled.get_or_insert(index);
            }
            *word |= bit;
        }
    }
}

impl Chunk {
    pub(super) fn is_full(&self) -> bool {
        self.batches.len() >= MOST_BATCHES || self.items >= MOST_ITEMS
    }

    pub(super) fn receive(
        &mut self,
        key: &SegmentKey,
        index: usize,
        received: Received,
        loaded: bool,
    ) {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.items += received.items;
        let (first, last) = self.received.unwrap_or((received.at, received.at));
        self.received = Some((first.min(received.at), last.max(received.at)));
        let held = Held {
            received,
            loaded,
            accounts: 0,
            account: Account::default(),
            rows: [0; 3],
            seen: Seen::default(),
        };
        self.batches
            .insert((key.stream(), number_of(key), index), held);
    }

    /// Asks the lake, and says what does not fit.
    pub(super) async fn settle(
        mut self,
        tables: &Tables,
        verification: &mut Verification,
        matched: &mut Matched,
    ) -> Result<(), LoadError> {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            let lake = tables.get(table);
            if let Some(lake) = lake.filter(|_| !verification.unread.contains(&table)) {
                let read = self.ask(lake, place, matched).await;
                verification.is_read(table, read);
            }
        }
        for (place, held) in &self.batches {
            if held.loaded {
                held.compare(place, verification);
            }
            verification.hours.add(held.received.at, &held.hour());
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        lake: &LakeTable,
        place: usize,
        matched: &mut Matched,
    ) -> Result<(), LoadError> {
        let (Some((since, until)), Some(((first, ..), _)), Some(((last, ..), _))) = (
            self.received,
            self.batches.first_key_value(),
            self.batches.last_key_value(),
        ) else {
            return Ok(());
        };
        let columns = match lake.table() {
            Table::Batches => {
                "arrow_cast(sha256, 'Utf8'), bytes, items, events, alerts, rejects, duplicates"
            }
            _ => "item_index",
        };
        // A stream's name holds letters, digits and a hyphen alone: its type cannot be built of others.
        let sql = format!(
            "SELECT arrow_cast(stream, 'Utf8'), segment, batch_index, {columns} FROM {} \
             WHERE received_at >= {} AND received_at <= {} AND stream >= '{first}' AND stream <= '{last}'",
            lake.table().name(),
            micros(since),
            micros(until),
        );
        let mut rows = lake.select(&sql).await.map_err(LoadError::Lake)?;
        while let Some(batch) = rows.try_next().await.map_err(LoadError::Lake)? {
            self.note(lake.table(), place, &batch, matched);
        }
        Ok(())
    }

    fn note(&mut self, table: Table, place: usize, rows: &RecordBatch, matched: &mut Matched) {
        let numbers = |column: usize| rows.column(column).as_primitive::<Int64Type>();
        let (segments, batches) = (numbers(1), numbers(2));
        let mut last: Option<(&str, StreamName)> = None;
        for (row, text) in rows.column(0).as_string::<i32>().iter().enumerate() {
            let text = text.unwrap_or_default();
            let stream = match last {
                Some((same, stream)) if same == text => stream,
                _ => match StreamName::parse(text) {
                    Ok(stream) => stream,
                    // It comes from nowhere, and is found there.
                    Err(_) => continue,
                },
            };
            last = Some((text, stream));
            let key = (stream, segments.value(row), batches.value(row));
            let Some(held) = self.batches.get_mut(&key) else {
                continue;
            };
            if let Some(count) = matched.entry(stream.date()).or_default().get_mut(place) {
                *count += 1;
            }
            match table {
                Table::Batches => held.account(rows, row),
                _ => {
                    let items = numbers(3);
                    held.seen
                        .note(items.is_valid(row).then(|| items.value(row)));
                    if let Some(count) = held.rows.get_mut(place) {
                        *count += 1;
                    }
                }
            }
        }
    }
}

impl Held {
    fn account(&mut self, rows: &RecordBatch, row: usize) {
        self.accounts += 1;
        if self.accounts > 1 {
            return;
        }
        let number = |column: usize| rows.column(column).as_primitive::<Int64Type>().value(row);
        let sha256 = rows.column(3).as_string::<i32>().value(row);
        let bytes = u64::try_from(number(4)).unwrap_or(u64::MAX);
        self.account = Account {
            same_bytes: sha256 == hex::encode(self.received.sha256) && bytes == self.received.bytes,
            items: number(5),
            rows: [number(6), number(7), number(8)],
            duplicates: number(9),
        };
    }

    fn hour(&self) -> Hour {
        if !self.loaded {
            return Hour {
                waiting_batches: 1,
                waiting_items: self.received.items,
                ..Hour::default()
            };
        }
        let [events, alerts, quarantined] = self.rows;
        let mut hour = Hour {
            batches: self.accounts,
            events,
            alerts,
            quarantined,
            duplicates: u64::try_from(self.account.duplicates).unwrap_or(0),
            ..Hour::default()
        };
        if self.accounts == 0 && self.received.account_gone {
            // Nobody says any more what else became of its items.
            let rows = self.rows.iter().sum();
            hour.expired_batches = 1;
            hour.expired_items = self.received.items.saturating_sub(rows);
        } else {
            hour.expired_items = (0..self.rows.len()).map(|place| self.gone(place)).sum();
        }
        hour
    }

    /// Rows of it that were in a table and that retention has let go.
    fn gone(&self, place: usize) -> u64 {
        let of = |counts: &[u64; 3]| counts.get(place).copied().unwrap_or(0);
        let said = self.account.rows.get(place).copied().unwrap_or(0);
        let missing = u64::try_from(said)
            .unwrap_or(0)
            .saturating_sub(of(&self.rows));
        missing.min(of(&self.received.gone))
    }

    fn compare(
        &self,
        (stream, segment, index): &(StreamName, i64, i64),
        verification: &mut Verification,
    ) {
        let Verification {
            findings, unread, ..
        } = verification;
        let number = SegmentNumber::new(u64::try_from(*segment).unwrap_or(0));
        let segment = number.map(|number| SegmentKey::new(*stream, number).to_string());
        let segment = segment.unwrap_or_else(|error| error.to_string());
        let mut add =
            |kind, reason: String| findings.add(kind, format!("{segment} batch {index}"), reason);
        let has_accounts = !unread.contains(&Table::Batches);
        if self.accounts == 0 && self.received.account_gone {
            // Retention has let it go.
        } else if has_accounts && self.accounts == 0 {
            let reason = "it is loaded, and `batches` has no row of it".to_owned();
            add(FindingKind::MissingBatch, reason);
        } else if has_accounts {
            self.compare_account(&mut add);
        }
        let rows = self.rows.iter().zip(self.account.rows).enumerate();
        for ((place, (rows, said)), table) in rows.zip(Table::ALL) {
            let read = self.accounts > 0 && !unread.contains(&table);
            if read && i64::try_from(*rows + self.gone(place)).ok() != Some(said) {
                let name = table.name();
                let reason = format!("{rows} rows of it are in {name}, `batches` counts {said}");
                add(FindingKind::OtherRows, reason);
            }
        }
        if let Some(item) = self.seen.doubled {
            add(
                FindingKind::DoubledItem,
                format!("item {item} stands twice"),
            );
        } else if self.seen.body_rejects > 1 {
            let reason = "its body is in quarantine twice".to_owned();
            add(FindingKind::DoubledItem, reason);
        }
    }

    fn compare_account(&self, add: &mut impl FnMut(FindingKind, String)) {
        let account = &self.account;
        if self.accounts > 1 {
            let reason = format!("`batches` has {} rows of it", self.accounts);
            add(FindingKind::DoubledBatch, reason);
        }
        if !account.same_bytes {
            let reason = "`batches` has another length or SHA-256 than raw".to_owned();
            add(FindingKind::OtherBytes, reason);
        }
        if i64::try_from(self.received.items).ok() != Some(account.items) {
            let reason = format!(
                "`batches` counts {} items, the body holds {}",
                account.items, self.received.items
            );
            add(FindingKind::OtherItems, reason);
        }
        let accounted = account.rows.iter().sum::<i64>() + account.duplicates;
        if account.items != accounted {
            let reason = format!(
                "`batches` counts {} items and accounts for {accounted}",
                account.items
            );
            add(FindingKind::UnbalancedBatch, reason);
        }
    }
}

/// Rows whose batches raw does not have; of those that raw has all rows were matched.
pub(super) async fn from_nowhere(
    raw: &RawStore,
    lake: &LakeTable,
    window: Window,
    walked: &Walked,
    findings: &mut Findings,
) -> Result<(), LoadError> {
    let table = lake.table();
    let place = Table::ALL.iter().position(|each| *each == table);
    let mut there = rows_by_day(lake, window).await?;
    for lost in &walked.lost {
        let rows = rows_of(lake, window, lost).await?;
        if let Some(count) = there.get_mut(&Some(lost.stream.date())) {
            *count = count.saturating_sub(rows);
        }
        if table == Table::Quarantine && lost.quarantined && rows == 0 {
            let place = format!("{} segment {}", lost.stream, lost.first);
            let reason = "a pass went over the damage, and `quarantine` does not name it";
            findings.add(FindingKind::DamagedSegment, place, reason);
        }
    }
    for (day, rows) in there {
        let matched = day.and_then(|day| walked.matched.get(&day)?.get(place?).copied());
        let more = rows.saturating_sub(matched.unwrap_or(0));
        let looked_at = day.is_none_or(|day| window.touches(day));
        if more > 0 && looked_at {
            let reason = whence(raw, lake, window, day, more).await?;
            findings.add(FindingKind::RowsFromNowhere, table.name(), reason);
        }
    }
    Ok(())
}

/// Rows by the day of the stream that they say they come from; none for a name that is no stream's.
async fn rows_by_day(
    lake: &LakeTable,
    window: Window,
) -> Result<BTreeMap<Option<NaiveDate>, u64>, LoadError> {
    let sql = format!(
        "SELECT arrow_cast(substr(stream, 1, 8), 'Utf8'), count(*) FROM {} WHERE {} GROUP BY 1",
        lake.table().name(),
        window.condition()
    );
    let mut days = BTreeMap::new();
    let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
    while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
        let counts = batch.column(1).as_primitive::<Int64Type>().values();
        let texts = batch.column(0).as_string::<i32>().iter();
        for (text, count) in texts.zip(counts) {
            let day = NaiveDate::parse_from_str(text.unwrap_or_default(), "%Y%m%d").ok();
            *days.entry(day).or_default() += u64::try_from(*count).unwrap_or(0);
        }
    }
    Ok(days)
}

async fn rows_of(lake: &LakeTable, window: Window, lost: &Lost) -> Result<u64, LoadError> {
    let sql = format!(
        "SELECT count(*) FROM {} WHERE stream = '{}' AND segment >= {} AND segment <= {} AND {}",
        lake.table().name(),
        lost.stream,
        lost.first,
        lost.last,
        window.condition()
    );
    let answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
    let batches: Vec<RecordBatch> = answer.try_collect().await.map_err(LoadError::Lake)?;
    let counts = batches.iter().map(|batch| batch.column(0));
    let counts = counts.flat_map(|counts| counts.as_primitive::<Int64Type>().values().iter());
    Ok(u64::try_from(counts.sum::<i64>()).unwrap_or(0))
}

/// Streams that are named.
const MOST_NAMED: usize = 5;

/// Where rows say that they come from, if raw has no such stream.
async fn whence(
    raw: &RawStore,
    lake: &LakeTable,
    window: Window,
    day: Option<NaiveDate>,
    rows: u64,
) -> Result<String, LoadError> {
    let Some(day) = day else {
        return Ok(format!("{rows} rows name a stream that is none of ours"));
    };
    let known = raw.streams(day).await.map_err(LoadError::List)?;
    let sql = format!(
        "SELECT DISTINCT arrow_cast(stream, 'Utf8') FROM {} WHERE starts_with(stream, '{}') AND {}",
        lake.table().name(),
        day.format("%Y%m%d"),
        window.condition()
    );
    let mut answer = lake.select(&sql).await.map_err(LoadError::Lake)?;
    let mut strangers = Vec::new();
    while let Some(batch) = answer.try_next().await.map_err(LoadError::Lake)? {
        let streams = batch.column(0).as_string::<i32>().iter().flatten();
        let streams = streams.filter(|text| {
            let stream = StreamName::parse(text);
            !stream.is_ok_and(|stream| known.contains(&stream))
        });
        strangers.extend(streams.map(str::to_owned));
    }
    strangers.sort_unstable();
    strangers.truncate(MOST_NAMED);
    let named = match strangers.is_empty() {
        true => "of batches that raw does not have".to_owned(),
        false => format!(
            "of streams that raw does not have: {}",
            strangers.join(", ")
        ),
    };
    Ok(format!("{rows} rows of {day} {named}"))
}
