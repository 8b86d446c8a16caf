//! After every run: what was answered 200 is in each sink once, what was never sent is in none, and
//! the books balance.

use std::collections::{BTreeMap, BTreeSet};

use postlake_raw::RawStore;
use serde::Deserialize;
use serde_json::Value;

use crate::csv;
use crate::ledger::{ClientLedger, Entry, NAMELESS, PostKey, alert_identity};
use crate::place::{Place, wait_on};

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Rows of `batches`.
    pub batches: usize,
    /// Rows of `events`.
    pub events: usize,
    /// Rows of `alerts`.
    pub alerts: usize,
    /// Rows of `quarantine`.
    pub quarantined: usize,
    /// Items that were there already.
    pub duplicates: u64,
}

/// The place of a batch: stream, segment, number in it.
type BatchPlace = (String, i64, i64);

/// The place of a row: that of its batch, and the item.
type RowPlace = (BatchPlace, Option<i64>);

#[derive(Debug, Deserialize)]
struct Lineage {
    stream: String,
    segment: i64,
    batch_index: i64,
    item_index: Option<i64>,
}

impl Lineage {
    fn batch(&self) -> BatchPlace {
        (self.stream.clone(), self.segment, self.batch_index)
    }

    fn row(&self) -> RowPlace {
        (self.batch(), self.item_index)
    }
}

#[derive(Debug, Deserialize)]
struct BatchRow {
    source: String,
    batch_id: Option<String>,
    sha256: String,
    bytes: u64,
    items: u64,
    events: u64,
    alerts: u64,
    duplicates: u64,
    rejects: u64,
    stream: String,
    segment: i64,
    batch_index: i64,
}

#[derive(Debug, Deserialize)]
struct EventRow {
    event_class: String,
    r#type: Option<String>,
    event_id: Option<String>,
    event_hash: Option<String>,
    #[serde(flatten)]
    lineage: Lineage,
}

/// The lake as rows.
struct Lake {
    batches: Vec<BatchRow>,
    events: Vec<EventRow>,
    alerts: Vec<(String, Lineage)>,
    quarantine: Vec<Lineage>,
}

/// Holds raw store, lake and CSV files at `place` against the ledger. Everything must be loaded.
#[track_caller]
pub fn check(place: &Place, ledger: &ClientLedger) -> Found {
    let lake = Lake::read(place);
    let entries = ledger.entries();
    let landed = landed(place);
    check_raw(&landed, &entries);
    check_loaded(&landed, &lake);
    check_batches(&lake, &entries, |attempts| ledger.most_landings(attempts));
    check_events(&lake, &entries);
    check_alerts(&lake, &entries);
    check_rows_of_batches(&lake);
    check_csv(place, &lake);
    // The program's own account of the same.
    let books = place.run(&["verify"]);
    assert_eq!(books.code, Some(0), "{} {}", books.text(), books.stderr);
    Found {
        batches: lake.batches.len(),
        events: lake.events.len(),
        alerts: lake.alerts.len(),
        quarantined: lake.quarantine.len(),
        duplicates: lake.batches.iter().map(|batch| batch.duplicates).sum(),
    }
}

impl Lake {
    fn read(place: &Place) -> Lake {
        let alerts: Vec<Value> = place.query(
            "SELECT alert_id, metric, triggered_at, filters, stream, segment, batch_index, item_index FROM alerts",
        );
        Lake {
            batches: place.query("SELECT * FROM batches"),
            events: place.query(
                "SELECT event_class, type, event_id, event_hash, stream, segment, batch_index, item_index FROM events",
            ),
            alerts: alerts
                .into_iter()
                .map(|row| (alert_identity(&row), serde_json::from_value(row).unwrap()))
                .collect(),
            quarantine: place.query("SELECT stream, segment, batch_index, item_index FROM quarantine"),
        }
    }
}

/// Every 200 has its row, every row was sent, and each row says what was in the batch.
#[track_caller]
fn check_batches(
    lake: &Lake,
    entries: &BTreeMap<PostKey, Entry>,
    most_landings: impl Fn(u64) -> u64,
) {
    let mut rows: BTreeMap<PostKey, u64> = BTreeMap::new();
    for row in &lake.batches {
        let key = (row.batch_id.clone(), row.sha256.clone());
        let Some(entry) = entries.get(&key) else {
            panic!("nobody sent {row:?}");
        };
        let account = entry.post.account;
        assert_eq!(row.source, entry.post.source());
        assert_eq!(row.bytes, entry.post.request.body.len() as u64, "{row:?}");
        assert_eq!(row.items, account.items(), "{row:?}");
        assert_eq!(row.rejects, account.rejects, "{row:?}");
        assert_eq!(
            row.items,
            row.events + row.alerts + row.duplicates + row.rejects,
            "{row:?}"
        );
        *rows.entry(key).or_default() += 1;
    }
    for (key, entry) in entries {
        let rows = rows.get(key).copied().unwrap_or(0);
        assert!(
            (entry.answers..=most_landings(entry.attempts)).contains(&rows),
            "{key:?}: {rows} rows, {} answers, {} attempts",
            entry.answers,
            entry.attempts
        );
    }
}

/// What is missing or there too often, counted where [`check`] would panic at the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Posts answered 200, resent ones too.
    pub acked: u64,
    /// Of those, not in the raw store as often.
    pub lost: u64,
    /// Events and alerts of posts answered 200 that are not in the lake.
    pub items_lost: u64,
    /// Events and alerts that are in the lake twice.
    pub items_doubled: u64,
}

/// Counts what [`check`] checks first. Everything must be loaded.
#[track_caller]
pub fn score(place: &Place, ledger: &ClientLedger) -> Score {
    let lost = lost(place, ledger);
    let lake = Lake::read(place);
    let events = lake.events.iter().map(|row| match &row.event_id {
        Some(id) => format!(
            "{}/{}/{id}",
            row.event_class,
            row.r#type.as_deref().unwrap_or_default()
        ),
        None => format!(
            "{NAMELESS}{}",
            row.event_hash.as_deref().unwrap_or_default()
        ),
    });
    let alerts = lake.alerts.iter().map(|(key, _)| key.clone());
    let all: Vec<String> = events.chain(alerts).collect();
    let once: BTreeSet<&String> = all.iter().collect();
    let entries = ledger.entries();
    let wanted = ["events", "alerts"].map(|source| identities(&entries, source).0);
    let missing = wanted
        .iter()
        .flatten()
        .filter(|key| !key.contains(NAMELESS) && !once.contains(key));
    Score {
        acked: entries.values().map(|entry| entry.answers).sum(),
        lost,
        items_lost: missing.count() as u64,
        items_doubled: (all.len() - once.len()) as u64,
    }
}

/// How many posts were answered 200 and are not in the raw store, as it is now.
#[track_caller]
pub fn lost(place: &Place, ledger: &ClientLedger) -> u64 {
    let landed = landed(place);
    let mut counts: BTreeMap<&PostKey, u64> = BTreeMap::new();
    for key in landed.values() {
        *counts.entry(key).or_default() += 1;
    }
    let entries = ledger.entries();
    let missing = entries.iter().map(|(key, entry)| {
        let landed = counts.get(key).copied().unwrap_or(0);
        entry.answers.saturating_sub(landed)
    });
    missing.sum()
}

/// How many batches lie in the raw store.
pub fn landed_batches(place: &Place) -> u64 {
    landed(place).len() as u64
}

/// What the raw store holds, every segment verified: place, batch id and hash of each batch.
#[track_caller]
fn landed(place: &Place) -> BTreeMap<BatchPlace, PostKey> {
    let raw = RawStore::new(place.store());
    wait_on(async {
        let mut landed = BTreeMap::new();
        for date in raw.dates().await.unwrap() {
            for stream in raw.streams(date).await.unwrap() {
                for key in raw.segments_after(date, stream, 0).await.unwrap() {
                    let segment = raw.read(&key).await.unwrap();
                    for (index, batch) in segment.batches.into_iter().enumerate() {
                        let number = i64::try_from(key.number().get()).unwrap();
                        let index = i64::try_from(index).unwrap();
                        let hash = hex::encode(batch.envelope.sha256);
                        let place = (stream.to_string(), number, index);
                        landed.insert(place, (batch.envelope.batch_id, hash));
                    }
                }
            }
        }
        landed
    })
}

/// What was answered 200 is in the raw store, as often as it was.
#[track_caller]
fn check_raw(landed: &BTreeMap<BatchPlace, PostKey>, entries: &BTreeMap<PostKey, Entry>) {
    let mut counts: BTreeMap<&PostKey, u64> = BTreeMap::new();
    for key in landed.values() {
        *counts.entry(key).or_default() += 1;
    }
    for (key, entry) in entries {
        let landed = counts.get(key).copied().unwrap_or(0);
        assert!(
            landed >= entry.answers,
            "{key:?} was answered 200 {} times and landed {landed} times",
            entry.answers
        );
    }
}

/// The lake accounts for the batches of the raw store, and for no other ones.
#[track_caller]
fn check_loaded(landed: &BTreeMap<BatchPlace, PostKey>, lake: &Lake) {
    let mut loaded: BTreeMap<BatchPlace, PostKey> = BTreeMap::new();
    for row in &lake.batches {
        let place = (row.stream.clone(), row.segment, row.batch_index);
        let key = (row.batch_id.clone(), row.sha256.clone());
        let twice = loaded.insert(place, key);
        assert_eq!(twice, None, "a batch is accounted for twice: {row:?}");
    }
    for (place, key) in landed {
        assert_eq!(
            loaded.get(place),
            Some(key),
            "landed and not loaded: {place:?}"
        );
    }
    assert_eq!(landed.len(), loaded.len(), "loaded and not landed");
}

#[track_caller]
fn check_events(lake: &Lake, entries: &BTreeMap<PostKey, Entry>) {
    let (named, nameless): (Vec<_>, Vec<_>) =
        lake.events.iter().partition(|row| row.event_id.is_some());
    let keys = named.iter().map(|row| {
        let event_type = row.r#type.as_deref().unwrap_or_default();
        format!(
            "{}/{event_type}/{}",
            row.event_class,
            row.event_id.as_deref().unwrap_or_default()
        )
    });
    let (answered, attempted) = identities(entries, "events");
    let has_name = |identity: &&String| !identity.contains(NAMELESS);
    check_once("event", keys, &answered, &attempted, has_name);

    let hashes: BTreeSet<_> = nameless
        .iter()
        .map(|row| row.event_hash.as_deref())
        .collect();
    assert!(!hashes.contains(&None), "an event has neither id nor hash");
    assert_eq!(
        hashes.len(),
        nameless.len(),
        "an event without an id is there twice"
    );
    let count = |of: &BTreeSet<String>| of.iter().filter(|key| !has_name(key)).count();
    let bounds = count(&answered)..=count(&attempted);
    assert!(
        bounds.contains(&nameless.len()),
        "{} events without an id, not {bounds:?}",
        nameless.len()
    );
}

#[track_caller]
fn check_alerts(lake: &Lake, entries: &BTreeMap<PostKey, Entry>) {
    let (answered, attempted) = identities(entries, "alerts");
    let keys = lake.alerts.iter().map(|(key, _)| key.clone());
    check_once("alert", keys, &answered, &attempted, |_| true);
}

/// Identities of what was answered 200, and of all that was sent.
fn identities(
    entries: &BTreeMap<PostKey, Entry>,
    source: &str,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let of = |wanted: fn(&Entry) -> bool| {
        entries
            .values()
            .filter(|entry| entry.post.source() == source && wanted(entry))
            .flat_map(|entry| entry.post.identities.iter().cloned())
            .collect()
    };
    (of(|entry| entry.answers > 0), of(|_| true))
}

#[track_caller]
fn check_once(
    what: &str,
    found: impl Iterator<Item = String>,
    answered: &BTreeSet<String>,
    attempted: &BTreeSet<String>,
    wanted: impl Fn(&&String) -> bool,
) {
    let mut once = BTreeSet::new();
    for key in found {
        assert!(attempted.contains(&key), "nobody sent the {what} {key}");
        assert!(once.insert(key.clone()), "the {what} {key} is there twice");
    }
    let lost: Vec<_> = answered.difference(&once).filter(&wanted).collect();
    assert!(
        lost.is_empty(),
        "{} {what}s answered 200 are lost: {:?}",
        lost.len(),
        lost.first()
    );
}

/// Each batch has the rows that its account says.
#[track_caller]
fn check_rows_of_batches(lake: &Lake) {
    let count = |lineages: &mut dyn Iterator<Item = &Lineage>| {
        let mut counts: BTreeMap<BatchPlace, u64> = BTreeMap::new();
        let mut places = BTreeSet::new();
        for lineage in lineages {
            assert!(
                places.insert(lineage.row()),
                "two rows of one item: {lineage:?}"
            );
            *counts.entry(lineage.batch()).or_default() += 1;
        }
        counts
    };
    let events = count(&mut lake.events.iter().map(|row| &row.lineage));
    let alerts = count(&mut lake.alerts.iter().map(|(_, lineage)| lineage));
    let quarantine = count(&mut lake.quarantine.iter());
    for row in &lake.batches {
        let place = (row.stream.clone(), row.segment, row.batch_index);
        let found =
            [&events, &alerts, &quarantine].map(|counts| counts.get(&place).copied().unwrap_or(0));
        assert_eq!(found, [row.events, row.alerts, row.rejects], "{row:?}");
    }
    let sum = |counts: &BTreeMap<BatchPlace, u64>| counts.values().sum::<u64>();
    let said = |field: fn(&BatchRow) -> u64| lake.batches.iter().map(field).sum::<u64>();
    assert_eq!(sum(&events), said(|row| row.events), "events of no batch");
    assert_eq!(sum(&alerts), said(|row| row.alerts), "alerts of no batch");
    assert_eq!(
        sum(&quarantine),
        said(|row| row.rejects),
        "rejects of no batch"
    );
}

/// The CSV files hold the rows of the lake, each once.
#[track_caller]
fn check_csv(place: &Place, lake: &Lake) {
    let batches = lake
        .batches
        .iter()
        .map(|row| ((row.stream.clone(), row.segment, row.batch_index), None));
    check_csv_of(place, "batches", batches.collect());
    check_csv_of(
        place,
        "events",
        lake.events.iter().map(|row| row.lineage.row()).collect(),
    );
    check_csv_of(
        place,
        "alerts",
        lake.alerts.iter().map(|(_, row)| row.row()).collect(),
    );
    check_csv_of(
        place,
        "quarantine",
        lake.quarantine.iter().map(Lineage::row).collect(),
    );
}

#[track_caller]
fn check_csv_of(place: &Place, table: &str, expected: BTreeSet<RowPlace>) {
    let mut found = BTreeSet::new();
    for row in csv_rows(place, table) {
        let text = |name: &str| row.get(name).cloned().flatten();
        let number = |name: &str| text(name).map(|text| text.parse::<i64>().unwrap());
        let batch = (
            text("stream").unwrap(),
            number("segment").unwrap(),
            number("batch_index").unwrap(),
        );
        let of = (batch, number("item_index"));
        assert!(
            !found.contains(&of),
            "a row is twice in the csv files of {table}: {of:?}"
        );
        found.insert(of);
    }
    assert!(
        found == expected,
        "csv files of {table}: {} rows, the lake {}",
        found.len(),
        expected.len()
    );
}

/// All rows of the CSV files of a table.
#[track_caller]
pub fn csv_rows(place: &Place, table: &str) -> Vec<csv::Row> {
    place
        .objects(&format!("csv/{table}"))
        .into_iter()
        .filter(|(name, _)| name.ends_with(".csv"))
        .flat_map(|(_, bytes)| csv::parse(std::str::from_utf8(&bytes).unwrap()).1)
        .collect()
}
