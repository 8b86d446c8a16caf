//! Events into the columns of the `events` table.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Date32Builder, Int64Builder, RecordBatch, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::columns::{ColumnBuilder, LineageBuilders, TextColumn, batch};
use super::item::RawEvent;
use super::reject::{Fault, RejectCode};
use super::value::{Form, Raw, Reading};
use super::walk::Member;
use super::{Identity, Place, Text};
use crate::canonical::canonical;
use crate::key::{EventTime, Key, event_hash};
use crate::schema::{EVENT_FIELDS, EventField, FieldKind, GEO_IP_FIELDS, Table, USER_AGENT_FIELDS};
use crate::time::day_of;

const TYPE: usize = EVENT_FIELDS.len();
const EVENT_ID: usize = TYPE + 1;
const SUBACCOUNT: usize = TYPE + 2;
const GEO_IP: usize = TYPE + 3;

const SLOT_COUNT: usize = FIRST_OBJECT + 2;

/// The slot of the first of [`OBJECTS`].
pub(super) const FIRST_OBJECT: usize = GEO_IP;

/// For each key of a documented object the slot of its column.
pub(super) type Places = Vec<(&'static str, usize)>;

/// A documented object whose fields have columns of their own.
pub(super) struct Object {
    pub(super) key: &'static str,
    pub(super) places: Places,
}

/// The documented objects, in the order of their slots.
pub(super) static OBJECTS: LazyLock<[Object; 2]> = LazyLock::new(|| {
    [
        Object {
            key: "geo_ip",
            places: places(GEO_IP_FIELDS),
        },
        Object {
            key: "user_agent_parsed",
            places: places(USER_AGENT_FIELDS),
        },
    ]
});

fn places(columns: &[(&'static str, &str, FieldKind)]) -> Places {
    let slot_of = |column: &str| EVENT_FIELDS.iter().position(|field| field.column == column);
    columns
        .iter()
        .filter_map(|(key, column, _)| Some((*key, slot_of(column)?)))
        .collect()
}

/// The slot of `timestamp`.
static TIMESTAMP: LazyLock<usize> = LazyLock::new(|| {
    let known = EVENT_FIELDS
        .iter()
        .position(|field| field.key == "timestamp");
    known.unwrap_or(SLOT_COUNT)
});

/// The flags of an event without a usable time begin with this.
pub const UNDATED_FLAG: &str = "timestamp_";

/// The classes that the sender documents; an event of these without a `type` is a reject, while
/// an unknown class may have a form of its own.
const KNOWN_CLASSES: [&str; 7] = [
    "message_event",
    "track_event",
    "gen_event",
    "unsubscribe_event",
    "relay_event",
    "ab_test_event",
    "ingest_event",
];

/// Which slot a key belongs to. The slot after another one is guessed from the events before, so that most keys cost
/// one comparison: of two guesses the first is the one that was right last, since events of several types come mixed.
#[derive(Debug)]
pub(super) struct Slots {
    next: Vec<[usize; 2]>,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            next: vec![[usize::MAX; 2]; SLOT_COUNT + 1],
        }
    }
}

/// Key of each slot, in slot order; empty for columns that a nested object fills.
static SLOT_KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let specials = [
        "type",
        "event_id",
        "subaccount_id",
        "geo_ip",
        "user_agent_parsed",
    ];
    EVENT_FIELDS
        .iter()
        .map(|field| field.key)
        .chain(specials)
        .collect()
});

/// Entries of the table of keys: sparse, so that a probe nearly always hits or misses at once.
const KEY_TABLE: usize = 1024;

/// The slot of each key, at the key's hash or behind it; `usize::MAX` where there is none.
static SLOTS_BY_KEY: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut table = vec![usize::MAX; KEY_TABLE];
    let keys = SLOT_KEYS
        .iter()
        .enumerate()
        .filter(|(_, key)| !key.is_empty());
    for (slot, key) in keys {
        let free = probe(key).find(|at| table.get(*at) == Some(&usize::MAX));
        if let Some(entry) = free.and_then(|at| table.get_mut(at)) {
            *entry = slot;
        }
    }
    table
});

/// Where a key may stand in the table, nearest first.
fn probe(key: &str) -> impl Iterator<Item = usize> {
    // FNV-1a: keys are short, and they are compared in the end.
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let start = (hash ^ (hash >> 16)) as usize;
    (0..KEY_TABLE).map(move |step| (start + step) % KEY_TABLE)
}

impl Slots {
    pub(super) fn count() -> usize {
        SLOT_COUNT
    }

    /// The place before the first key of an event.
    pub(super) fn start(&self) -> usize {
        SLOT_COUNT
    }

    /// The slot of `key`, which stands after the key of slot `before`.
    #[inline]
    pub(super) fn find(&mut self, before: usize, key: &str) -> Option<usize> {
        let keys = &*SLOT_KEYS;
        let is = |slot: usize| keys.get(slot).is_some_and(|known| same(known, key));
        let guesses = self.next.get_mut(before)?;
        let [first, second] = *guesses;
        if is(first) {
            return Some(first);
        }
        let slot = if is(second) { second } else { look_up(key)? };
        *guesses = [slot, first];
        Some(slot)
    }
}

/// The slot of a key that was not guessed.
fn look_up(key: &str) -> Option<usize> {
    let table = &*SLOTS_BY_KEY;
    probe(key)
        .map_while(|at| table.get(at).copied().filter(|slot| *slot != usize::MAX))
        .find(|slot| SLOT_KEYS.get(*slot).is_some_and(|known| *known == key))
}

/// Equality of texts that are short and mostly equal, by words instead of by a call.
#[inline]
fn same(known: &str, key: &str) -> bool {
    let (known, key) = (known.as_bytes(), key.as_bytes());
    if known.len() != key.len() {
        return false;
    }
    let (knowns, known_rest) = known.as_chunks::<8>();
    let (keys, key_rest) = key.as_chunks::<8>();
    if knowns.iter().zip(keys).any(|(one, other)| one != other) {
        return false;
    }
    match (known.last_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(one), Some(other)) => one == other,
        _ => known_rest
            .iter()
            .zip(key_rest)
            .all(|(one, other)| one == other),
    }
}

/// Builders of the `events` table.
#[derive(Debug)]
pub(super) struct EventRows {
    event_date: Date32Builder,
    event_class: TextColumn,
    event_type: TextColumn,
    event_id: TextColumn,
    event_at: TimestampMicrosecondBuilder,
    received_at: TimestampMicrosecondBuilder,
    batch_id: TextColumn,
    subaccount_id: Int64Builder,
    flags: TextColumn,
    fields: Vec<ColumnBuilder>,
    event_hash: TextColumn,
    extra: TextColumn,
    lineage: LineageBuilders,
    item_index: Int64Builder,
    identities: Vec<Identity>,
}

impl Default for EventRows {
    fn default() -> EventRows {
        EventRows {
            event_date: Date32Builder::new(),
            event_class: TextColumn::default(),
            event_type: TextColumn::default(),
            event_id: TextColumn::default(),
            event_at: TimestampMicrosecondBuilder::new(),
            received_at: TimestampMicrosecondBuilder::new(),
            batch_id: TextColumn::default(),
            subaccount_id: Int64Builder::new(),
            flags: TextColumn::default(),
            fields: EVENT_FIELDS
                .iter()
                .map(|field| ColumnBuilder::new(field.kind))
                .collect(),
            event_hash: TextColumn::default(),
            extra: TextColumn::default(),
            lineage: LineageBuilders::default(),
            item_index: Int64Builder::new(),
            identities: Vec::new(),
        }
    }
}

/// What is known of an event before its fields are read.
struct Head<'a> {
    event_type: Option<Cow<'a, str>>,
    event_id: Option<Cow<'a, str>>,
    event_hash: Option<String>,
    key: Key,
}

impl EventRows {
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Adds one row.
    ///
    /// # Errors
    /// When a known class comes without a type; nothing was added then.
    pub(super) fn push(
        &mut self,
        place: &Place<'_>,
        event: &RawEvent<'_, '_>,
    ) -> Result<(), Fault> {
        let mut notes = Notes::default();
        let dated = occurred_at(event, &mut notes);
        let head = head(event, dated)?;
        note_head(event, &mut notes);
        let row = self.identities.len();
        let received_at = place.input.received_at.timestamp_micros();
        let event_at = dated.unwrap_or(received_at);
        let day = day_of(event_at);

        self.event_date.append_value(day);
        self.event_class.put(row, &event.class);
        put_option(&mut self.event_type, row, head.event_type.as_deref());
        put_option(&mut self.event_id, row, head.event_id.as_deref());
        self.event_at.append_value(event_at);
        self.received_at.append_value(received_at);
        put_option(&mut self.batch_id, row, place.input.batch_id);
        self.subaccount_id
            .append_option(subaccount(event, &mut notes));
        self.put_fields(row, event, &mut notes);
        put_option(&mut self.event_hash, row, head.event_hash.as_deref());
        put_option(&mut self.extra, row, notes.extra(event).as_deref());
        put_option(&mut self.flags, row, notes.flags().as_deref());
        self.lineage.push(place.input);
        self.item_index.append_value(place.item_index);
        self.identities.push(Identity {
            key: head.key,
            day,
            undated: dated.is_none(),
            batch: place.batch,
            item_index: place.item_index,
        });
        Ok(())
    }

    fn put_fields<'a>(&mut self, row: usize, event: &RawEvent<'_, 'a>, notes: &mut Notes<'a>) {
        for (slot, raw) in event.fields.iter(event.item) {
            // Slots behind those of the columns are the head's and the documented objects'.
            let Some(column) = self.fields.get_mut(slot) else {
                continue;
            };
            if !column.put(row, raw) {
                let name = EVENT_FIELDS.get(slot).map_or("", EventField::name);
                notes.misfit(Cow::Borrowed(name), raw.text);
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<Identity>), ArrowError> {
        let rows = self.identities.len();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.event_date.finish()),
            self.event_class.finish(rows)?,
            self.event_type.finish(rows)?,
            self.event_id.finish(rows)?,
            Arc::new(self.event_at.finish().with_timezone("UTC")),
            Arc::new(self.received_at.finish().with_timezone("UTC")),
            self.batch_id.finish(rows)?,
            Arc::new(self.subaccount_id.finish()),
            self.flags.finish(rows)?,
        ];
        for column in &mut self.fields {
            columns.push(column.finish(rows)?);
        }
        columns.push(self.event_hash.finish(rows)?);
        columns.push(self.extra.finish(rows)?);
        columns.extend(self.lineage.finish());
        columns.push(Arc::new(self.item_index.finish()));
        let rows = batch(Table::Events, columns)?;
        Ok((rows, std::mem::take(&mut self.identities)))
    }
}

fn put_option(column: &mut TextColumn, row: usize, text: Option<&str>) {
    if let Some(text) = text {
        column.put(row, text);
    }
}

fn slot<'a>(event: &RawEvent<'_, 'a>, slot: usize) -> Option<Raw<'a>> {
    event.fields.get(slot, event.item)
}

/// What of the head and of the documented objects does not fit, or is unknown there.
fn note_head<'a>(event: &RawEvent<'_, 'a>, notes: &mut Notes<'a>) {
    for (at, key) in [(TYPE, "type"), (EVENT_ID, "event_id")] {
        if let Some(raw) = slot(event, at).filter(|raw| raw.form == Form::Nested) {
            notes.misfit(Cow::Borrowed(key), raw.text);
        }
    }
    for (at, object) in OBJECTS.iter().enumerate() {
        let raw = slot(event, FIRST_OBJECT + at).filter(|raw| !raw.is_null());
        if let Some(raw) = raw.filter(|raw| !raw.text.starts_with('{')) {
            notes.misfit(Cow::Borrowed(object.key), raw.text);
        }
    }
    for (key, members) in &event.unknown_parts {
        notes.keep(Cow::Borrowed(key), Cow::Owned(object_of(members)));
    }
}

fn head<'a>(event: &RawEvent<'_, 'a>, dated: Option<i64>) -> Result<Head<'a>, Fault> {
    let text_at = |at| slot(event, at).and_then(Raw::text);
    let event_type: Option<Cow<'a, str>> = text_at(TYPE).filter(|text| !text.is_empty());
    if event_type.is_none() && KNOWN_CLASSES.contains(&event.class.as_ref()) {
        let message = "event has no type";
        return Err(Fault::new(RejectCode::Envelope, message));
    }
    let event_id = text_at(EVENT_ID).filter(|text| !text.is_empty());
    let (event_hash, key) = match &event_id {
        Some(id) => {
            let unreadable = timestamp(event).and_then(Raw::text).unwrap_or_default();
            let time = match dated {
                Some(micros) => EventTime::Micros(micros),
                None => EventTime::Unreadable(&unreadable),
            };
            (
                None,
                Key::of_event(&event.class, event_type.as_deref(), id, time),
            )
        }
        None => {
            let canonical = canonical(event.object).map_err(|_| {
                Fault::new(
                    RejectCode::Json,
                    "event without an id is not well-formed json",
                )
            })?;
            let hash = event_hash(&event.class, &canonical);
            let key = Key::of_hash(&hash);
            (Some(hash), key)
        }
    };
    Ok(Head {
        event_type,
        event_id,
        event_hash,
        key,
    })
}

/// The JSON text of the event's time.
fn timestamp<'a>(event: &RawEvent<'_, 'a>) -> Option<Raw<'a>> {
    slot(event, *TIMESTAMP)
}

/// When the event happened, if it says so in any form that makes sense.
fn occurred_at(event: &RawEvent<'_, '_>, notes: &mut Notes<'_>) -> Option<i64> {
    match timestamp(event).map(Raw::micros) {
        Some(Reading::Value(micros)) => Some(micros),
        Some(Reading::Misfit) => {
            notes.flag("timestamp_unreadable");
            None
        }
        Some(Reading::Absent) | None => {
            notes.flag("timestamp_missing");
            None
        }
    }
}

/// The subaccount; the primary account sends none and is 0. What is no number is nobody's.
fn subaccount<'a>(event: &RawEvent<'_, 'a>, notes: &mut Notes<'a>) -> Option<i64> {
    let Some(raw) = slot(event, SUBACCOUNT) else {
        return Some(0);
    };
    match raw.int() {
        Reading::Value(id) => Some(id),
        Reading::Absent => Some(0),
        Reading::Misfit => {
            notes.misfit(Cow::Borrowed("subaccount_id"), raw.text);
            None
        }
    }
}

/// An object of these members.
fn object_of(members: &[Member<'_>]) -> String {
    let mut inside = String::new();
    for (key, raw) in members {
        push_pair(&mut inside, key, raw);
    }
    format!("{{{inside}}}")
}

/// Appends `"key":value` to the inside of an object.
fn push_pair(inside: &mut String, key: &str, value: &str) {
    if !inside.is_empty() {
        inside.push(',');
    }
    let key = serde_json::Value::from(key);
    // Writing to a String cannot fail.
    let written = write!(inside, "{key}:{value}");
    debug_assert!(written.is_ok());
}

/// What a row says about itself beside its columns.
#[derive(Default)]
pub(super) struct Notes<'a> {
    flags: Vec<Cow<'static, str>>,
    kept: Vec<(Text<'a>, Cow<'a, str>)>,
}

impl<'a> Notes<'a> {
    pub(super) fn flag(&mut self, flag: &'static str) {
        self.flags.push(Cow::Borrowed(flag));
    }

    /// A value that does not fit its column: flagged, and kept as sent in `extra`.
    pub(super) fn misfit(&mut self, key: Text<'a>, raw: &'a str) {
        self.flags.push(Cow::Owned(format!("misfit:{key}")));
        self.kept.push((key, Cow::Borrowed(raw)));
    }

    pub(super) fn keep(&mut self, key: Text<'a>, raw: Text<'a>) {
        self.kept.push((key, raw));
    }

    pub(super) fn flags(&self) -> Option<String> {
        (!self.flags.is_empty()).then(|| self.flags.join(","))
    }

    pub(super) fn kept_json(&self) -> Option<String> {
        let mut inside = String::new();
        for (key, raw) in &self.kept {
            push_pair(&mut inside, key, raw);
        }
        (!inside.is_empty()).then(|| format!("{{{inside}}}"))
    }

    /// Unknown fields, values that did not fit, and under `$element` what stood beside `msys`.
    fn extra(&self, event: &RawEvent<'_, '_>) -> Option<String> {
        let mut inside = String::new();
        for (key, raw) in &event.unknown {
            push_pair(&mut inside, key, raw);
        }
        for (key, raw) in &self.kept {
            push_pair(&mut inside, key, raw);
        }
        if !event.siblings.is_empty() {
            push_pair(&mut inside, "$element", &object_of(&event.siblings));
        }
        (!inside.is_empty()).then(|| format!("{{{inside}}}"))
    }
}
